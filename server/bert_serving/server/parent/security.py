"""The keys of a server, as its options say, and the key of its own HTTP proxy."""

from __future__ import annotations

import os
from dataclasses import replace

import zmq

from ..errors import UsageError
from ..options.settings import Settings
from ..security.certificates import Certificate, format_certificate, read_secret_certificate
from ..security.gate import PROXY, Gate, SecurityConfig
from ..security.principals import read_principals
from ..security.watched_file import WatchedFile


def plan_security(settings: Settings) -> SecurityConfig | None:
    """Read the keys, the folder of clients and the file of principals; None without keys.

    Raises:
        UsageError: one of them cannot be read or is wrong, or libzmq has no CURVE.
    """
    if settings.curve_key_file is None or settings.curve_clients is None:
        if settings.principals is not None:
            WatchedFile(settings.principals, read_principals, 'principals')
        return None
    if not zmq.has('curve'):
        raise UsageError(
            '-curve_key_file: libzmq %s of this machine has no CURVE: install pyzmq from PyPI, whose wheels have it'
            % zmq.zmq_version()
        )
    certificate = read_secret_certificate(settings.curve_key_file, 'curve_key_file')
    config = SecurityConfig(
        public_key=certificate.public,
        secret_key=certificate.secret or '',
        clients=settings.curve_clients,
        principals=settings.principals,
    )
    Gate(config)  # what is wrong with the files is said here
    return config


def add_proxy_key(config: SecurityConfig, folder: str) -> tuple[SecurityConfig, str]:
    """Make a key for the HTTP proxy of this server; return the config that knows it, and the file with the secret.

    `folder` can be read by this user alone.
    """
    public, secret = (key.decode() for key in zmq.curve_keypair())
    path = os.path.join(folder, PROXY + '.key_secret')
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(file, 'w', encoding='utf-8') as stream:
        stream.write(format_certificate(Certificate(public, secret, PROXY)))
    return replace(config, own_keys={**config.own_keys, public: PROXY}), path
