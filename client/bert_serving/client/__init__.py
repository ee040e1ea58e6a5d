# -*- coding: utf-8 -*-
"""The client of bert-as-service: sentences in, vectors out, over two ZeroMQ sockets.

It is one module that needs only numpy and pyzmq, for Python 2.7 and 3.7 to 3.13, so you can copy it into another
project. Its types are in ``__init__.pyi``.

The life of a request::

    encode ──▶ pending ──▶ PUSH ──▶ server ──▶ SUB ──▶ inbox ──▶ the caller
                  ▲                    │
                  └── connection lost ─┘   every pending request is sent again, with the same id

* A request is *pending* until its reply arrives. The client passes it to ZeroMQ once per connection: after a reconnect
  it sends all pending requests again (the server drops those that it already has).
* Each blocking call, each ``encode_async``, and ``fetch`` has an *inbox*. So a reply that arrives during another call
  is kept for its owner. A reply without an owner is dropped.
* The calling thread uses the sockets, under a lock without waiting: a second thread gets an error. The client's only
  own thread pulls the batches of ``encode_async``, and does not touch the sockets.
"""

from __future__ import division, print_function

import collections
import contextlib
import itertools
import json
import logging
import math
import os
import random
import socket
import sys
import threading
import time
import uuid
import warnings

import numpy as np
import zmq
from zmq.utils.monitor import recv_monitor_message

__all__ = [
    '__version__',
    'BertClient',
    'ConcurrentBertClient',
    'Response',
    'Encoded',
    'ServerError',
    'ProtocolError',
    'AuthenticationError',
    'SharedClientError',
    'UnsupportedError',
    'CancelledError',
    'TimeoutError',
]

__version__ = '2.0.0'

# The version of the protocol, not the release. 1.10.0 clients and servers reject any other.
PROTOCOL_VERSION = '1.10.0'

_PY2 = sys.version_info[0] == 2
if _PY2:
    _STRING_TYPES = (basestring,)  # noqa: F821
    _INTEGER_TYPES = (int, long, np.integer)  # noqa: F821

    class TimeoutError(OSError):
        """No response within ``timeout``; Python 2.7 has no such built-in class."""
else:
    _STRING_TYPES = (str,)
    _INTEGER_TYPES = (int, np.integer)
    TimeoutError = TimeoutError  # the built-in class, which can so be imported from here on every Python

_log = logging.getLogger('bert_serving.client')
_now = getattr(time, 'monotonic', time.time)  # 2.7 has only the wall clock

# A blocking `encode` sends up to this much as one request, and a larger input as several, so many at a time.
_CHUNK_ROWS = 4096
_CHUNK_BYTES = 8 << 20
_CHUNK_ANSWER_BYTES = 32 << 20
_CHUNKS_IN_FLIGHT = 8
_BATCHES_IN_FLIGHT = 16  # batches of `encode_async` that wait to be sent, answered, or taken

_MOST_DEADLINE_MS = 24 * 60 * 60 * 1000  # the server's limit
_MESSAGES_A_ROUND = 256  # read before the deadline is checked again: a clone can be busier than this client
_TICK_S = 1.0  # the longest poll: Ctrl-C does not end a poll on Windows
_FIRST_CONNECTION_S = 1.0  # how long `encode(blocking=False)` waits for a new connection
_QUIET_AWAY_S, _QUIET_THERE_S = 3.0, 60.0  # before the log reports a wait without, and with, a connection
_CLOSE_LINGER_MS = 1000

# The timeout grows where frames are slow, see `_Courier._ends_in_slow_frames`.
_HEARTBEAT_S, _HEARTBEAT_TIMEOUT_S, _MOST_HEARTBEAT_TIMEOUT_S = 8.0, 15.0, 3000.0
_HANDSHAKE_TIMEOUT_S = 10.0
_MAX_ID = 9 * 10**19  # ids have at most 20 digits
_RANDOM = random.SystemRandom()
_WRONG_KEY_S = 5.0  # of handshakes that fail, before the key of the server is called wrong
_PROBE_S = 0.2  # before a new connection is probed again; doubled each time
_OTHER_FAMILY_S, _MOST_OTHER_FAMILY_S = 0.5, 2.0  # before a name is tried as IPv6 instead of IPv4, or the reverse

# IMMEDIATE: ZeroMQ takes a request only when there is a connection, and forgets its queue when the connection is lost.
# The client keeps unanswered requests itself, so nothing is lost and no queue grows out of sight. SNDHWM 0: requests
# with blocking=False go out even if this client is not called again for a long time.
_SENDER_OPTIONS = [(zmq.IMMEDIATE, 1), (zmq.SNDHWM, 0)]

# RCVHWM 0: this client or a clone asked for every reply, so all are kept until they are read. A limit would not drop
# anything at this end, it would stop the reading: the server's queue would fill instead (1.10's drops), and the
# heartbeat, no longer read either, would end the connection.
_RECEIVER_OPTIONS = [(zmq.RCVHWM, 0)]

_FAILURES = [
    getattr(zmq, 'EVENT_HANDSHAKE_FAILED_' + name, 0) for name in ('NO_DETAIL', 'PROTOCOL', 'AUTH')
]  # an old pyzmq does not know them
_OTHER_MECHANISM = 0x11000002  # the value of a failure where one side has keys and the other none
_WATCHED_EVENTS = zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | sum(_FAILURES)


def _connection_options(heartbeat_timeout_s):
    """Return the options of both sockets, by name, because an old pyzmq or libzmq can lack some of them.

    The client finds a restarted server within a second, but does not try ten times a second while it is down for long.

    Heartbeats detect a dead connection: ZeroMQ sends a ping every 8 s, in its own thread, and gives up the connection
    if nothing arrives within the timeout. HEARTBEAT_TTL makes the server do the same. The timeout must exceed the time
    of the slowest frame, because a ping waits behind it.

    Keepalive is for servers that do not answer pings. It also keeps firewalls from forgetting the connection.
    """
    return [
        ('RECONNECT_IVL', 100),
        ('RECONNECT_IVL_MAX', 1000),
        ('CONNECT_TIMEOUT', 5000),
        ('HANDSHAKE_IVL', int(1000 * _HANDSHAKE_TIMEOUT_S)),
        ('HEARTBEAT_IVL', int(1000 * _HEARTBEAT_S)),
        ('HEARTBEAT_TIMEOUT', int(1000 * heartbeat_timeout_s)),
        ('HEARTBEAT_TTL', int(2000 * heartbeat_timeout_s)),
        ('TCP_KEEPALIVE', 1),
        ('TCP_KEEPALIVE_IDLE', 10),
        ('TCP_KEEPALIVE_INTVL', 5),
        ('TCP_KEEPALIVE_CNT', 3),
    ]


def _native(text):
    """Convert text to ``str``, which is bytes on 2.7, because 2.7 cannot print exceptions with unicode text."""
    return text.encode('utf-8') if _PY2 and not isinstance(text, str) else text


def _buffer(frame):
    # old releases of numpy read no memoryview on 2.7
    return frame.bytes if _PY2 else frame.buffer


def _can_write(stream):
    """Whether a standard stream exists, because daemons can lack it."""
    return stream is not None and not getattr(stream, 'closed', False)


# --- public types -----------------------------------------------------------------------------------------------------


class ServerError(RuntimeError):
    """The server answered a request with an error.

    :ivar type: the kind of error, by the server's name for it
    :ivar message: the server's description of the error
    :ivar request_id: the id of the request that failed
    """

    def __init__(self, type, message, request_id=None):
        super(ServerError, self).__init__(_native('%s: %s' % (type, message)))
        self.type = type
        self.message = message
        self.request_id = request_id

    def __reduce__(self):  # otherwise a pool of processes could not pass it on, and would wait forever
        return ServerError, (self.type, self.message, self.request_id)


class ProtocolError(RuntimeError):
    """A reply cannot be read, or does not fit the request."""


class AuthenticationError(RuntimeError):
    """The server rejects this client: a key is missing, unknown or wrong, or the identity is another principal's."""


class SharedClientError(RuntimeError):
    """Two threads use a client at the same time, or a forked process uses its parent's client."""


class UnsupportedError(RuntimeError):
    """The server does not advertise the protocol extension that a call needs; a 1.10 server advertises none."""


class CancelledError(RuntimeError):
    """The ``cancelled`` function of a call ended it."""


class Response(collections.namedtuple('Response', ['id', 'embedding', 'tokens'])):
    """Result of one request, from ``fetch``, ``encode_async`` and ``listen``.

    :ivar id: the id of the request, an int; ids increase in the order of sending
    :ivar embedding: an array [rows, ...], or nested lists with ``output_fmt="list"``
    :ivar tokens: a list of tokens per row, or ``''`` if the server does not show them
    """

    __slots__ = ()

    @property
    def content(self):
        """The embedding, under its older name."""
        return self.embedding

    @property
    def shape(self):
        """The shape of the embedding."""
        return np.shape(self.embedding)


class Encoded(collections.namedtuple('Encoded', ['array', 'tokens', 'token_counts', 'truncated_rows'])):
    """Result of ``encode_with_details`` and ``tokenize``.

    :ivar array: the embedding; for ``tokenize`` the token ids, int32 [rows, tokens], padded with zeros
    :ivar tokens: a list of tokens per row, or ``''`` if the server does not show them
    :ivar token_counts: a list of ints, the number of tokens of each row, [CLS] and [SEP] included
    :ivar truncated_rows: a list of the truncated rows, counted from 0
    """

    __slots__ = ()


Encoded.__new__.__defaults__ = ((),)


# --- arguments --------------------------------------------------------------------------------------------------------

# They can come from the environment or a file, so they can be text.

_TRUE_WORDS, _FALSE_WORDS = ('1', 'true', 'yes', 'on'), ('', '0', 'false', 'no', 'off')
_MOST_IDENTITY_BYTES = 256  # the server ignores a request with a longer one


def _read_host(value):
    """Return a host name or an address, without the brackets of an IPv6 address in a URL."""
    if not isinstance(value, _STRING_TYPES):
        raise TypeError('"ip" must be a host name or an address, but is a %s' % type(value).__name__)
    host = value.strip()
    if host[:1] == '[' and host[-1:] == ']':
        host = host[1:-1]
    if not host:
        raise ValueError('"ip" must be a host name or an address, but is empty')
    if '/' in host:
        raise ValueError(
            '"ip" must be a host name or an address, but is %r: leave out the protocol and the path' % value
        )
    if host.count(':') == 1 or ']' in host:
        raise ValueError('"ip" must be a host name or an address, but is %r: pass the port as "port"' % value)
    if any(character.isspace() or ord(character) > 126 for character in host):
        raise ValueError(
            '"ip" must be ASCII without spaces, but is %r: a name in other letters begins with xn--' % value
        )
    if not all(character.isalnum() or character in '-_.:%' for character in host):
        raise ValueError('"ip" must be a host name or an address, but is %r' % value)
    if ':' in host and hasattr(socket, 'inet_pton'):  # 2.7 lacks it on Windows
        try:
            socket.inet_pton(socket.AF_INET6, host.partition('%')[0])  # without the zone
        except socket.error:
            raise ValueError('"ip" must be a host name or an address, but is %r: that is no IPv6 address' % value)
    return host


def _read_number(value, name, least, most=None):
    """Return a whole number from a number or text."""
    wanted = 'a whole number ' + ('of at least %d' % least if most is None else 'from %d to %d' % (least, most))
    if isinstance(value, _STRING_TYPES):
        digits = value.strip()
        if not digits or digits.strip('0123456789') or len(digits) > 20:
            raise ValueError('"%s" must be %s, but is %.40r' % (name, wanted, value))
        value = int(digits)
    if not isinstance(value, _INTEGER_TYPES) or isinstance(value, bool):
        raise TypeError('"%s" must be %s, but is a %s' % (name, wanted, type(value).__name__))
    if value < least or (most is not None and value > most):
        raise ValueError('"%s" must be %s, but is %d' % (name, wanted, value))
    return int(value)


