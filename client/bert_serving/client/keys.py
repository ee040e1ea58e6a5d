# -*- coding: utf-8 -*-
"""The keys of a client, for connecting to a server with ``-curve_key_file``.

``bert-serving-keys`` makes the files, in the certificate format of pyzmq's ``zmq.auth``.
"""

from __future__ import division, print_function

import collections
import io
import os
import re

import zmq

_STRING_TYPES = (str, type(b''.decode('ascii'))) if str is bytes else (str,)

_Z85 = re.compile(r'[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}$')
_LINE = re.compile(r'\s*(public-key|secret-key|name)\s*=\s*["\']?(.*?)["\']?\s*$')
_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$')  # the server's own proxy begins with _


_KeysFields = collections.namedtuple('_KeysFields', ['server', 'public', 'secret', 'name'])


class Keys(_KeysFields):
    """The public key of the server, and the keys and principal's name of the client. Keys are Z85, as bytes."""

    __slots__ = ()

    def __repr__(self):  # without the secret
        return 'Keys(name=%r)' % (self.name,)

    @property
    def options(self):
        """The socket options for connecting with these keys."""
        return [
            (zmq.CURVE_SERVERKEY, self.server),
            (zmq.CURVE_PUBLICKEY, self.public),
            (zmq.CURVE_SECRETKEY, self.secret),
        ]

    def own_identity(self, identity):
        """Return the identity with the principal's name before it, because the server accepts no other."""
        prefix = self.name.encode('ascii') + b'.'
        return identity if identity.startswith(prefix) else prefix + identity


def read_keys(server_key, key_file):
    """Read the keys from the arguments of a client. Return None if both are empty.

    :param server_key: the public key of the server, 40 characters, or the file of its certificate
    :param key_file: the file of the client's secret certificate
    :raises ValueError: one is missing, cannot be read, or has no key
    :raises RuntimeError: libzmq has no CURVE
    """
    for name, value in (('server_key', server_key), ('key_file', key_file)):
        if value is not None and not isinstance(value, _STRING_TYPES):
            raise TypeError('"%s" must be text, but is a %s' % (name, type(value).__name__))
    if not server_key and not key_file:
        return None
    if not server_key or not key_file:
        raise ValueError(
            '"server_key" and "key_file" go together, but "%s" is missing: "server_key" is the public key of the '
            'server, "key_file" the secret certificate of this client' % ('server_key' if key_file else 'key_file')
        )
    if not zmq.has('curve'):
        raise RuntimeError(
            'this libzmq %s has no CURVE, which keys need: install pyzmq from PyPI (pip install -U pyzmq), whose wheels '
            'have it, or a libzmq that is built with libsodium' % zmq.zmq_version()
        )
    own = _read_certificate(key_file, 'key_file')
    if 'secret-key' not in own:
        raise ValueError(
            '"key_file": %s has no secret-key: use the file that bert-serving-keys made for this client, with the '
            'extension .key_secret' % key_file
        )
    name = own.get('name') or os.path.basename(key_file).partition('.')[0]
    if not _NAME.match(name):
        raise ValueError(
            '"key_file": %s has no principal\'s name, and its file name does not begin with one: add a line name = '
            '"..." below metadata' % key_file
        )
    server = server_key.strip()
    if not _Z85.match(server):
        server = _read_certificate(server_key, 'server_key')['public-key']
    return Keys(server.encode('ascii'), own['public-key'].encode('ascii'), own['secret-key'].encode('ascii'), str(name))


def _read_certificate(path, argument):
    try:
        with io.open(path, encoding='utf-8') as file:
            lines = file.read().splitlines()
    except (IOError, OSError, ValueError) as reason:  # the last: it is not text, or not a path
        expected = ' (expected a key of 40 characters, or a file)' if argument == 'server_key' else ''
        raise ValueError('"%s": cannot read %s: %s%s' % (argument, path, reason, expected))
    found = dict(match.groups() for match in map(_LINE.match, lines) if match)
    for kind in ('public-key', 'secret-key'):
        if not _Z85.match(found.get(kind, '' if kind == 'public-key' else '0' * 40)):
            raise ValueError(
                '"%s": %s is not a certificate: its %s is not 40 characters of Z85' % (argument, path, kind)
            )
    return found
