"""`bert-serving-keys`: make, show and revoke the keys of servers and clients."""

from __future__ import annotations

import argparse
import os
import secrets
from collections.abc import Callable, Mapping

import zmq
import zmq.utils.z85

from .errors import ServingError, UsageError
from .options.parser import EnvironmentParser, add_help_and_version
from .release import RELEASE
from .security.certificates import (
    PUBLIC_SUFFIX,
    SECRET_SUFFIX,
    Certificate,
    format_certificate,
    read_certificate,
    read_clients,
)
from .security.principals import hash_of_http_key, is_name

HTTP_KEY_BYTES = 32
"""Random bytes in an HTTP key."""


def get_keys_parser() -> EnvironmentParser:
    """The parser of `bert-serving-keys`."""
    parser = EnvironmentParser(
        prog='bert-serving-keys',
        description='Make, show and revoke the keys of servers and clients.',
        examples=(
            'bert-serving-keys server server.key_secret',
            'bert-serving-keys client alice.key_secret -curve_clients clients',
            'bert-serving-keys show alice.key_secret',
            'bert-serving-keys revoke alice -curve_clients clients',
            'bert-serving-keys http alice',
        ),
        guide='docs/security.md',
    )
    group = parser.group('Command')
    group.add_argument(
        'command',
        choices=tuple(_COMMANDS),
        metavar='COMMAND',
        help='server FILE and client FILE make a secret certificate; show FILE prints the public key of a certificate, '
        'or the keys in a folder; revoke NAME removes the public keys of a principal; http NAME makes an HTTP key',
    )
    group.add_argument('what', metavar='FILE', help='file of the certificate, or name of the principal')
    options = parser.group('Options')
    options.add_argument(
        '-name',
        metavar='NAME',
        help='with client: name of the principal (default: the file name up to the first dot)',
    )
    options.add_argument(
        '-curve_clients',
        metavar='DIR',
        help="the server's folder of public keys: client adds a key to it, revoke removes keys",
    )
    add_help_and_version(parser, RELEASE)
    return parser


def run_keys(args: argparse.Namespace) -> list[str]:
    """Run the command of `args`; return the lines to print.

    Raises:
        UsageError: an argument is wrong, or a file already exists.
        ServingError: a file cannot be read or written.
    """
    try:
        return _COMMANDS[args.command](args)
    except OSError as error:
        raise ServingError('%s: %s' % (error.filename, error.strerror)) from None


def _make_server(args: argparse.Namespace) -> list[str]:
    certificate = _make_pair(None)
    public_path = args.what.removesuffix(SECRET_SUFFIX) + PUBLIC_SUFFIX
    if os.path.exists(public_path):
        raise UsageError('%s already exists: choose another file, or remove it first' % public_path)
    _write(args.what, certificate)
    _write(public_path, Certificate(certificate.public), mode=0o644)
    return [
        'secret certificate of the server: %s' % args.what,
        'public certificate: %s' % public_path,
        'public key: %s' % certificate.public,
        'Start the server with -curve_key_file %s -curve_clients DIRand give the public certificate to the clients.'
        % args.what,
    ]


def _make_client(args: argparse.Namespace) -> list[str]:
    name = args.name or os.path.basename(args.what).partition('.')[0]
    _check_name(name)
    certificate = _make_pair(name)
    public = Certificate(certificate.public, name=name)
    folder = args.curve_clients or os.path.dirname(args.what)
    public_path = os.path.join(folder, name + PUBLIC_SUFFIX)
    if os.path.exists(public_path):
        raise UsageError(
            '%s already exists: revoke %s first, or keep the old key valid by renaming it to %s.old%s'
            % (public_path, name, name, PUBLIC_SUFFIX)
        )
    _write(args.what, certificate)
    _write(public_path, public, mode=0o644)
    lines = [
        "secret certificate of principal '%s', for this client only: %s" % (name, args.what),
        'public certificate: %s' % public_path,
        'public key: %s' % certificate.public,
    ]
    if not args.curve_clients:
        lines.append('Copy the public certificate to the -curve_clients folder of the server.')
    return lines


def _show(args: argparse.Namespace) -> list[str]:
    if os.path.isdir(args.what):
        names, problems = read_clients(args.what)
        lines = ['%s: %s' % (name, Certificate(_z85(key)).public) for key, name in names.items()]
        return [*lines, *('left out: %s' % problem for problem in problems)]
    try:
        with open(args.what, encoding='utf-8') as file:
            certificate = read_certificate(file.read(), args.what)
    except UnicodeDecodeError:
        raise UsageError('%s is not a certificate: it is not text' % args.what) from None
    kind = 'public' if certificate.secret is None else 'secret'
    lines = ['%s certificate' % kind, 'public key: %s' % certificate.public]
    return lines if certificate.name is None else [*lines, 'name: %s' % certificate.name]


def _revoke(args: argparse.Namespace) -> list[str]:
    _check_name(args.what)
    if not args.curve_clients:
        raise UsageError('revoke needs the folder of public keys: add -curve_clients DIR')
    found = [
        file
        for file in sorted(os.listdir(args.curve_clients))
        if file.endswith(PUBLIC_SUFFIX) and file.partition('.')[0] == args.what
    ]
    if not found:
        raise UsageError('no key of %s in %s' % (args.what, args.curve_clients))
    for file in found:
        os.remove(os.path.join(args.curve_clients, file))
    return [
        'removed %s' % ', '.join(found),
        'A running server closes the connections of these keys within a second.',
        'HTTP keys are in the -principals file: remove them there.',
    ]


def _make_http_key(args: argparse.Namespace) -> list[str]:
    _check_name(args.what)
    key = secrets.token_urlsafe(HTTP_KEY_BYTES)
    return [
        'key, for the client only; it is not stored anywhere: %s' % key,
        'Add its SHA-256 to the -principals file of the server:',
        '[%s]' % args.what,
        'http_keys = ["sha256:%s"]' % hash_of_http_key(key),
    ]


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], list[str]]] = {
    'server': _make_server,
    'client': _make_client,
    'show': _show,
    'revoke': _revoke,
    'http': _make_http_key,
}


def _check_name(name: str) -> None:
    if not is_name(name):
        expected = 'expected a letter or a digit, then letters, digits, - and _'
        raise UsageError('%r is not a valid principal name: %s; choose another with -name' % (name, expected))


def _make_pair(name: str | None) -> Certificate:
    if not zmq.has('curve'):
        raise ServingError(
            'libzmq %s on this machine lacks CURVE: install pyzmq from PyPI, whose wheels include it'
            % zmq.zmq_version()
        )
    public, secret = zmq.curve_keypair()
    return Certificate(public.decode(), secret.decode(), name)


def _z85(key: bytes) -> str:
    return str(zmq.utils.z85.encode(key).decode())


def _write(path: str, certificate: Certificate, mode: int = 0o600) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise UsageError('%s already exists: choose another file, or remove it first' % path) from None
    with open(descriptor, 'w', encoding='utf-8') as file:
        file.write(format_certificate(certificate))