def _read_timeout(value):
    """Return milliseconds, negative for no limit."""
    if value is None:
        return -1
    if isinstance(value, bool) or not isinstance(value, _STRING_TYPES + _INTEGER_TYPES + (float, np.floating)):
        raise TypeError('"timeout" must be a number of milliseconds, but is a %s' % type(value).__name__)
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = float('nan')
    if number != number:
        raise ValueError('"timeout" must be a number of milliseconds, or -1 for no limit, but is %.40r' % (value,))
    return int(number) if number == number // 1 and abs(number) != float('inf') else number


def _read_flag(value, name):
    """Return a boolean from a boolean, number or word."""
    if value is None or isinstance(value, _INTEGER_TYPES + (np.bool_,)):
        return bool(value)
    if not isinstance(value, _STRING_TYPES):
        raise TypeError('"%s" must be True or False, but is a %s' % (name, type(value).__name__))
    word = value.strip().lower()
    if word not in _TRUE_WORDS + _FALSE_WORDS:
        raise ValueError('"%s" must be True or False, or one of their words, but is %r' % (name, value))
    return word in _TRUE_WORDS


def _read_keys(server_key, key_file):
    """Return the keys from the arguments or, where they are None, from the environment; None without keys."""
    values = [
        os.environ.get(name, '') if value is None else value
        for value, name in ((server_key, 'BERT_SERVING_SERVER_KEY'), (key_file, 'BERT_SERVING_KEY_FILE'))
    ]
    if not any(values):
        return None
    from bert_serving.client.keys import read_keys

    return read_keys(*values)


def _read_identity(value, keys=None):
    """Return an identity as bytes, random by default. With keys, it begins with the name of their principal."""
    if keys is not None:
        return _read_identity(keys.own_identity(_read_identity(value)))
    if value is None or isinstance(value, _STRING_TYPES + (bytes,)) and not value:
        return str(uuid.uuid4()).encode('ascii')
    if not isinstance(value, _STRING_TYPES + (bytes,)):
        raise TypeError('"identity" must be bytes or text, but is a %s' % type(value).__name__)
    try:
        identity = value if isinstance(value, bytes) else value.encode('utf-8')
    except UnicodeEncodeError:
        raise ValueError('"identity" must be bytes or text that UTF-8 can encode, but is %r' % value)
    if len(identity) > _MOST_IDENTITY_BYTES:
        raise ValueError('"identity" must have at most %d bytes, but has %d' % (_MOST_IDENTITY_BYTES, len(identity)))
    return identity


# --- connection -------------------------------------------------------------------------------------------------------


class _Channel(object):
    """A socket to one port of the server, and the state of its connection from the socket's monitor."""

    def __init__(self, context, kind, options, address, is_ipv6, heartbeat_timeout_s, times_up=0):
        self.refusal = None  # why the server does not let this client in
        self.fails_since = None  # since when every handshake has failed
        self.kind = kind
        self.options = options
        self.address = address
        self.is_ipv6 = is_ipv6
        self.is_up = self.is_reached = False  # reached: there is a TCP connection, which can still lack its handshake
        self.times_up = times_up
        self.opened_at = self.changed_at = _now()
        self.socket = context.socket(kind)
        for option, value in options:
            self.socket.setsockopt(option, value)
        for name, value in _connection_options(heartbeat_timeout_s) + [('IPV6', int(is_ipv6))]:
            try:
                self.socket.setsockopt(getattr(zmq, name), value)
            except (AttributeError, zmq.ZMQError):
                pass  # pyzmq or libzmq is older than the option
        # Not get_monitor_socket(): an idle client does not read, and a monitor at its high-water mark stops ZeroMQ's
        # I/O thread, and with it everything. A peer that accepts and disconnects, such as a proxy, makes ten events a
        # second.
        events = 'inproc://monitor-%s' % uuid.uuid4().hex
        self.socket.monitor(events, _WATCHED_EVENTS)
        self.monitor = context.socket(zmq.PAIR)
        self.monitor.setsockopt(zmq.RCVHWM, 0)
        self.monitor.connect(events)
        try:
            self.socket.connect(self.address)
        except zmq.ZMQError as reason:
            self.close(0)  # otherwise the context would wait for these sockets forever
            raise ValueError('invalid address %s: %s' % (self.address, reason))
        except BaseException:
            self.close(0)
            raise

    def watch(self):
        """Process the events of the connection since the last call."""
        while self.monitor.get(zmq.EVENTS) & zmq.POLLIN:
            message = recv_monitor_message(self.monitor)
            event = message['event']
            if event in _FAILURES:
                self._note_failure(event, message['value'])
                continue
            self.is_reached = event != zmq.EVENT_DISCONNECTED
            is_up = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            self.times_up += is_up
            if is_up:
                self.fails_since = None
            if is_up != self.is_up:
                self.is_up = is_up
                self.changed_at = _now()

    def _note_failure(self, event, value):
        has_keys = any(option == zmq.CURVE_SERVERKEY for option, _ in self.options)
        self.fails_since = self.fails_since or _now()
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self.refusal = (
                'the server does not know the key of this client: ask its operator to add the public certificate to '
                '-curve_clients'
            )
        elif event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL and value == _OTHER_MECHANISM:
            self.refusal = (
                'the server has no keys: leave out "server_key" and "key_file", or start the server with '
                '-curve_key_file'
                if has_keys
                else 'the server accepts only clients with a key: pass "server_key" and "key_file", or set '
                'BERT_SERVING_SERVER_KEY and BERT_SERVING_KEY_FILE'
            )
        elif has_keys and not self.times_up and _now() - self.fails_since >= _WRONG_KEY_S:
            self.refusal = (
                'the server ends every handshake: "server_key" is probably not its key, which bert-serving-keys show '
                'prints'
            )

    def close(self, linger_ms):
        if not self.socket.closed:
            self.socket.disable_monitor()
            self.monitor.close(0)
            self.socket.close(linger_ms)


class _Doorbell(object):
    """Wakes the thread that polls ``socket``. Any thread can ring, even after the doorbell is closed."""

    def __init__(self, context):
        self._lock = threading.RLock()  # a signal handler can ring while its own thread is ringing
        self.socket = context.socket(zmq.PAIR)
        self.socket.bind('inproc://doorbell')
        self._button = context.socket(zmq.PAIR)
        self._button.connect('inproc://doorbell')

    def ring(self):
        with self._lock:  # the lock makes the socket usable from several threads
            if not self._button.closed:
                try:
                    self._button.send(b'', zmq.NOBLOCK)
                except zmq.Again:
                    pass  # a thousand unheard rings are enough

    def quiet(self):
        while self.socket.get(zmq.EVENTS) & zmq.POLLIN:
            self.socket.recv()

    def close(self):
        with self._lock:
            self._button.close(0)
        self.socket.close(0)


class _Link(object):
    """The two connections to a server. It moves frames and blocks only in ``wait``."""

    def __init__(self, ip, port, port_out, identity, keys=None):
        self.heartbeat_timeout_s = _HEARTBEAT_TIMEOUT_S
        self._is_name = not _is_address(ip)
        self._other_family_s = _OTHER_FAMILY_S
        self._context = zmq.Context()
        self._idle_poller, self._full_poller = zmq.Poller(), zmq.Poller()
        self._sender = self._receiver = self._doorbell = None
        host, is_ipv6 = ('[%s]' % ip, True) if ':' in ip else (ip, False)
        key_options = keys.options if keys else []
        receiver_options = _RECEIVER_OPTIONS + key_options + [(zmq.SUBSCRIBE, identity)]
        try:
            self._sender = self._open(zmq.PUSH, _SENDER_OPTIONS + key_options, 'tcp://%s:%d' % (host, port), is_ipv6)
            self._receiver = self._open(zmq.SUB, receiver_options, 'tcp://%s:%d' % (host, port_out), is_ipv6)
            self._doorbell = _Doorbell(self._context)
        except BaseException:
            self.close()
            raise
        self.ring = self._doorbell.ring
        for poller in (self._idle_poller, self._full_poller):
            poller.register(self._doorbell.socket, zmq.POLLIN)

    def _open(self, kind, options, address, is_ipv6, times_up=0):
        """Make a channel and poll it."""
        channel = _Channel(self._context, kind, options, address, is_ipv6, self.heartbeat_timeout_s, times_up)
        for poller in (self._idle_poller, self._full_poller):
            poller.register(channel.monitor, zmq.POLLIN)
            if kind == zmq.SUB:
                poller.register(channel.socket, zmq.POLLIN)
        if kind == zmq.PUSH:
            self._full_poller.register(channel.socket, zmq.POLLOUT)
        return channel

    def _reopen(self, old, is_ipv6):
        """Replace a channel. The new connection is a new session."""
        for poller in (self._idle_poller, self._full_poller):
            poller.unregister(old.monitor)
            if old.kind == zmq.SUB:
                poller.unregister(old.socket)
        if old.kind == zmq.PUSH:
            self._full_poller.unregister(old.socket)
        old.close(0)
        new = self._open(old.kind, old.options, old.address, is_ipv6, old.times_up)
        if not old.is_up:
            new.changed_at = old.changed_at
            new.fails_since = old.fails_since
        return new

    @property
    def is_up(self):
        return self._sender.is_up and self._receiver.is_up

    @property
    def session(self):
        """An id that changes with each new connection of either socket, because earlier messages can be lost."""
        return self._sender.times_up, self._receiver.times_up

    @property
    def is_first(self):
        """Whether no connection has been lost yet."""
        return self.session == (1, 1)

    @property
    def changed_at(self):
        return max(self._sender.changed_at, self._receiver.changed_at)

    def describe(self):
        """Describe the state of the connections, for a log line or an error."""
        missing = [
            '%s (%s)' % (channel.address, use)
            for channel, use in ((self._sender, 'requests'), (self._receiver, 'results'))
            if not channel.is_up
        ]
        if missing:
            return 'no connection to %s' % ' and '.join(missing)
        lost = max(self.session) - 1
        return 'connected to %s and %s%s' % (
            self._sender.address,
            self._receiver.address,
            ', after that was lost %d time(s)' % lost if lost else '',
        )

    @property
    def refusal(self):
        """Why the server rejects this client, or None if it does not or is not there."""
        for channel in (self._sender, self._receiver):
            if channel.refusal:
                return '%s: %s' % (channel.address, channel.refusal)
        return None

    def try_again(self):
        """Connect again, which libzmq does not do after a refusal."""
        self._sender = self._reopen(self._sender, self._sender.is_ipv6)
        self._receiver = self._reopen(self._receiver, self._receiver.is_ipv6)
        self._sender.fails_since = self._receiver.fails_since = None

    def watch(self):
        """Process the events of both connections."""
        self._sender.watch()
        self._receiver.watch()
        if self._is_name and not self._has_been_up:
            self._try_other_family()

    def _try_other_family(self):
        """Reopen unconnected channels for the IPv6 addresses of the name instead of the IPv4 addresses, or the reverse.

        libzmq tries only the addresses of one family. The family of the first connection is kept.
        """
        due = _now() - self._other_family_s
        sender, receiver = self._sender, self._receiver
        if not sender.is_reached and not sender.times_up and sender.opened_at <= due:
            self._sender = self._reopen(sender, not sender.is_ipv6)
        if not receiver.is_reached and not receiver.times_up and receiver.opened_at <= due:
            self._receiver = self._reopen(receiver, not receiver.is_ipv6)
        if (self._sender, self._receiver) != (sender, receiver):
            self._other_family_s = min(2 * self._other_family_s, _MOST_OTHER_FAMILY_S)

    @property
    def _has_been_up(self):
        return bool(self._sender.times_up and self._receiver.times_up)

    def expect_slow_frames(self):
        """Double the heartbeat timeout, and reconnect."""
        self.heartbeat_timeout_s = min(2 * self.heartbeat_timeout_s, _MOST_HEARTBEAT_TIMEOUT_S)
        self._sender = self._reopen(self._sender, self._sender.is_ipv6)
        self._receiver = self._reopen(self._receiver, self._receiver.is_ipv6)

    def send(self, frames):
        """Send a message. Return False if it would block."""
        is_begun = False
        try:
            for frame in frames[:-1]:
                self._sender.socket.send(frame, zmq.NOBLOCK | zmq.SNDMORE)
                is_begun = True
            self._sender.socket.send(frames[-1], zmq.NOBLOCK)
        except zmq.Again:
            if is_begun:
                self._sender = self._reopen(self._sender, self._sender.is_ipv6)
            return False
        except BaseException:  # Ctrl-C: the frames that went out must not become the head of the next message
            self._sender = self._reopen(self._sender, self._sender.is_ipv6)
            raise
        return True

    def receive(self):
        """Return the frames of the next message, or None."""
        try:
            return self._receiver.socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None

    def wait(self, seconds, to_send):
        """Wait until something might have changed. With ``to_send``, also wait for space to send."""
        poller = self._full_poller if to_send and self.is_up else self._idle_poller
        longest = _TICK_S if not self._is_name or self._has_been_up else min(_TICK_S, self._other_family_s)
        poller.poll(int(math.ceil(1000 * max(0, min(seconds, longest)))))
        self._doorbell.quiet()

    def close(self):
        if self._context.closed:
            return
        if self._doorbell is not None:
            self._doorbell.close()
        if self._receiver is not None:
            self._receiver.close(0)
        if self._sender is not None:
            self._sender.close(_CLOSE_LINGER_MS)  # requests with blocking=False still go out
        # Not `term`: it would wait for ever for a socket that Ctrl-C kept from getting its name.
        self._context.destroy(0)


