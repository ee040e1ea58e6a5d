"""The keys of a server from its options, and the key of its own HTTP proxy."""

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
    """Read the keys, the folder of clients and the file of principals. Return None without keys.

    Raises:
        UsageError: one of them cannot be read or is invalid, or libzmq lacks CURVE.
    """
    if settings.curve_key_file is None or settings.curve_clients is None:
        if settings.principals is not None:
            WatchedFile(settings.principals, read_principals, 'principals')
        return None
    if not zmq.has('curve'):
        raise UsageError(
            '-curve_key_file: libzmq %s on this machine lacks CURVE: install pyzmq from PyPI, whose wheels include it'
            % zmq.zmq_version()
        )
    certificate = read_secret_certificate(settings.curve_key_file, 'curve_key_file')
    config = SecurityConfig(
        public_key=certificate.public,
        secret_key=certificate.secret or '',
        clients=settings.curve_clients,
        principals=settings.principals,
    )
    Gate(config)  # this reports errors in the files early
    return config


def add_proxy_key(config: SecurityConfig, folder: str) -> tuple[SecurityConfig, str]:
    """Make a key for the server's HTTP proxy. Return the config with it, and the file with the secret key.

    Only this user can read `folder`.
    """
    public, secret = (key.decode() for key in zmq.curve_keypair())
    path = os.path.join(folder, PROXY + '.key_secret')
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(file, 'w', encoding='utf-8') as stream:
        stream.write(format_certificate(Certificate(public, secret, PROXY)))
    return replace(config, own_keys={**config.own_keys, public: PROXY}), path
