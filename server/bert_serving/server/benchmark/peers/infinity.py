"""Infinity in its own process, and its clients, which call its route of OpenAI's API over persistent connections."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ..load import REQUEST_TIMEOUT_MS, LoadGenerator
from ..plan import Load
from .processes import PeerError, start_runner, stop

HOST = '127.0.0.1'
MODEL = 'model'

POLL_S = 0.2
"""Seconds between two attempts to reach a server that starts."""


class InfinityProcess:
    """A server with its defaults, but without its warm-up, because the first round of each load is a warm-up."""

    def __init__(self, python: str, folder: str, log: IO[bytes], ready_within_s: float) -> None:
        self._port = _free_port()
        words = ['v2', '--model-id', folder, '--served-model-name', MODEL, '--engine', 'torch', '--device', 'cpu']
        words += ['--host', HOST, '--port', str(self._port), '--no-model-warmup', '--log-level', 'error']
        self._process = start_runner(python, ['infinity', *words], log, has_pipes=False)
        self._ready_within_s = ready_within_s

    def __enter__(self) -> InfinityProcess:
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.terminate()
        stop(self._process)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._ready_within_s
        while time.monotonic() < deadline:
            with suppress(subprocess.TimeoutExpired):
                raise PeerError('it ended with exit code %d (see peers.log)' % self._process.wait(POLL_S))
            with suppress(OSError, http.client.HTTPException), HttpClient(self._port) as client:
                client.check_health()
                return
        raise PeerError('it was not ready within %g s' % self._ready_within_s)

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Vectors [B, D] of sentences."""
        with HttpClient(self._port) as client:
            return client.encode(sentences)

    @contextmanager
    def load(self, load: Load) -> Iterator[LoadGenerator]:
        with LoadGenerator(lambda: HttpClient(self._port), load) as generator:
            yield generator


class HttpClient:
    """A client with one persistent connection. A context manager."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=REQUEST_TIMEOUT_MS / 1000)

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._connection.close()

    def check_health(self) -> None:
        """Return if the server is ready; otherwise raise OSError or HTTPException."""
        self._request('GET', '/health')

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Vectors [B, D] of sentences. The reply has them in base64, because that is faster than numbers."""
        body = json.dumps({'model': MODEL, 'input': list(sentences), 'encoding_format': 'base64'}).encode('ascii')
        data = json.loads(self._request('POST', '/embeddings', body))['data']
        vectors = np.frombuffer(b''.join(base64.b64decode(row['embedding']) for row in data), np.float32)
        return vectors.reshape(len(sentences), -1)

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send a request, again over a new connection if the server has closed the idle one between two turns."""
        try:
            response = self._send(method, path, body)
        except (ConnectionError, http.client.BadStatusLine):
            self._connection.close()
            response = self._send(method, path, body)
        content = response.read()
        if response.status != http.client.OK:
            words = ' '.join(content.decode('utf-8', 'replace').split())
            raise OSError('HTTP status %d: %s' % (response.status, words[:200]))
        return content

    def _send(self, method: str, path: str, body: bytes | None) -> http.client.HTTPResponse:
        self._connection.request(method, path, body, {'Content-Type': 'application/json'})
        return self._connection.getresponse()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