def _is_address(ip):
    """Whether a host is an address, not a name."""
    return ':' in ip or ip.replace('.', '').isdigit()


# --- messages ---------------------------------------------------------------------------------------------------------


class _Request(object):
    """A request, kept until its reply arrives, so that it can be sent again."""

    __slots__ = ('id', 'payload', 'rows', 'inbox', 'since', 'options', 'is_patient')

    def __init__(self, request_id, payload, rows, inbox, options=None, is_patient=True):
        self.id = request_id
        self.payload = payload
        self.rows = rows
        self.inbox = inbox
        self.since = _now()
        self.options = options  # of the extensions, a dict; None: a request that every server can read
        self.is_patient = is_patient  # whether it waits for the next server if this one is shutting down

    def frames(self, identity):
        frames = [identity, self.payload, b'%d' % self.id, b'%d' % self.rows]
        return frames if self.options is None else frames + [_dump(self.options)]


class _Reply(object):
    """A reply. ``header`` is its JSON object, ``data`` the frame of its array, ``error`` an exception to raise."""

    __slots__ = ('id', 'header', 'data', 'error')

    def __init__(self, request_id, header, data, error=None):
        self.id = request_id
        self.header = header
        self.data = data
        self.error = error

    @property
    def array(self):
        """The array [rows, ...], read-only, in the memory of the message."""
        return np.frombuffer(_buffer(self.data), dtype=str(self.header['dtype'])).reshape(self.header['shape'])

    @property
    def tokens(self):
        return self.header.get('tokens', '')

    @property
    def token_counts(self):
        return self.header.get('token_counts')


class _Inbox(object):
    """The inbox of a call: requests ``waiting`` for a reply, by id in the order of sending, and ``arrived`` replies."""

    def __init__(self):
        self.waiting = collections.OrderedDict()
        self.arrived = collections.deque()
        self.failed = False
        self.needs = frozenset()  # the extensions that its requests require

    def __len__(self):
        return len(self.waiting) + len(self.arrived)

    def put(self, reply):
        if reply.error:  # the next caller gets it first
            self.arrived.appendleft(reply)
            self.failed = True
        else:
            self.arrived.append(reply)
        self.waiting.pop(reply.id, None)  # last, so that no interrupt loses the reply

    def take(self):
        """Return the next reply or raise its error."""
        reply = self.arrived.popleft()
        self.failed = bool(self.arrived) and self.arrived[0].error is not None
        if reply.error:
            raise reply.error
        return reply


def _read_reply(frames, request_id, rows):
    """Make a reply of the frames for a request of ``rows`` rows (0: of the config; None: of a clone)."""
    try:
        header = json.loads(frames[1].bytes.decode('utf-8'))
        error = header.get('error')
        if isinstance(error, dict):
            return _Reply(
                request_id, header, None, ServerError(error.get('type', 'Error'), error.get('message', ''), request_id)
            )
        reply = _Reply(request_id, header, frames[2] if len(frames) == 4 else None)
        if rows != 0:
            came = len(reply.array)
            if rows is not None and came != rows:
                raise ValueError('%d rows were sent, %d came back' % (rows, came))
            for name in ('tokens', 'token_counts'):
                values = header.get(name)
                if values and len(values) != came:
                    raise ValueError('%s of %d rows for %d' % (name, len(values), came))
        return reply
    except Exception as reason:  # any error in the frames: the waiting call must get it
        return _Reply(
            request_id,
            None,
            None,
            ProtocolError(
                _native('cannot use the reply to request %d: %s: %s' % (request_id, type(reason).__name__, reason))
            ),
        )


def _is_shutting_down(reply):
    """Whether the server refused a request because it is shutting down, so that the next server will take it."""
    return isinstance(reply.error, ServerError) and reply.error.type == 'ShuttingDown'


def _dump(rows):
    """Encode a JSON list or object as bytes."""
    if not _PY2:
        try:
            return json.dumps(rows, ensure_ascii=False, separators=(',', ':')).encode('utf-8')
        except UnicodeEncodeError:
            pass  # UTF-8 cannot encode half a surrogate pair, but an escape can
    return json.dumps(rows, separators=(',', ':')).encode('ascii')


# --- texts ------------------------------------------------------------------------------------------------------------


class _Texts(object):
    """The checked rows of one ``encode``, converted to native lists chunk by chunk.

    :raises TypeError: not a list, tuple, array or Series of strings (of lists of strings if tokenized)
    :raises ValueError: it is empty, or one of its elements is empty or blank
    """

    def __init__(self, texts, is_tokenized):
        self._is_tokenized = is_tokenized
        self._rows = _sequence(texts, '"texts"')
        for index, row in enumerate(self._rows):
            if is_tokenized:
                for position, token in enumerate(_sequence(row, 'element %d of "texts"' % index)):
                    _check_text(token, 'token %d of element %d of "texts"', (position, index))
            else:
                _check_text(row, 'element %d of "texts"', (index,))

    def __len__(self):
        return len(self._rows)

    def has_longer_than(self, words):
        """Whether an element has more than ``words`` tokens or words."""
        if self._is_tokenized:
            return any(len(row) > words for row in self._rows)
        # a text of n words has at least 2n - 1 characters, so most texts need no split
        return any(len(text) > 2 * words and len(text.split()) > words for text in self._rows)

    def dump(self, start, stop):
        """Encode the rows from ``start`` to ``stop`` as JSON."""
        rows = self._rows[start:stop]
        rows = rows.tolist() if isinstance(rows, np.ndarray) else rows
        if self._is_tokenized:
            return _dump([[_text(token) for token in row] for row in rows])
        return _dump([_text(text) for text in rows])


class _Pairs(object):
    """Checked rows of two texts each, with the interface of ``_Texts``. Texts can be empty."""

    def __init__(self, rows):
        self._rows = rows
        for index, row in enumerate(rows):
            if isinstance(row, _STRING_TYPES + (bytes,)):
                raise TypeError(
                    'element %d of "pairs_or_texts" must be a list of two strings, but is a %s'
                    % (index, type(row).__name__)
                )
            pair = _sequence(row, 'element %d of "pairs_or_texts"' % index)
            if len(pair) != 2:
                raise ValueError('element %d of "pairs_or_texts" must have two texts, but has %d' % (index, len(pair)))
            for position, text in enumerate(pair):
                _check_string(text, 'text %d of element %d of "pairs_or_texts"', (position, index))

    def __len__(self):
        return len(self._rows)

    def dump(self, start, stop):
        return _dump([[_text(text) for text in pair] for pair in self._rows[start:stop]])


class _TokenIds(object):
    """Checked rows of token ids, with the interface of ``_Texts``."""

    def __init__(self, rows):
        self._rows = _sequence(rows, '"texts"')
        for index, row in enumerate(self._rows):
            for position, value in enumerate(_sequence(row, 'element %d of "texts"' % index)):
                if not isinstance(value, _INTEGER_TYPES) or isinstance(value, bool):
                    raise TypeError(
                        'token %d of element %d of "texts" must be an int, but is a %s'
                        % (position, index, type(value).__name__)
                    )

    def __len__(self):
        return len(self._rows)

    def dump(self, start, stop):
        return _dump([[int(value) for value in row] for row in self._rows[start:stop]])


def _sequence(value, name):
    """Return a list, tuple or array unchanged, a Series as an array."""
    if isinstance(value, _STRING_TYPES + (bytes,)):
        raise TypeError(
            '%s must be a list of strings: got a single %s; wrap it in a list' % (name, type(value).__name__)
        )
    if not isinstance(value, (list, tuple)):
        if not hasattr(value, '__array__'):
            raise TypeError('%s must be a list, but is a %s' % (name, type(value).__name__))
        value = np.asarray(value)
        if not value.ndim:
            raise TypeError('%s must be a list, but is an array without dimensions' % name)
    if not len(value):
        raise ValueError('%s must not be empty' % name)
    return value


def _check_text(value, name, numbers):
    if not isinstance(value, _STRING_TYPES):
        raise TypeError('%s must be a string, but is a %s' % (name % numbers, type(value).__name__))
    if not value.strip():
        raise ValueError('%s must not be blank, but is %r' % (name % numbers, value))
    _check_string(value, name, numbers)


def _check_string(value, name, numbers):
    if not isinstance(value, _STRING_TYPES):
        raise TypeError('%s must be a string, but is a %s' % (name % numbers, type(value).__name__))
    if _PY2:
        try:
            _text(value)
        except UnicodeDecodeError as reason:
            raise ValueError('%s is neither unicode nor UTF-8: %s' % (name % numbers, reason))


def _text(value):
    return value.decode('utf-8') if isinstance(value, bytes) else value


# --- options ----------------------------------------------------------------------------------------------------------

_DTYPES = ('float32', 'float16', 'int8', 'binary', 'ubinary')
_TRUNCATIONS = ('right', 'left', 'error')


def _wishes(prompt_name=None, prompt=None, normalize=None, dimensions=None, dtype=None, truncate=None, is_text=True):
    """Check the options of a request. Return those that are not None as a dict for the server, or None."""
    for name, value in (('prompt_name', prompt_name), ('prompt', prompt)):
        if value is None:
            continue
        if not is_text:
            raise TypeError('"%s" needs texts: it cannot be combined with tokens or token ids' % name)
        _check_string(value, '"%s"', (name,))
    if prompt_name is not None and prompt is not None:
        raise TypeError('"prompt_name" and "prompt" are mutually exclusive: use one of them')
    if normalize is not None and not isinstance(normalize, (bool, np.bool_)):
        raise TypeError('"normalize" must be True, False or None, but is a %s' % type(normalize).__name__)
    if dimensions is not None:
        if not isinstance(dimensions, _INTEGER_TYPES) or isinstance(dimensions, bool):
            raise TypeError('"dimensions" must be an int, but is a %s' % type(dimensions).__name__)
        if dimensions < 1:
            raise ValueError('"dimensions" must be at least 1, but is %d' % dimensions)
    if dtype is not None and not isinstance(dtype, _STRING_TYPES):
        dtype = np.dtype(dtype).name
    for name, value, words in (('dtype', dtype, _DTYPES), ('truncate', truncate, _TRUNCATIONS)):
        if value is not None and value not in words:
            raise ValueError('"%s" must be one of %s, but is %r' % (name, ', '.join(words), value))
    wishes = {
        'prompt_name': prompt_name if prompt_name is None else _text(prompt_name),
        'prompt': prompt if prompt is None else _text(prompt),
        'normalize': normalize if normalize is None else bool(normalize),
        'dimensions': dimensions if dimensions is None else int(dimensions),
        'dtype': dtype,
        'truncate': truncate,
    }
    return {name: value for name, value in wishes.items() if value is not None} or None


