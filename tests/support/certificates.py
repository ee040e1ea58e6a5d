"""Certificates for tests, made by the `openssl` command in milliseconds."""

from __future__ import annotations

import functools
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path

import pytest

from bert_serving.server.http.tls import TlsFiles
from support.environments import must_run

_TEMPORARY = tempfile.gettempdir()
"""Read here, because a test may have another one, which is gone before this process ends."""

_KEY = ('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2')


def need_openssl() -> None:
    """Skip the test where there is no `openssl`, or fail it where it must run."""
    if shutil.which('openssl') is None:
        (pytest.fail if must_run() else pytest.skip)('no openssl on PATH: apt-get install openssl')


def openssl(*words: object, stdin: str = '') -> subprocess.CompletedProcess[str]:
    return subprocess.run(['openssl', *map(str, words)], input=stdin, capture_output=True, text=True, timeout=60)


class Authority:
    """A certificate authority in a folder; `ca` is its certificate."""

    def __init__(self, folder: Path) -> None:
        need_openssl()
        self._folder = folder
        self.ca, self._key = folder / 'ca.pem', folder / 'ca.key'
        self._make(self.ca, self._key, 'authority')

    def issue(self, name: str, client_ca: str | None = None) -> TlsFiles:
        """A certificate for 127.0.0.1, and its key; `name` is that of the files and the common name."""
        cert, key = self._folder / (name + '.pem'), self._folder / (name + '.key')
        self._make(cert, key, name, '-CA', self.ca, '-CAkey', self._key, '-addext', 'subjectAltName=IP:127.0.0.1')
        return TlsFiles(str(cert), str(key), client_ca)

    def _make(self, cert: Path, key: Path, name: str, *words: object) -> None:
        done = openssl('req', '-x509', *_KEY, '-keyout', key, '-out', cert, '-subj', '/CN=' + name, *words)
        if done.returncode:
            raise RuntimeError(done.stderr)

    def client_context(self, own: TlsFiles | None = None) -> ssl.SSLContext:
        """The context of a client that trusts this authority and, with `own`, has a certificate itself."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if own is not None:
            context.load_cert_chain(own.cert, own.key)
        return context


@functools.cache
def authority() -> Authority:
    """The authority of this process, which has issued `localhost`."""
    folder = tempfile.TemporaryDirectory(dir=_TEMPORARY)
    made = Authority(Path(folder.name))
    made.folder = folder  # type: ignore[attr-defined]  # removed with it
    return made


@functools.cache
def localhost() -> TlsFiles:
    """A server's certificate, by `authority`."""
    return authority().issue('localhost')