def _needs_of(options):
    """The extensions that a request with these options requires."""
    return frozenset(options) - {'token_counts', 'tokenize'} | {'options'}


# --- answers ----------------------------------------------------------------------------------------------------------


class _Answer(object):
    """The result of one ``encode``, assembled from the replies to its chunks in any order."""

    def __init__(self, rows, is_ragged=False):
        self._rows = rows
        self._is_ragged = is_ragged  # whether parts of two dimensions can differ in the second, as token ids do
        self.missing = rows
        self.array = None
        self._tokens = [''] * rows
        self.token_counts = [0] * rows
        self.truncated_rows = []

    @property
    def bytes_per_row(self):
        return None if self.array is None else max(1, self.array[:1].nbytes)

    @property
    def tokens(self):
        return '' if '' in self._tokens else self._tokens

    def details(self):
        return Encoded(self.array, self.tokens, self.token_counts, sorted(self.truncated_rows))

    def put(self, start, reply):
        """Store the rows of a reply from ``start`` on, and return their number."""
        count = self.put_array(start, reply.array)
        if reply.tokens:
            self._tokens[start : start + count] = reply.tokens
        if reply.token_counts:
            self.token_counts[start : start + count] = reply.token_counts
        self.truncated_rows += [start + row for row in reply.header.get('truncated_rows') or ()]
        self.missing -= count
        return count

    def put_array(self, start, part):
        """Store the rows ``part`` from ``start`` on, and return their number."""
        count = len(part)
        if count == self._rows:
            self.array = part.copy()  # which the caller can write to
        else:
            self._make_room(part)
            # The token-level replies of a server without max_seq_len differ in length: the rest stays zero, as it would
            # in a single reply.
            self.array[(slice(start, start + count),) + tuple(slice(size) for size in part.shape[1:])] = part
        return count

    def _make_room(self, part):
        if self.array is None:
            self.array = np.zeros((self._rows,) + part.shape[1:], dtype=part.dtype)
            return
        have, need = self.array.shape[1:], part.shape[1:]
        if (
            self.array.dtype != part.dtype
            or have[1:] != need[1:]
            or (len(need) < 2 and have != need and not self._is_ragged)
        ):
            raise ProtocolError(
                'cannot join rows of %s %s and of %s %s: was the server restarted with different options?'
                % (self.array.dtype, have, part.dtype, need)
            )
        if need[:1] > have[:1]:
            wider = np.zeros((self._rows,) + need, dtype=part.dtype)
            wider[:, : have[0]] = self.array
            self.array = wider


def _concatenated(embeddings):
    """Join all rows in one array or list. As in ``encode``, zeros pad token-level arrays to the longest."""
    if isinstance(embeddings[0], list):
        return [row for embedding in embeddings for row in embedding]
    answer = _Answer(sum(len(embedding) for embedding in embeddings))
    start = 0
    for embedding in embeddings:
        start += answer.put_array(start, embedding)
    return answer.array


# --- producer ---------------------------------------------------------------------------------------------------------


class _Producer(object):
    """Pulls the batches of ``encode_async`` in a separate thread, because the user's iterator can be slow.

    At most ``_BATCHES_IN_FLIGHT`` are in flight. Each ``taken`` makes room for one more.
    """

    def __init__(self, iterable, limit, ring):
        self._iterable = iterable
        self._limit = limit
        self._ring = ring
        self._room = threading.Semaphore(_BATCHES_IN_FLIGHT)
        self._is_stopped = self._is_done = False
        self.batches = collections.deque()
        self.error = None
        self._thread = threading.Thread(target=self._run, name='bert-client-producer')
        self._thread.daemon = True  # a blocked iterator must not block the end of the program

    def start(self):
        if not self._thread.ident:
            self._thread.start()

    def taken(self):
        self._room.release()

    def stop(self):
        self._is_stopped = True
        self._room.release()

    def has_news(self, inbox):
        return self.batches or self.has_ended and not inbox

    @property
    def has_ended(self):
        return self._is_done and not self.batches  # in this order, because the last batch comes before the end

    def _run(self):
        try:
            for batch in itertools.islice(self._as_there_is_room(iter(self._iterable)), self._limit):
                self.batches.append(batch)
                self._ring()
        except BaseException as error:  # the consumer raises it again
            self.error = error
        self._is_done = True
        self._ring()

    def _as_there_is_room(self, batches):
        while True:
            self._room.acquire()
            if self._is_stopped:
                return
            try:
                batch = next(batches)
            except StopIteration:
                return
            yield batch


class _NoProgress(object):
    def update(self, number):
        pass

    def close(self):
        pass


def _progress_bar(total, stacklevel):
    if not _can_write(sys.stderr):
        return _NoProgress()
    try:
        from tqdm import tqdm
    except ImportError:
        warnings.warn(
            'cannot show progress without tqdm: pip install "bert-serving-client[progress]"', stacklevel=stacklevel
        )
        return _NoProgress()
    return tqdm(total=total)


# --- courier ----------------------------------------------------------------------------------------------------------


class _Deadline(object):
    """The end of a wait for the server, ``timeout_ms`` after its start, or never if that is negative."""

    def __init__(self, timeout_ms, since=None):
        self.timeout_ms = timeout_ms
        is_set = timeout_ms is not None and timeout_ms >= 0
        self._at = (_now() if since is None else since) + timeout_ms / 1000 if is_set else float('inf')

    @property
    def seconds_left(self):
        return self._at - _now()


class _Courier(object):
    """Carries requests to the server, again on each new connection, and replies to the inboxes of their calls."""

    def __init__(self, link, identity, has_clones):
        self._link = link
        self._identity = identity
        self._refusal = None
        # The server adds zeros and the length to an identity that is the beginning of another.
        self._topics = {identity}
        if len(identity) < 16:
            self._topics.add(identity.ljust(15, b'\0') + bytes(bytearray([len(identity)])))
        self._has_clones = has_clones
        self._session_since = _now()
        self._last_id = 0
        self._pending = collections.OrderedDict()  # id -> request that has no reply yet
        self._unsent = collections.OrderedDict()  # the pending ones that ZeroMQ has not taken in this session
        self._session = None
        self._is_heard = False  # whether the server is known to publish to this session
        self._probes = set()  # ids
        self._has_progressed = False  # whether a request was answered in this session
        self._silent_sessions = 0  # in a row
        self.num_request = 0
        self.is_closed = False
        self.extended_session = None  # the session whose server is known to read requests with options
        self.cancelling_session = None  # the session whose server is known to read CANCEL
        self._to_cancel = collections.deque()  # ids of requests that nobody waits for any more
        self.listeners = 0
        self.overheard = collections.deque()  # replies to clones, while there are listeners

    @property
    def refusal(self):
        """The error if the server rejects this client, or None if it does not or is not there."""
        reason = self._refusal or self._link.refusal
        return AuthenticationError(_native('refused by %s' % reason)) if reason else None

    def forgive(self):
        """Try again after a refusal, because the server might have got the key meanwhile."""
        if self._refusal or self._link.refusal:
            self._refusal = None
            self._link.try_again()

    @property
    def pending_ids(self):
        return sorted(dict.keys(self._pending))  # a snapshot: Python 2 would let others change it between two ids

    @property
    def session(self):
        """The id of the current session, or None before the first connection."""
        return self._session

    @property
    def is_connected(self):
        return self._link.is_up

    def post(self, payload, rows, inbox, options=None, is_patient=True):
        """Queue a request for the next ``exchange``, and return its id."""
        request = _Request(self._new_id(), payload, rows, inbox, options, is_patient)
        self.num_request += 1
        for place in (self._pending, self._unsent, inbox.waiting):
            place[request.id] = request
        return request.id

    def _new_id(self):
        """Return an id larger than the last one that nobody can guess, not even a clone that knows the last one.

        The first id and the distances between ids are random. Results are sorted by ids.
        """
        if not self._last_id or (self._last_id > _MAX_ID and not self._pending):
            self._last_id = _RANDOM.getrandbits(63)
        self._last_id += 1 + _RANDOM.getrandbits(40)
        return self._last_id

    def abandon(self, inbox, with_options=False):
        """Give up the requests of an inbox: drop their replies, and cancel them at the server if it supports that.

        The next ``exchange`` sends the cancellation, because this can run in a thread that must not use the sockets,
        such as in the garbage collector. ``with_options``: only requests with options.
        """
        for request in list(inbox.waiting.values()):
            if with_options and request.options is None:
                continue
            is_out = self._pending.pop(request.id, None) and not self._unsent.pop(request.id, None)
            if is_out and request.rows:
                self._to_cancel.append((self._session, request.id))
            inbox.waiting.pop(request.id, None)

    def pump(self, done, deadline, cancelled=None):
        """Exchange messages until ``done()``, or raise TimeoutError at the ``deadline``.

        Without a deadline, the call waits for something other than the server, without a limit or log messages. It
        calls ``cancelled`` in each round, about once a second.
        """
        reporter = self.reporter()
        self.forgive()
        while True:
            self.exchange()
            if done():
                return
            if self.refusal:
                raise self.refusal
            if self.is_closed:
                raise _closed_error()
            if cancelled and cancelled():
                raise CancelledError('the call was canceled before the server replied')
            seconds = _TICK_S
            if deadline:
                seconds = deadline.seconds_left
                if seconds <= 0:
                    raise self.timeout_error(deadline)
                reporter.tick(len(self._pending))
            self.wait(seconds)

    def wait(self, seconds):
        """Wait until ``exchange`` might have something to do."""
        self._link.wait(seconds, to_send=bool(self._unsent))

    def timeout_error(self, deadline):
        """Make the error for a call that the server did not answer in time."""
        return TimeoutError(
            'no response from the server within "timeout"=%d ms (%s): check that it is running, that "ip", "port" and '
            '"port_out" are right, and that the timeout is long enough for this much data'
            % (deadline.timeout_ms, self._link.describe())
        )

    def reporter(self):
        """Make a reporter for a wait that begins now."""
        return _WaitReporter(self._link)

    def hand_over(self):
        """Send unsent requests if possible now, or after a short wait for a new connection."""
        self.forgive()
        self.exchange()
        while self._unsent and not self._is_heard:
            seconds = self._session_since + _FIRST_CONNECTION_S - _now()
            if seconds <= 0:
                break
            self._link.wait(seconds, to_send=True)
            self.exchange()
            if self.refusal:
                raise self.refusal

    def exchange(self):
        """Send requests and process replies as far as possible without waiting."""
        self._link.watch()
        for frames in itertools.islice(iter(self._link.receive, None), _MESSAGES_A_ROUND):
            self._sort_in(frames)
        if self._link.is_up and self._session != self._link.session:
            self._begin_session()
        self._send_cancels()
        if self._unsent and self._link.is_up and not self._is_heard:
            self._probe()
        while self._unsent and self._link.is_up and self._is_heard:
            request = next((request for request in self._unsent.values() if self._is_readable(request)), None)
            if request is None or not self._link.send(request.frames(self._identity)):
                break
            self._unsent.pop(request.id, None)

    def _begin_session(self):
        """Queue the pending requests again for the new connection."""
        if self._session and self._pending:
            if self._ends_in_slow_frames():
                self._link.expect_slow_frames()
                return
            _log.info('reconnected to the server, retrying requests=%d', len(self._pending))
        self._is_heard = self._link.is_first and not self._has_clones
        self._probe_at, self._probe_pause_s = 0, _PROBE_S
        self._probes = set()
        self._session = self._link.session
        self._session_since = _now()
        self._has_progressed = False
        self._unsent = self._pending.copy()

    def _probe(self):
        """Ask for the config, to check that the server already has the subscription of this connection.

        Otherwise it might publish a reply only to a clone, or to the previous connection, which it might not yet have
        given up.
        """
        if _now() < self._probe_at:
            return
        probe = self._new_id()
        if self._link.send([self._identity, b'SHOW_CONFIG', b'%d' % probe, b'0']):
            self._probes.add(probe)
            self._probe_at = _now() + self._probe_pause_s
            self._probe_pause_s *= 2

    def _ends_in_slow_frames(self):
        """Whether heartbeats probably end connections in the middle of large frames, on a slow network.

        A session without a reply that was longer than the heartbeat timeout can mean a dead connection. After two of
        them in a row, sending the requests again would fail again.
        """
        lived_s, self._session_since = _now() - self._session_since, _now()
        if self._has_progressed or not any(request.rows for request in self._pending.values()):
            self._silent_sessions = 0
        elif lived_s > self._link.heartbeat_timeout_s:
            self._silent_sessions += 1
        if self._silent_sessions < 2:
            return False
        self._silent_sessions = 1
        return True

    def _is_readable(self, request):
        """Whether the connected server can read the request, because a restarted server can be another release."""
        return request.options is None or self.extended_session == self._session

    def _send_cancels(self):
        while self._to_cancel:
            session, request_id = self._to_cancel[0]
            if session == self._session == self.cancelling_session and self._link.is_up:
                if not self._link.send([self._identity, b'CANCEL', b'%d' % request_id, b'0']):
                    return
            self._to_cancel.popleft()  # of another session, whose server dropped its requests with the connection

    def _sort_in(self, frames):
        """Put a reply into the inbox of its call."""
        if len(frames) not in (3, 4) or frames[0].bytes not in self._topics:
            self._look_for_refusal(frames)
            return  # a subscription matches all topics with that prefix, so this is for another identity
        try:
            request_id = int(frames[-1].bytes)
        except ValueError:
            return
        self._is_heard |= request_id in self._probes
        request = self._pending.get(request_id)
        if request:
            try:
                reply = _read_reply(frames, request_id, request.rows)
            except BaseException:  # Ctrl-C: the reply is lost, so send the request again
                self._unsent[request_id] = request
                raise
            if _is_shutting_down(reply) and request.is_patient:
                _log.info('kept a request for the next server, because this one is shutting down id=%d', request_id)
                return
            self._has_progressed |= request.rows > 0
            request.inbox.put(reply)
            self._pending.pop(request_id, None)
            self._unsent.pop(request_id, None)  # answered before it was sent again
        elif self.listeners and len(frames) == 4:
            reply = _read_reply(frames, request_id, None)
            if not reply.error:
                self.overheard.append(reply)

    def _look_for_refusal(self, frames):
        """Handle the error for a subscription to another's identity, whose topic is our identity and random bytes."""
        topic, length = frames[0].bytes, len(self._identity)
        if len(frames) == 4 and len(topic) == length + 17 and topic[: length + 1] == self._identity + b'\0':
            error = _read_reply(frames, 0, 0).error
            if isinstance(error, ServerError) and error.type == 'Forbidden':
                self._refusal = 'the server: %s' % error.message

    def interrupt(self):
        """Wake the waiting thread, from any other thread."""
        self._link.ring()

    def close(self):
        self._link.close()


class _WaitReporter(object):
    """Logs the state of a long wait, first after a few seconds, then at growing intervals."""

    def __init__(self, link):
        self._link = link
        self._since = _now()
        self._quiet_s = _QUIET_AWAY_S

    def tick(self, number):
        now = _now()
        waited_s = now - self._since
        if self._link.is_up:
            is_due = number and waited_s >= max(self._quiet_s, _QUIET_THERE_S)
        else:  # a reconnect is in progress, which is usually faster
            is_due = waited_s >= self._quiet_s and now - self._link.changed_at >= _QUIET_AWAY_S
        if is_due:
            self._quiet_s = 2 * waited_s
            _warn(
                'waiting for the server seconds=%d pending_requests=%d: %s',
                waited_s,
                number,
                self._link.describe(),
            )


def _warn(message, *arguments):
    _log.warning(message, *arguments)
    if _PY2 and not _has_handler(_log) and _can_write(sys.stderr):  # Python 3 has logging.lastResort for this
        sys.stderr.write('%s\n' % (message % arguments))


def _has_handler(logger):
    while logger:
        if logger.handlers:
            return True
        logger = logger.parent if logger.propagate else None
    return False


def _closed_error():
    return RuntimeError('this client is closed')


# --- chunks -----------------------------------------------------------------------------------------------------------


class _ServerLimits(object):
    """The limits on the size of a request from the server's config, or None."""

    def __init__(self, config):
        self.batch_rows = max(1, int(config.get('max_batch_size') or 256))
        self.message_bytes = config.get('max_message_bytes')
        self.request_rows = config.get('max_request_rows')
        self.is_token_level = config.get('pooling_strategy') == 0
        self.extensions = frozenset(config.get('extensions') or ())
        self.prompts = (config.get('model') or {}).get('prompts') or {}


class _Chunker(object):
    """Chooses the sizes of the requests for a large input. It holds no rows and sends nothing.

    The server computes a request in sub-batches of its ``max_batch_size``. Without a ``max_seq_len``, the length of a
    reply depends on them. So a chunk is a multiple of that size, unless its message is too large for the server.
    """

    def __init__(self, limits, is_fine=False):
        """With ``is_fine``, chunks have one sub-batch each, so that a progress bar moves often."""
        self._limits = limits
        self._most_rows = limits.batch_rows if is_fine else _CHUNK_ROWS

    def next(self, remaining_rows, bytes_per_row=None):
        """Return the number of rows in the next chunk, at most ``remaining_rows``.

        ``bytes_per_row`` is the size of a row in the replies, or None before the first reply.
        """
        rows = self._most_rows
        if bytes_per_row is not None:
            rows = min(rows, _CHUNK_ANSWER_BYTES // bytes_per_row)
        elif self._limits.is_token_level:
            rows = self._limits.batch_rows  # the reply is large, but its size is not known yet
        return min(self._in_batches(rows), remaining_rows, self._limits.request_rows or remaining_rows)

    def is_too_large(self, rows, num_bytes):
        """Whether to halve a chunk of ``rows`` rows with ``num_bytes`` bytes of JSON."""
        if self._limits.message_bytes and num_bytes > self._limits.message_bytes:
            return True
        return num_bytes > _CHUNK_BYTES and rows > self._limits.batch_rows

    def halve(self, rows):
        """The number of rows to try after ``rows`` were too large: whole sub-batches if there are several.

        Later chunks are not larger either, because their texts are probably as long.
        """
        if rows <= self._limits.batch_rows:
            return rows // 2
        self._most_rows = self._in_batches(rows // 2)
        return self._most_rows

    def _in_batches(self, rows):
        return max(rows // self._limits.batch_rows, 1) * self._limits.batch_rows


def _requests(rows, answer, is_fine, known, ask):
    """Yield (first row, number of rows, JSON) for each request: one for a small input, or several.

    ``known`` are the known limits of the server, or None. ``ask`` returns the current ones.
    """
    total = len(rows)
    if total <= min(_CHUNK_ROWS, known and known.request_rows or _CHUNK_ROWS) and not is_fine:
        payload = rows.dump(0, total)
        if len(payload) <= min(_CHUNK_BYTES, known and known.message_bytes or _CHUNK_BYTES):
            yield 0, total, payload
            return
    limits = ask()
    chunker = _Chunker(limits, is_fine)
    start = 0
    while start < total:
        count = chunker.next(total - start, answer.bytes_per_row)
        payload = rows.dump(start, start + count)
        while chunker.is_too_large(count, len(payload)):
            if count == 1:
                raise ValueError(
                    'element %d of "texts" makes a request of %d bytes, but the server accepts at most %d: shorten it'
                    % (start, len(payload), limits.message_bytes)
                )
            count = chunker.halve(count)
            payload = rows.dump(start, start + count)
        yield start, count, payload
        start += count


def _dump_whole(rows, limits):
    """Return the JSON of all rows, for one request."""
    payload = rows.dump(0, len(rows))
    limit = limits and limits.message_bytes
    if limit and len(payload) > limit:
        raise ValueError(
            'these %d texts have %d bytes, but the server accepts at most %d in one request: send fewer at a time, or '
            'let a blocking "encode" split them' % (len(rows), len(payload), limit)
        )
    return payload


def _check_protocol(config):
    if config.get('server_version') != PROTOCOL_VERSION:
        raise AttributeError(
            'version mismatch: the server speaks protocol %s and this client %s. Install matching versions with '
            '"pip install -U bert-serving-server bert-serving-client", or switch the check off with '
            '"BertClient(check_version=False)"' % (config.get('server_version'), PROTOCOL_VERSION)
        )


def _length_limit(config):
    """The ``max_seq_len`` of a server, or None."""
    limit = config.get('max_seq_len')
    return None if limit in (None, 'NONE', 'none') else int(limit)


def _print_config(config):
    print('server config:')
    for key, value in config.items():
        print('%30s\t=\t%-30s' % (key, value))


def _checked(texts, is_tokenized, truncate, length_limit):
    """Check texts or lists of tokens, and warn about long ones unless the limit is 0 or None."""
    rows = _Texts(texts, is_tokenized)
    if length_limit and truncate is None and rows.has_longer_than(length_limit):
        warnings.warn(
            'some texts have more words than "max_seq_len=%d" of the server, which truncates them: start the server '
            'with a larger one, or silence this warning with "BertClient(check_length=False)"' % length_limit,
            stacklevel=4,
        )
    return rows


def _presented(answer, output_fmt, show_tokens):
    """Make the result of an ``encode``."""
    embedding = answer.array.tolist() if output_fmt == 'list' else answer.array
    if not show_tokens:
        return embedding
    if not answer.tokens:
        warnings.warn(
            '"show_tokens=True", but the server does not show tokens to clients: start it with '
            '"-show_tokens_to_client", or use "encode(show_tokens=False)"',
            stacklevel=3,
        )
        return embedding
    return embedding, answer.tokens


def _response(reply, output_fmt):
    array = reply.array
    return Response(reply.id, array.tolist() if output_fmt == 'list' else array.copy(), reply.tokens)


_PROMPT_NEEDS = frozenset(['options', 'prompt_name', 'prompt'])  # extensions


def _prompt_options(kind, prompts):
    """Return the options of ``encode`` for the model's prompt of queries or documents."""
    for name in ('query',) if kind == 'query' else ('document', 'passage', 'corpus'):
        if name in prompts:
            return {'prompt_name': name}
    return {'prompt': ''}


def _details_options(wishes, joined_pairs=True, traceparent=None):
    options = dict(wishes or {}, token_counts=True)
    if not joined_pairs:
        options['pairs'] = False
    return options if traceparent is None else dict(options, traceparent=traceparent)


def _tokenize_options(is_tokenized, offsets, prompt_name, prompt):
    options = dict(_wishes(prompt_name, prompt, is_text=not is_tokenized) or {}, tokenize=True)
    if offsets:
        options['offsets'] = True
    return options


def _decode_options(special_tokens):
    options = {'tokenize': True, 'decode': True}
    if special_tokens:
        options['special_tokens'] = True
    return options


def _decoded(answer):
    """Make the result of a ``decode``."""
    return [row[0] for row in answer.tokens]


def _pairs_or_texts(values, raw, truncate):
    """Return the rows and options of a ``predict``."""
    rows = _sequence(values, '"pairs_or_texts"')
    is_pairs = not isinstance(rows[0], _STRING_TYPES)
    options = dict(_wishes(truncate=truncate) or {}, pairs=is_pairs, raw=bool(raw))
    return _Pairs(rows) if is_pairs else _Texts(rows, False), options


def _scores(array):
    """Make the result of a ``predict``: without the second dimension if there is only one label."""
    return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array


def _candidates(query, documents, top_n):
    """Check the arguments of a ``rerank``, and return its pairs."""
    _check_string(query, '"%s"', ('query',))
    if top_n is not None and (not isinstance(top_n, _INTEGER_TYPES) or isinstance(top_n, bool) or top_n < 1):
        raise ValueError('"top_n" must be an int of at least 1 or None, but is %r' % (top_n,))
    documents = _sequence(documents, '"documents"')
    for index, document in enumerate(documents):
        _check_string(document, 'element %d of "documents"', (index,))
    return [(query, document) for document in documents]


def _ranking(scores, top_n):
    """Return (index, score) of the best. Equal scores keep the order of the documents."""
    if scores.ndim != 1:
        raise ValueError(
            'the model computes %d scores for a pair, but ranking needs a single one: use "predict"' % scores.shape[-1]
        )
    order = np.argsort(-scores, kind='mergesort')[:top_n]
    return [(int(index), float(scores[index])) for index in order]


def _described_model(config):
    model = config.get('model')
    if not isinstance(model, dict):
        raise UnsupportedError(
            'the server does not describe its model, because it is older than this client: update it'
        )
    return model


def _unsupported_error(missing):
    return UnsupportedError(
        'the server does not support %s, because it is older than this client: update it, or use "encode"'
        % ', '.join(sorted(missing))
    )


# --- client -----------------------------------------------------------------------------------------------------------


class _Configured(object):
    """The common arguments of both kinds of client, with the server's configuration."""

    def _configure(
        self,
        ip,
        port,
        port_out,
        output_fmt,
        show_server_config,
        identity,
        check_version,
        check_length,
        check_token_info,
        ignore_all_checks,
        timeout,
        server_key,
        key_file,
    ):
        if output_fmt not in ('ndarray', 'list'):
            raise AttributeError('"output_fmt" must be "ndarray" or "list", but is %r' % (output_fmt,))
        self.ip = _read_host(ip)
        self.port = _read_number(port, 'port', 1, 65535)
        self.port_out = _read_number(port_out, 'port_out', 1, 65535)
        self.output_fmt = output_fmt
        self.timeout = timeout
        self._keys = _read_keys(server_key, key_file)
        self.identity = _read_identity(identity, self._keys)
        self.length_limit = 0
        self.token_info_available = False
        checks = {
            'show_server_config': show_server_config,
            'check_version': check_version,
            'check_length': check_length,
            'check_token_info': check_token_info,
        }
        wanted = {name for name, value in checks.items() if _read_flag(value, name)}
        self._checks = set() if _read_flag(ignore_all_checks, 'ignore_all_checks') else wanted

    @property
    def timeout(self):
        """Milliseconds that a call waits for the server, -1 for no limit. You can change it at any time."""
        return self._timeout

    @timeout.setter
    def timeout(self, value):
        self._timeout = _read_timeout(value)

    def _check_server(self, config):
        if 'check_version' in self._checks:
            _check_protocol(config)
        if 'check_length' in self._checks:
            self.length_limit = _length_limit(config)
        if 'check_token_info' in self._checks:
            self.token_info_available = bool(config.get('show_tokens_to_client'))
        if 'show_server_config' in self._checks:
            _print_config(config)

    def _describe(self, num_request, pending):
        """Return the ``status``. ``pending`` has the ids of pending requests."""
        return {
            'identity': self.identity,
            'num_request': num_request,
            'num_pending_request': len(pending),
            'pending_request': pending,
            'output_fmt': self.output_fmt,
            'port': self.port,
            'port_out': self.port_out,
            'server_ip': self.ip,
            'client_version': PROTOCOL_VERSION,
            'client_release': __version__,
            'timeout': self.timeout,
        }


class BertClient(_Configured):
    """A client of a BertServer.

    ::

        with BertClient() as bc:
            bc.encode(['First do it', 'then do it right', 'then do it better'])

    A client belongs to one thread at a time, and to the process that made it: use one per thread, or a
    ``ConcurrentBertClient``. Other threads can call only ``close``, which ends a waiting call.

    If the server is down or restarts, a call waits for it up to ``timeout``. After a few seconds it logs that to
    ``bert_serving.client``. When the server is back, the client sends pending requests again; you do not need a new
    client.

    :param ip: host name or address of the server
    :param port: port that takes requests, the server's ``-port``
    :param port_out: port that publishes results, the server's ``-port_out``
    :param output_fmt: ``'ndarray'`` or ``'list'``: whether embeddings are arrays or nested lists of floats
    :param show_server_config: print the server's configuration
    :param identity: bytes or text; clients with the same identity are clones and receive each other's results, see
        ``listen``
    :param check_version: raise AttributeError if the server speaks another protocol
    :param check_length: warn when a text has more words than the server's ``max_seq_len``
    :param check_token_info: ask the server whether it shows its tokens, for ``token_info_available``
    :param ignore_all_checks: skip the checks above, so that the server need not be running yet
    :param timeout: milliseconds that a call waits for the server; -1: forever
    :param server_key: public key of a server with ``-curve_key_file``, or the file of its certificate; ``''`` for none;
        None: ``BERT_SERVING_SERVER_KEY`` of the environment
    :param key_file: file with the secret certificate of this client; None: ``BERT_SERVING_KEY_FILE``

    Arguments that come from the environment can be text: ``'5555'``, ``'false'``.

    :raises AttributeError: a wrong ``output_fmt``, or a server of another protocol
    :raises TypeError: an argument of another type
    :raises ValueError: a value that an argument cannot have
    :raises TimeoutError: no reply to the checks within ``timeout``
    :raises AuthenticationError: the server does not let this client in
    """

    def __init__(
        self,
        ip='localhost',
        port=5555,
        port_out=5556,
        output_fmt='ndarray',
        show_server_config=False,
        identity=None,
        check_version=True,
        check_length=True,
        check_token_info=True,
        ignore_all_checks=False,
        timeout=-1,
        server_key=None,
        key_file=None,
    ):
        self._configure(
            ip,
            port,
            port_out,
            output_fmt,
            show_server_config,
            identity,
            check_version,
            check_length,
            check_token_info,
            ignore_all_checks,
            timeout,
            server_key,
            key_file,
        )
        self._pid = os.getpid()
        self._busy = threading.Lock()
        self._fetchable = _Inbox()
        self._server_limits = self._limits_session = None
        link = _Link(self.ip, self.port, self.port_out, self.identity, self._keys)
        self._courier = _Courier(link, self.identity, has_clones=bool(identity))

        if self._checks:
            try:
                self._check_server(self.server_config)
            except BaseException:
                self.close()
                raise

    # --- public -------------------------------------------------------------------------------------------------------

    @property
    def status(self):
        """State of this client, without asking the server.

        :return: a dict with the keys identity (bytes), num_request, num_pending_request, pending_request (the ids, a
            set, of requests whose results you have not fetched), output_fmt, port, port_out, server_ip,
            client_version (the protocol), client_release and timeout
        """
        pending = set(self._courier.pending_ids)
        pending.update(reply.id for reply in list(self._fetchable.arrived))
        return self._describe(self._courier.num_request, pending)

    @property
    def server_config(self):
        """Options and versions of the server, a dict. It asks the server each time.

        :raises TimeoutError: no response within ``timeout``
        """
        with self._claimed():
            config = self._ask(b'SHOW_CONFIG')
        self._remember_limits(config)
        return config

    @property
    def server_status(self):
        """Like ``server_config``, with ``statistic``: a dict of the counters of the server.

        :raises TimeoutError: no response within ``timeout``
        """
        with self._claimed():
            return self._ask(b'SHOW_STATUS')

    def encode(
        self,
        texts,
        blocking=True,
        is_tokenized=False,
        show_tokens=False,
        show_progress=False,
        prompt_name=None,
        prompt=None,
        normalize=None,
        dimensions=None,
        dtype=None,
        truncate=None,
    ):
        """Turn texts into vectors.

        ::

            bc.encode(['hello world', 'a question ||| and its answer'])  # float32 [2, 768]
            bc.encode([['hello', 'world']], is_tokenized=True)           # float32 [1, 768]
            bc.encode(['hello world'], normalize=True, dtype='int8')     # int8 [1, 768]

        The number of texts is not limited. The client sends more than 4,096 texts, or more than 8 MiB, as several
        requests, a few at a time, and joins the results. So a million rows need little memory in addition to the input
        and output.

        :param texts: a list, tuple, array or pandas Series of strings; of lists of strings with ``is_tokenized``
        :param blocking: False: return None at once, and leave the result to ``fetch``, ``fetch_all`` or ``listen``. All
            texts are then a single request. If there is no connection yet, the next call of any method that waits
            sends it.
        :param is_tokenized: the texts are lists of tokens
        :param show_tokens: return ``(embedding, tokens)``, if the server shows its tokens
        :param show_progress: show a progress bar; needs tqdm: ``pip install "bert-serving-client[progress]"``
        :param prompt_name: put the model's prompt with that name before each text; ``model['prompts']`` has all
            prompts. This and all parameters below need a server of release 2 or later.
        :param prompt: put this before each text; ``''`` disables the model's default prompt
        :param normalize: True: scale vectors to length 1; False: leave them as pooled; None: as the model says
        :param dimensions: return only the first numbers of each vector; they are scaled to length 1 again only with
            ``normalize=True``
        :param dtype: type of the numbers: ``'float32'``; ``'float16'``; ``'int8'``, 127 times the vector of length 1,
            rounded; ``'binary'`` and ``'ubinary'``, the signs as bits, eight in a byte of int8 or uint8, as
            ``quantize_embeddings`` of sentence-transformers makes them. None: as the server computes, which is float32
            (float16 with ``-fp16``)
        :param truncate: what happens to a text that is too long: ``'right'`` or None drops its end, ``'left'`` its
            beginning, and ``'error'`` makes it a ServerError that names the text and its length
        :return: an array [rows, dimensions], or [rows, tokens, dimensions] if the server does not pool, of ``dtype``,
            which you can write to; lists of that shape with ``output_fmt='list'``. ``tokens`` is a list per row, as the
            model received it.
        :raises TypeError: not a list of strings; the message names the element
        :raises ValueError: an empty list, a blank element, or one larger than the server takes
        :raises ServerError: the server replied with an error
        :raises TimeoutError: no reply within ``timeout``, which applies to the whole call; a late reply is dropped
        :raises SharedClientError: another thread is using this client, or this is a forked process
        :raises UnsupportedError: the server does not advertise what a parameter needs
        """
        options = _wishes(prompt_name, prompt, normalize, dimensions, dtype, truncate, not is_tokenized)
        with self._claimed():
            rows = self._checked(texts, is_tokenized, truncate)
            if not blocking:
                self._post_whole(rows, self._fetchable, options)
                self._courier.hand_over()
                return None
            answer = self._encode_in_chunks(rows, show_progress, options)
        return _presented(answer, self.output_fmt, show_tokens)

    def encode_query(
        self, texts, normalize=None, dimensions=None, dtype=None, truncate=None, show_tokens=False, show_progress=False
    ):
        """Encode search queries, with the prompt named ``query`` if the model has one.

        ::

            queries = bc.encode_query(['who wrote it?'])
            documents = bc.encode_document(['A wrote it.', 'B read it.'])

        The parameters, the result and the errors are those of ``encode``.
        """
        return self._encode_as('query', texts, normalize, dimensions, dtype, truncate, show_tokens, show_progress)

    def encode_document(
        self, texts, normalize=None, dimensions=None, dtype=None, truncate=None, show_tokens=False, show_progress=False
    ):
        """Encode documents for search, as ``encode_query`` with the prompt ``document``, ``passage`` or ``corpus``."""
        return self._encode_as('document', texts, normalize, dimensions, dtype, truncate, show_tokens, show_progress)

    def _encode_as(self, kind, texts, normalize, dimensions, dtype, truncate, show_tokens, show_progress):
        with self._claimed():
            self._require(_PROMPT_NEEDS, self._deadline())
            options = _prompt_options(kind, self._server_limits.prompts)
        options.update(normalize=normalize, dimensions=dimensions, dtype=dtype, truncate=truncate)
        return self.encode(texts, show_tokens=show_tokens, show_progress=show_progress, **options)

    def predict(self, pairs_or_texts, raw=False, truncate=None):
        """Return the scores that a cross-encoder or classifier gives pairs of texts, or single texts.

        ::

            bc.predict([['who wrote it?', 'A wrote it.'], ['who wrote it?', 'B read it.']])  # float32 [2]

        :param pairs_or_texts: a list of lists or tuples of two strings, possibly empty; or a list of strings
        :param raw: return logits, without the activation of the model
        :param truncate: as in ``encode``
        :return: an array [rows] if the model has one label, else [rows, labels]; ``model['labels']`` has their names.
            It is a numpy array with any ``output_fmt``.
        :raises ServerError: the server replied with an error, for example because its model computes no scores
        :raises UnsupportedError: the server does not advertise what this needs
        """
        rows, options = _pairs_or_texts(pairs_or_texts, raw, truncate)
        with self._claimed():
            return _scores(self._encode_in_chunks(rows, False, options).array)

    def predict_with_details(self, pairs_or_texts, raw=False, truncate=None, cancelled=None, traceparent=None):
        """Return the scores of ``predict``, and also the number of tokens of each row.

        It is for programs that serve others, and ends early in the same way as ``encode_with_details``.

        :param pairs_or_texts: as in ``predict``, like ``raw``
        :param truncate: as in ``encode``
        :param cancelled: as in ``encode_with_details``, like ``traceparent``
        :return: ``Encoded(array, tokens, token_counts)``; the array is always [rows, labels]
        :raises UnsupportedError: as in ``predict``
        :raises CancelledError: ``cancelled`` returned True
        """
        rows, options = _pairs_or_texts(pairs_or_texts, raw, truncate)
        with self._claimed():
            return self._ask_for_details(rows, _details_options(options, traceparent=traceparent), set(), cancelled)

    def rerank(self, query, documents, top_n=None, raw=False, truncate=None):
        """Rank documents by the scores of a single-label cross-encoder for a query.

        ::

            bc.rerank('who wrote it?', ['B read it.', 'A wrote it.'])  # [(1, 0.98), (0, 0.03)]

        :param query: a string
        :param documents: a list of strings
        :param top_n: the number of documents to return; None: all
        :param raw: as in ``predict``
        :param truncate: as in ``encode``
        :return: a list of ``(index, score)``, best first; equal scores keep the order of ``documents``
        :raises ValueError: the model has several labels
        :raises ServerError: as in ``predict``
        :raises UnsupportedError: as in ``predict``
        """
        pairs = _candidates(query, documents, top_n)
        return _ranking(self.predict(pairs, raw, truncate), top_n)

    @property
    def model(self):
        """Description of the server's model, a dict. It asks the server each time.

        Its keys are name, model_type, task (``'embed'``, ``'rerank'`` or ``'classify'``), dimensions, max_seq_len,
        pooling, normalize, prompts (a dict of texts by name), default_prompt_name, labels and similarity.

        :raises UnsupportedError: the server is older and does not describe it
        :raises TimeoutError: no response within ``timeout``
        """
        return _described_model(self.server_config)

    def encode_with_details(
        self,
        texts,
        is_tokenized=False,
        token_ids=False,
        cancelled=None,
        prompt_name=None,
        prompt=None,
        normalize=None,
        dimensions=None,
        dtype=None,
        truncate=None,
        joined_pairs=True,
        traceparent=None,
    ):
        """Encode, and also return the number of tokens of each text. It needs a server of release 2 or later.

        It is for programs that serve others, such as the HTTP proxy. The server also gets ``timeout``, and drops work
        that it has not begun by then. If the call ends early, by an error or an interrupt, the client cancels it at the
        server. The call does not wait for a server that is shutting down.

        :param texts: as in ``encode``
        :param is_tokenized: the texts are lists of tokens
        :param token_ids: the texts are lists of token ids of the server's vocabulary, without [CLS] and [SEP]
        :param cancelled: a function, called about once a second; if it returns True, the call raises CancelledError
        :param prompt_name: as in ``encode``, like the other parameters of ``encode`` below
        :param joined_pairs: False: a text with ``' ||| '`` is a single text, not a pair
        :param traceparent: the parent, as W3C's Trace Context writes it, of the spans that a server with traces makes
        :return: ``Encoded(array, tokens, token_counts)``; the array is numpy's with any ``output_fmt``
        :raises UnsupportedError: the server does not advertise what this needs
        :raises CancelledError: ``cancelled`` returned True
        """
        is_text = not (is_tokenized or token_ids)
        wishes = _wishes(prompt_name, prompt, normalize, dimensions, dtype, truncate, is_text)
        options = _details_options(wishes, joined_pairs, traceparent)
        with self._claimed():
            rows = _TokenIds(texts) if token_ids else self._checked(texts, is_tokenized, truncate)
            needs = {'token_ids'} if token_ids else set()
            return self._ask_for_details(rows, options, needs, cancelled)

    def tokenize(self, texts, is_tokenized=False, cancelled=None, offsets=False, prompt_name=None, prompt=None):
        """Return the tokens of texts as the model would receive them. It needs a server of release 2 or later.

        ::

            bc.tokenize(['hello world']).tokens  # [['[CLS]', 'hello', 'world', '[SEP]']]

        :param texts: as in ``encode``
        :param is_tokenized: as in ``encode``
        :param cancelled: as in ``encode_with_details``
        :param offsets: also return the start and end of each token in its text, and truncate nothing; tokens are then
            as they stand in the text
        :param prompt_name: as in ``encode``, like ``prompt``; offsets count from its start
        :return: ``Encoded(array, tokens, token_counts)``; the array has the ids, int32 [rows, T]. With ``offsets``
            it is [rows, T, 3]: id, start and end, which are -1 for special tokens.
        :raises UnsupportedError: the server does not advertise what this needs
        """
        options = _tokenize_options(is_tokenized, offsets, prompt_name, prompt)
        with self._claimed():
            rows = _Texts(texts, is_tokenized)  # no warning about long texts: the result shows the truncation
            return self._ask_for_details(rows, options, set(), cancelled)

    def decode(self, token_ids, special_tokens=False, cancelled=None):
        """Decode lists of token ids to texts. It needs a server of release 2 or later.

        ::

            bc.decode([[7592, 2088]])  # ['hello world']

        :param token_ids: a list of lists of ids of the server's vocabulary
        :param special_tokens: keep special tokens
        :param cancelled: as in ``encode_with_details``
        :return: a list of strings
        :raises UnsupportedError: the server does not advertise what this needs
        """
        options = _decode_options(special_tokens)
        with self._claimed():
            return _decoded(self._ask_for_details(_TokenIds(token_ids), options, {'token_ids'}, cancelled))

    @property
    def is_connected(self):
        """Whether both connections to the server were up at the last call."""
        return self._courier.is_connected

    def encode_async(
        self,
        batch_generator,
        max_num_batch=None,
        delay=0.1,
        is_tokenized=False,
        show_tokens=False,
        show_progress=False,
        prompt_name=None,
        prompt=None,
        normalize=None,
        dimensions=None,
        dtype=None,
        truncate=None,
    ):
        """Encode a stream of batches, and yield the results in the order of arrival.

        ::

            for response in bc.encode_async(batches()):
                print(response.id, response.embedding.shape)

        A separate thread pulls the batches, at most 16 ahead of your loop. So the producer can be endless, and a slow
        one delays only itself. It runs in that thread and must not use this client. It starts when you request the
        first result.

        :param batch_generator: an iterable of values for ``texts`` of ``encode``
        :param max_num_batch: stop after that many batches
        :param delay: ignored; 1.10 used it
        :param is_tokenized: as in ``encode``
        :param show_tokens: as in ``encode``; the tokens are in the responses anyway
        :param show_progress: show a progress bar that counts batches; needs tqdm
        :param prompt_name: as in ``encode``, like the other parameters below
        :return: an iterator over ``Response``; if you leave it early, the client cancels the rest
        :raises Exception: an exception of the producer, or of ``encode`` for a batch, after the results of the earlier
            batches; ServerError and TimeoutError at once
        """
        options = _wishes(prompt_name, prompt, normalize, dimensions, dtype, truncate, not is_tokenized)
        return self._stream(batch_generator, max_num_batch or None, is_tokenized, show_progress, options)

    def fetch(self, delay=0):
        """Yield the results of ``encode(blocking=False)`` in the order of arrival, until none is pending.

        You can make other calls in between. ``timeout`` applies to each result. After a TimeoutError the requests are
        still pending, and another ``fetch`` waits for them.

        :param delay: ignored; 1.10 used it
        :return: an iterator over ``Response``
        :raises ServerError: for a request that failed; the others stay pending
        :raises TimeoutError: no result within ``timeout``
        """
        inbox = self._fetchable
        while inbox:
            with self._claimed():
                self._pump(inbox, lambda: inbox.arrived, self._deadline())
                response = self._response(inbox.take())
            yield response

    def fetch_all(self, sort=True, concat=False):
        """Return all results of ``encode(blocking=False)``, in the order of sending.

        :param sort: False: in the order of arrival
        :param concat: join all rows in one array (or list)
        :return: a list of embeddings, or their rows in one array or list, or None if no request is pending
        :raises ServerError: a request failed; the results of the others are kept for the next call
        :raises TimeoutError: some are missing after ``timeout``; the others are kept for the next call
        """
        inbox = self._fetchable
        if not inbox:
            return None
        with self._claimed():
            self._pump(inbox, lambda: inbox.failed or not inbox.waiting, self._deadline())
            if inbox.failed:
                inbox.take()  # raises before the rest is taken out
            responses = [self._response(reply) for reply in inbox.arrived]
            if sort:
                responses.sort(key=lambda response: response.id)
            embeddings = [response.embedding for response in responses]
            if concat:
                embeddings = _concatenated(embeddings)
            inbox.arrived.clear()  # only now, so that an earlier error loses nothing
        return embeddings

    def listen(self):
        """Yield every result for this identity that was requested with ``blocking=False`` or by a clone.

        ::

            for response in BertClient(identity=bc.identity).listen():
                train_on(response.embedding)

        It continues until you leave the loop, close the client, or nothing arrives within ``timeout``. If a clone
        splits a large input into several requests (see ``encode``), each has its own result. While the iterator exists,
        other calls keep such results for it.

        :return: an iterator over ``Response``
        :raises ServerError: for a request of this client that failed; errors of clones are not raised
        :raises TimeoutError: nothing arrived within ``timeout``
        """
        return _Listening(self._courier, self._next_heard)

    def _next_heard(self):
        """Return the next result of this client or a clone, or None if the client is closed."""
        courier, inbox = self._courier, self._fetchable
        if courier.is_closed:
            return None
        try:
            with self._claimed():
                self._pump(inbox, lambda: inbox.arrived or courier.overheard or courier.is_closed, self._deadline())
                if courier.is_closed:
                    return None
                return self._response(inbox.take() if inbox.arrived else courier.overheard.popleft())
        except RuntimeError:
            if courier.is_closed:  # between the check and the wait
                return None
            raise

    def close(self):
        """Close both connections, within a second.

        You can call it twice, from another thread, and in a signal handler.
        """
        self._courier.is_closed = True
        if os.getpid() == self._pid:  # else the sockets belong to the parent process
            self._courier.interrupt()
            self._shut()

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self.close()

    def __reduce_ex__(self, protocol):
        """Raise an error instead of being pickled or copied, by multiprocessing, joblib or copy."""
        raise TypeError(
            'a %s cannot be pickled or copied, because its connections belong to this process: make one in each process, '
            'such as in the initializer of a pool' % type(self).__name__
        )

    def __del__(self):
        try:
            if '_courier' in self.__dict__:
                self.close()
        except Exception:  # the interpreter may be shutting down
            pass

    # --- private ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _claimed(self):
        """Reserve this client for one call. A concurrent call raises SharedClientError."""
        if os.getpid() != self._pid:
            raise SharedClientError(
                'this BertClient was made in process %d and is used in process %d: sockets do not '
                'survive a fork, make a client in each process' % (self._pid, os.getpid())
            )
        if not self._busy.acquire(False):
            raise SharedClientError(
                'this BertClient is in use by another thread: make one in each thread, or use ConcurrentBertClient'
            )
        try:
            if self._courier.is_closed:
                raise _closed_error()
            yield
        finally:
            self._busy.release()
            if self._courier.is_closed:
                self._shut()

    def _shut(self):
        """Close the sockets, or let the call that is using them do it at its end."""
        if self._busy.acquire(False):
            try:
                self._courier.close()
            finally:
                self._busy.release()

    def _deadline(self, since=None):
        return _Deadline(self.timeout, since)

    # The following methods are called with the client claimed.

    def _checked(self, texts, is_tokenized, truncate=None):
        return _checked(texts, is_tokenized, truncate, self.length_limit)

    def _response(self, reply):
        return _response(reply, self.output_fmt)

    def _ask(self, question, deadline=None, cancelled=None):
        """Return the server's reply to SHOW_CONFIG or SHOW_STATUS."""
        inbox = _Inbox()
        try:
            self._courier.post(question, 0, inbox)
            self._courier.pump(lambda: inbox.arrived, deadline or self._deadline(), cancelled)
            return inbox.take().header
        finally:
            self._courier.abandon(inbox)

    def _remember_limits(self, config):
        limits = self._server_limits = _ServerLimits(config)
        session = self._limits_session = self._courier.session
        self._courier.extended_session = session if 'options' in limits.extensions else None
        self._courier.cancelling_session = session if 'cancel' in limits.extensions else None

    @property
    def _are_limits_old(self):
        return self._server_limits is None or self._limits_session != self._courier.session

    def _limits(self, deadline, cancelled=None):
        """Return the limits of the currently connected server, which can change with a restart."""
        if self._are_limits_old:
            self._remember_limits(self._ask(b'SHOW_CONFIG', deadline, cancelled))
        return self._server_limits

    def _pump(self, inbox, done, deadline):
        """Exchange messages until ``done()``, and check that each new server supports the requests."""
        while True:
            if inbox.needs and inbox.waiting:
                try:
                    self._require(inbox.needs, deadline)
                except UnsupportedError:
                    self._courier.abandon(inbox, with_options=True)  # otherwise each later call would raise it again
                    inbox.needs = frozenset()
                    raise
            self._courier.pump(lambda: done() or inbox.needs and inbox.waiting and self._are_limits_old, deadline)
            if done():
                return

    def _post_whole(self, rows, inbox, options=None):
        """Send all rows as one request."""
        if options:
            needs = _needs_of(options)
            self._require(needs, self._deadline())
            inbox.needs = inbox.needs | needs if inbox.waiting else needs
        self._courier.post(_dump_whole(rows, self._server_limits), len(rows), inbox, options)

    def _ask_for_details(self, rows, options, needs, cancelled):
        """Encode with requests that have ``options``. ``needs`` are the extensions that they require."""
        answer = self._encode_in_chunks(rows, False, options, needs, cancelled, is_patient=False)
        return answer.details()

    def _require(self, needs, deadline, cancelled=None):
        """Raise UnsupportedError unless the connected server has these extensions."""
        missing = needs - self._limits(deadline, cancelled).extensions
        if missing:
            raise _unsupported_error(missing)

    def _encode_in_chunks(self, rows, show_progress, options=None, needs=frozenset(), cancelled=None, is_patient=True):
        if options:
            needs = needs | _needs_of(options)
        inbox = _Inbox()
        answer = _Answer(len(rows), is_ragged=bool(options and options.get('tokenize')))
        first_rows = {}  # id of the request -> its first row
        deadline = self._deadline()
        progress = _progress_bar(len(rows), stacklevel=4) if show_progress else _NoProgress()
        try:
            chunks = _requests(rows, answer, show_progress, self._server_limits, lambda: self._limits(deadline))
            while answer.missing:
                if needs:
                    self._require(needs, deadline, cancelled)
                for start, count, payload in itertools.islice(chunks, _CHUNKS_IN_FLIGHT - len(inbox)):
                    request_id = self._courier.post(payload, count, inbox, _until(options, deadline), is_patient)
                    first_rows[request_id] = start
                    self._courier.exchange()  # send it while the next one is made
                self._courier.pump(lambda: inbox.arrived or needs and self._are_limits_old, deadline, cancelled)
                if inbox.arrived:
                    reply = inbox.take()
                    progress.update(answer.put(first_rows.pop(reply.id), reply))
            return answer
        finally:
            if inbox.waiting:
                self._courier.abandon(inbox)
                if not self._courier.is_closed:
                    self._courier.exchange()  # cancel it at the server immediately
            progress.close()

    def _stream(self, batches, limit, is_tokenized, show_progress, options=None):
        """The generator of ``encode_async``. It claims the client only while it runs, not while the caller does."""
        inbox = _Inbox()
        producer = _Producer(batches, limit, self._courier.interrupt)
        error = None  # of a batch: raised after the results of the earlier batches
        progress = _progress_bar(limit, stacklevel=3) if show_progress else _NoProgress()
        try:
            while True:
                resumed_at = _now()
                with self._claimed():
                    producer.start()  # with the client claimed, so that a producer that uses it always gets the error
                    while not inbox.arrived:
                        while producer.batches and not error:
                            try:
                                rows = self._checked(
                                    producer.batches.popleft(), is_tokenized, (options or {}).get('truncate')
                                )
                                self._post_whole(rows, inbox, options)
                            except (TypeError, ValueError) as reason:
                                error = reason
                        if not inbox and (error or producer.has_ended):
                            break
                        oldest = next(iter(inbox.waiting.values()), None)
                        self._pump(
                            inbox,
                            lambda: inbox.arrived or not error and producer.has_news(inbox),
                            self._deadline(max(resumed_at, oldest.since)) if oldest else None,
                        )
                    if not inbox.arrived:
                        break
                    response = self._response(inbox.take())
                producer.taken()
                progress.update(1)
                yield response
            if error or producer.error:
                raise error or producer.error
        finally:
            producer.stop()
            self._courier.abandon(inbox)
            progress.close()


def _until(options, deadline):
    """Add the milliseconds until the deadline, if any, to the options of a request."""
    if options is None or deadline.seconds_left == float('inf'):
        return options
    return dict(options, deadline_ms=int(min(max(1000 * deadline.seconds_left, 1), _MOST_DEADLINE_MS)))


class _Listening(object):
    """The iterator of ``listen``. From its creation until its end, results for clones are kept for it."""

    def __init__(self, courier, next_heard):
        self._courier = courier
        self._next_heard = next_heard
        self._is_closed = False
        courier.listeners += 1

    def __iter__(self):
        return self

    def __next__(self):
        response = None if self._is_closed else self._next_heard()
        if response is None:
            self.close()
            raise StopIteration
        return response

    next = __next__

    def close(self):
        if not self._is_closed:
            self._is_closed = True
            self._courier.listeners -= 1
            if not self._courier.listeners:
                self._courier.overheard.clear()

    __del__ = close


# --- pool -------------------------------------------------------------------------------------------------------------


_OF_A_CONNECTION = ('ip', 'port', 'port_out', 'identity', 'output_fmt', 'length_limit', 'token_info_available')


def _forwarded(name):
    """Return a method that calls the method of that name on an idle connection."""

    def method(self, *args, **kwargs):
        with self._connection() as client:
            return getattr(client, name)(*args, **kwargs)

    method.__name__, method.__doc__ = name, getattr(BertClient, name).__doc__
    return method


class ConcurrentBertClient(BertClient):
    """A thread-safe client: a pool of ``BertClient`` that connects on demand.

    If no connection is free, a caller waits for one, up to ``timeout`` milliseconds. ``encode``, ``encode_query``,
    ``encode_document``, ``predict``, ``rerank``, ``encode_with_details``, ``predict_with_details``, ``tokenize``,
    ``decode``, ``model``, ``server_config``, ``server_status``, ``status`` and ``close`` are those of ``BertClient``.
    The methods that collect results later raise NotImplementedError, because a thread could not distinguish its results
    from those of other threads.

    :param max_concurrency: maximum number of connections
    :param kwargs: the arguments of ``BertClient``
    """

    def __init__(self, max_concurrency=10, **kwargs):
        self.max_concurrency = _read_number(max_concurrency, 'max_concurrency', 1)
        self.timeout = kwargs.get('timeout', -1)
        self._pid = os.getpid()
        self._arguments = kwargs
        self._changed = threading.Condition()  # guards the attributes below
        self._is_closed = False
        self._num_made = 0  # connections, including those being made
        self._clients = []
        self._idle = []
        with self._connection():
            pass  # connect now, to report an incompatible server immediately

    @property
    def status(self):
        """The ``status`` of one connection, with the request counts of all connections."""
        with self._changed:
            parts = [client.status for client in self._clients]
        status = parts[0]
        status['num_request'] = sum(part['num_request'] for part in parts)
        status['pending_request'] = set().union(*(part['pending_request'] for part in parts))
        status['num_pending_request'] = len(status['pending_request'])
        return status

    @property
    def server_config(self):
        with self._connection() as client:
            return client.server_config

    @property
    def server_status(self):
        with self._connection() as client:
            return client.server_status

    @property
    def model(self):
        with self._connection() as client:
            return client.model

    def encode(self, texts, blocking=True, *args, **kwargs):
        if not blocking:
            raise _not_concurrent('encode(blocking=False)')
        with self._connection() as client:
            return client.encode(texts, True, *args, **kwargs)

    encode_query = _forwarded('encode_query')
    encode_document = _forwarded('encode_document')
    predict = _forwarded('predict')
    rerank = _forwarded('rerank')
    encode_with_details = _forwarded('encode_with_details')
    predict_with_details = _forwarded('predict_with_details')
    tokenize = _forwarded('tokenize')
    decode = _forwarded('decode')

    @property
    def is_connected(self):
        with self._changed:
            return any(client.is_connected for client in self._clients)

    def encode_async(self, *args, **kwargs):
        raise _not_concurrent('encode_async')

    def fetch(self, *args, **kwargs):
        raise _not_concurrent('fetch')

    def fetch_all(self, *args, **kwargs):
        raise _not_concurrent('fetch_all')

    def listen(self):
        raise _not_concurrent('listen')

    def close(self):
        """Close all connections. Waiting calls in other threads end with an error."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for client in self._clients:
            client.close()

    def __del__(self):
        pass  # each connection closes itself

    def __getattr__(self, name):
        """Return an attribute of the first connection, because all have the same arguments."""
        if name in _OF_A_CONNECTION and self.__dict__.get('_clients'):
            return getattr(self._clients[0], name)
        raise AttributeError('%r has no attribute %r' % (type(self).__name__, name))

    @contextlib.contextmanager
    def _connection(self):
        """Lend an idle connection, a new one, or the next one that becomes idle."""
        if os.getpid() != self._pid:
            raise SharedClientError(
                'this ConcurrentBertClient was made in process %d and is used in process %d: make '
                'one in each process' % (self._pid, os.getpid())
            )
        client = self._idle_one() or self._new_one()
        client.timeout = self.timeout  # which the user might have set meanwhile
        try:
            yield client
        finally:
            with self._changed:
                self._idle.append(client)
                self._changed.notify()

    def _idle_one(self):
        """Wait for an idle connection, or return None if the caller has to make one."""
        deadline = _Deadline(self.timeout)
        with self._changed:
            while True:
                if self._is_closed:
                    raise _closed_error()
                if self._idle:
                    return self._idle.pop(0)  # in turn, so that every connection is read even if its clones are busy
                if self._num_made < self.max_concurrency:
                    self._num_made += 1
                    return None
                if deadline.seconds_left <= 0:
                    raise TimeoutError(
                        'none of the %d connections became free within "timeout"=%d ms: try a larger '
                        '"max_concurrency"' % (self.max_concurrency, self.timeout)
                    )
                self._changed.wait(min(deadline.seconds_left, _TICK_S))

    def _new_one(self):
        try:
            client = BertClient(**self._arguments)
        except BaseException:
            with self._changed:
                self._num_made -= 1
                self._changed.notify()
            raise
        with self._changed:
            self._clients.append(client)
            is_late = self._is_closed
        if is_late:
            client.close()
        return client


def _not_concurrent(method):
    return NotImplementedError('"%s" is not implemented for ConcurrentBertClient: use a BertClient per thread' % method)
