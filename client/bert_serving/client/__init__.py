# -*- coding: utf-8 -*-
"""The client of bert-as-service: sentences in, vectors out, over two ZeroMQ sockets.

One module that needs numpy and pyzmq alone, for Python 2.7 and 3.7 to 3.13, so that it may be copied into another
project. Its types are in ``__init__.pyi``.

The life of a request::

    encode ──▶ pending ──▶ PUSH ──▶ server ──▶ SUB ──▶ mailbox ──▶ the caller
                  ▲                    │
                  └── connection lost ─┘   everything pending is sent again, with the same ids

* A request is *pending* until its answer has come. It is handed to ZeroMQ once per connection: when the server was
  away, whatever is pending goes out again (the server drops those that it has already).
* A *mailbox* belongs to who waits: one to each blocking call, one to each ``encode_async``, one to ``fetch``. So an
  answer that comes while somebody else waits is kept for its owner, and one that has no owner any more is dropped.
* All sockets are used by the thread that calls, under a lock that is never waited for: a second thread gets an error.
  There is no thread of ours but the one that pulls the batches of ``encode_async``, and it touches no socket to the
  server.
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
    'SharedClientError',
    'UnsupportedError',
    'CancelledError',
    'TimeoutError',
]

__version__ = '2.0.0'

# The protocol that is spoken with the server, not a release: 1.10.0 clients and servers refuse any other.
PROTOCOL_VERSION = '1.10.0'

_PY2 = sys.version_info[0] == 2
if _PY2:
    _STRING_TYPES = (basestring,)  # noqa: F821
    _INTEGER_TYPES = (int, long, np.integer)  # noqa: F821

    class TimeoutError(OSError):
        """No response within ``timeout``; Python 2.7 has none of its own."""
else:
    _STRING_TYPES = (str,)
    _INTEGER_TYPES = (int, np.integer)
    TimeoutError = TimeoutError  # the built-in one, so that the name can be imported from here on every Python

_log = logging.getLogger('bert_serving.client')
_now = getattr(time, 'monotonic', time.time)  # 2.7 has only the clock on the wall

# A blocking `encode` sends up to this much as one request, and more as several, so many at a time.
_CHUNK_ROWS = 4096
_CHUNK_BYTES = 8 << 20
_CHUNK_ANSWER_BYTES = 32 << 20
_CHUNKS_IN_FLIGHT = 8
_BATCHES_IN_FLIGHT = 16  # of `encode_async`, whether they wait to be sent, to be answered, or to be taken

_MOST_DEADLINE_MS = 24 * 60 * 60 * 1000  # what the server takes
_MESSAGES_A_ROUND = 256  # read before the deadline is looked at again: a clone may be busier than this client
_TICK_S = 1.0  # the longest poll: Ctrl-C does not end a poll on Windows
_FIRST_CONNECTION_S = 1.0  # how long `encode(blocking=False)` may wait for a connection that is being made
_QUIET_AWAY_S, _QUIET_THERE_S = 3.0, 60.0  # how long a wait without, and with, a connection is silent at first
_CLOSE_LINGER_MS = 1000

# So that a restarted server is found within a second, and one that is down for a night is not asked ten times a second.
_RECONNECT_OPTIONS = [(zmq.RECONNECT_IVL, 100), (zmq.RECONNECT_IVL_MAX, 1000), (zmq.CONNECT_TIMEOUT, 5000)]

# Keepalive finds a peer that has vanished, and keeps a firewall from forgetting the connection. The kernel answers
# it, so it says nothing about a server that is alive and slow.
_KEEPALIVE_OPTIONS = [
    (zmq.TCP_KEEPALIVE, 1),
    (zmq.TCP_KEEPALIVE_IDLE, 30),
    (zmq.TCP_KEEPALIVE_INTVL, 10),
    (zmq.TCP_KEEPALIVE_CNT, 3),
]

# IMMEDIATE: ZeroMQ takes a request only when there is a connection, and forgets what it holds when that is lost. What
# has not been answered is kept here, so nothing is lost and no queue grows out of sight. No heartbeat: a server that
# holds back reads no pings, and hanging up on it, to send everything again, would make that worse. SNDHWM 0: what was
# asked without waiting goes out though this client may not be called again for long.
_SENDER_OPTIONS = _RECONNECT_OPTIONS + _KEEPALIVE_OPTIONS + [(zmq.IMMEDIATE, 1), (zmq.SNDHWM, 0)]

# RCVHWM 0: what arrives was asked for, here or by a clone, and is kept until it is read. A bound would drop nothing at
# this end, it would stop the reading: the server's queue would fill instead (1.10's drops), and the heartbeat, no
# longer read either, would end the connection. The time of the heartbeat must exceed that of the slowest frame: a
# large answer is one frame, and a ping is not seen before its end.
_RECEIVER_OPTIONS = (
    _RECONNECT_OPTIONS
    + _KEEPALIVE_OPTIONS
    + [(zmq.RCVHWM, 0), (zmq.HEARTBEAT_IVL, 30 * 1000), (zmq.HEARTBEAT_TIMEOUT, 120 * 1000)]
)


def _native(text):
    """Text as ``str``, which on 2.7 is bytes: its exceptions cannot be printed otherwise."""
    return text.encode('utf-8') if _PY2 and not isinstance(text, str) else text


class ServerError(RuntimeError):
    """The server answered a request with an error.

    :ivar type: the kind of error, as the server names it
    :ivar message: what the server says about it
    :ivar request_id: the request that failed
    """

    def __init__(self, type, message, request_id=None):
        super(ServerError, self).__init__(_native('%s: %s' % (type, message)))
        self.type = type
        self.message = message
        self.request_id = request_id


class ProtocolError(RuntimeError):
    """An answer that cannot be read, or that does not fit the request."""


class SharedClientError(RuntimeError):
    """One client object is used by two threads at once, or in a process forked from the one that made it."""


class UnsupportedError(RuntimeError):
    """The server does not advertise the extension of the protocol that a call needs; a server of 1.10 has none."""


class CancelledError(RuntimeError):
    """A call was ended by its own ``cancelled``."""


class Response(collections.namedtuple('Response', ['id', 'embedding', 'tokens'])):
    """What ``fetch``, ``encode_async`` and ``listen`` give for one request.

    :ivar id: the id of the request, an int; ids grow in the order of sending
    :ivar embedding: an array [rows, ...], or a list, as ``output_fmt`` says
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


class Encoded(collections.namedtuple('Encoded', ['array', 'tokens', 'token_counts'])):
    """What ``encode_with_details`` and ``tokenize`` return.

    :ivar array: the embedding; of ``tokenize`` the ids, int32 [rows, tokens], zero behind a row's last
    :ivar tokens: a list of tokens per row, or ``''`` if the server does not show them
    :ivar token_counts: a list of ints, how many tokens of each row the model is fed, [CLS] and [SEP] among them
    """

    __slots__ = ()


# ---------------------------------------------------------------------------------------------------- connection


class _Channel(object):
    """One socket towards one port of the server, and what its monitor tells about the connection."""

    def __init__(self, context, kind, address, options):
        self.address = address
        self.is_up = False
        self.times_up = 0
        self.changed_at = _now()
        self.socket = context.socket(kind)
        for option, value in options:
            self.socket.setsockopt(option, value)
        # Not get_monitor_socket(): an idle client does not read, and at its high-water mark a monitor stops ZeroMQ's I/O
        # thread, and with it everything. A peer that accepts and hangs up, a proxy say, makes ten events a second.
        events = 'inproc://monitor-%s' % uuid.uuid4().hex
        self.socket.monitor(events, zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self.monitor = context.socket(zmq.PAIR)
        self.monitor.setsockopt(zmq.RCVHWM, 0)
        self.monitor.connect(events)
        try:
            self.socket.connect(address)
        except zmq.ZMQError as reason:
            self.close(0)  # or the context would wait for these sockets for ever
            raise ValueError('%s is no address that can be connected to: %s' % (address, reason))
        except BaseException:
            self.close(0)
            raise

    def watch(self):
        """Take in what happened to the connection since the last look."""
        while self.monitor.get(zmq.EVENTS) & zmq.POLLIN:
            is_up = recv_monitor_message(self.monitor)['event'] == zmq.EVENT_HANDSHAKE_SUCCEEDED
            self.times_up += is_up
            if is_up != self.is_up:
                self.is_up = is_up
                self.changed_at = _now()

    def close(self, linger_ms):
        if not self.socket.closed:
            self.socket.disable_monitor()
            self.monitor.close(0)
            self.socket.close(linger_ms)


class _Doorbell(object):
    """Wakes the thread that polls ``socket``. Any thread may ring, also when it is too late."""

    def __init__(self, context):
        self._lock = threading.RLock()  # a signal handler may ring while its own thread does
        self.socket = context.socket(zmq.PAIR)
        self.socket.bind('inproc://doorbell')
        self._button = context.socket(zmq.PAIR)
        self._button.connect('inproc://doorbell')

    def ring(self):
        with self._lock:  # the lock makes it legal to use the socket from several threads
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
    """Both connections to one server. It moves frames and never blocks, but in ``wait``."""

    def __init__(self, ip, port, port_out, identity):
        self._context = zmq.Context()
        self._sender = self._receiver = self._doorbell = None
        try:
            self._sender = _Channel(self._context, zmq.PUSH, _address(ip, port), _SENDER_OPTIONS)
            self._receiver = _Channel(
                self._context, zmq.SUB, _address(ip, port_out), _RECEIVER_OPTIONS + [(zmq.SUBSCRIBE, identity)]
            )
            self._doorbell = _Doorbell(self._context)
        except BaseException:
            self.close()
            raise
        self.ring = self._doorbell.ring
        self._idle_poller, self._full_poller = zmq.Poller(), zmq.Poller()
        for poller in (self._idle_poller, self._full_poller):
            for socket in (self._receiver.socket, self._receiver.monitor, self._sender.monitor, self._doorbell.socket):
                poller.register(socket, zmq.POLLIN)
        self._full_poller.register(self._sender.socket, zmq.POLLOUT)

    @property
    def is_up(self):
        return self._sender.is_up and self._receiver.is_up

    @property
    def session(self):
        """Another value after each new connection of either socket: what was sent before may be lost."""
        return self._sender.times_up, self._receiver.times_up

    @property
    def changed_at(self):
        return max(self._sender.changed_at, self._receiver.changed_at)

    def describe(self):
        """Say which connections stand, for a log line or an error."""
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

    def watch(self):
        self._sender.watch()
        self._receiver.watch()

    def send(self, frames):
        """Send a message, or answer False when that has to wait."""
        is_begun = False
        try:
            for frame in frames[:-1]:
                self._sender.socket.send(frame, zmq.NOBLOCK | zmq.SNDMORE)
                is_begun = True
            self._sender.socket.send(frames[-1], zmq.NOBLOCK)
        except zmq.Again:
            if is_begun:
                self._renew_sender()
            return False
        except BaseException:  # Ctrl-C: what went out of this message must not become the head of the next
            self._renew_sender()
            raise
        return True

    def _renew_sender(self):
        """Give up a socket in the middle of a message. The connection of the new one is a new session."""
        old = self._sender
        self._idle_poller.unregister(old.monitor)
        self._full_poller.unregister(old.monitor)
        self._full_poller.unregister(old.socket)
        old.close(0)
        self._sender = _Channel(self._context, zmq.PUSH, old.address, _SENDER_OPTIONS)
        self._sender.times_up = old.times_up
        self._idle_poller.register(self._sender.monitor, zmq.POLLIN)
        self._full_poller.register(self._sender.monitor, zmq.POLLIN)
        self._full_poller.register(self._sender.socket, zmq.POLLOUT)

    def receive(self):
        """The frames of the next message, or None."""
        try:
            return self._receiver.socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None

    def wait(self, seconds, to_send):
        """Wait until something may have changed; ``to_send``: also for room to send."""
        poller = self._full_poller if to_send and self.is_up else self._idle_poller
        poller.poll(int(math.ceil(1000 * max(0, min(seconds, _TICK_S)))))
        self._doorbell.quiet()

    def close(self):
        if self._context.closed:
            return
        if self._doorbell is not None:
            self._doorbell.close()
        if self._receiver is not None:
            self._receiver.close(0)
        if self._sender is not None:
            self._sender.close(_CLOSE_LINGER_MS)  # what was asked without waiting still goes out
        self._context.term()


def _address(ip, port):
    return 'tcp://%s:%d' % (ip, port)


class _Patience(object):
    """Says on the log what a long wait waits for: after a few seconds, then at growing intervals."""

    def __init__(self, link):
        self._link = link
        self._since = _now()
        self._quiet_s = _QUIET_AWAY_S

    def tick(self, number):
        now = _now()
        waited_s = now - self._since
        if self._link.is_up:
            is_due = number and waited_s >= max(self._quiet_s, _QUIET_THERE_S)
        else:  # a connection that is being made anew is no news
            is_due = waited_s >= self._quiet_s and now - self._link.changed_at >= _QUIET_AWAY_S
        if is_due:
            self._quiet_s = 2 * waited_s
            _warn(
                'waiting for the server for %d s now, with %d request(s) not answered: %s',
                waited_s,
                number,
                self._link.describe(),
            )


def _warn(message, *arguments):
    _log.warning(message, *arguments)
    if _PY2 and not _has_handler(_log):  # Python 3 has logging.lastResort for this
        sys.stderr.write('%s\n' % (message % arguments))


def _has_handler(logger):
    while logger:
        if logger.handlers:
            return True
        logger = logger.parent if logger.propagate else None
    return False


# ------------------------------------------------------------------------------------------------------ messages


class _Request(object):
    """What is kept of a request until its answer has come, so that it can be sent again."""

    __slots__ = ('id', 'payload', 'rows', 'mailbox', 'since', 'options')

    def __init__(self, request_id, payload, rows, mailbox, options=None):
        self.id = request_id
        self.payload = payload
        self.rows = rows
        self.mailbox = mailbox
        self.since = _now()
        self.options = options  # of the extensions, a dict; None: a request that every server of the protocol reads

    def frames(self, identity):
        frames = [identity, self.payload, b'%d' % self.id, b'%d' % self.rows]
        return frames if self.options is None else frames + [_dump(self.options)]


class _Reply(object):
    """An answer: ``header`` is its JSON object, ``data`` the frame of the array, ``error`` what to raise instead."""

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


class _Mailbox(object):
    """What one caller waits for: requests ``waiting``, by id in the order of sending, and replies ``arrived``."""

    def __init__(self):
        self.waiting = collections.OrderedDict()
        self.arrived = collections.deque()
        self.failed = False

    def __len__(self):
        return len(self.waiting) + len(self.arrived)

    def put(self, reply):
        if reply.error:  # whoever looks next shall learn of it first
            self.arrived.appendleft(reply)
            self.failed = True
        else:
            self.arrived.append(reply)
        self.waiting.pop(reply.id, None)  # last, and it may have been given up: no interrupt between loses the reply

    def take(self):
        """The next reply; raises what it says if it is an error."""
        reply = self.arrived.popleft()
        self.failed = bool(self.arrived) and self.arrived[0].error is not None
        if reply.error:
            raise reply.error
        return reply


def _buffer(frame):
    # numpy of the days of 2.7 reads no memoryview there
    return frame.bytes if _PY2 else frame.buffer


def _read_reply(frames, request_id, rows):
    """Make a reply of what came for a request of so many rows (0: of the config; None: of a clone)."""
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
    except Exception as reason:  # whatever is wrong with it: who waits for it must be told
        return _Reply(
            request_id,
            None,
            None,
            ProtocolError(
                _native('the answer to request %d cannot be used: %s: %s' % (request_id, type(reason).__name__, reason))
            ),
        )


def _is_shutting_down(reply):
    """Whether the server refuses a request because it is about to end: the next one, which the connection leads to
    as soon as it is there, will take it.
    """
    return isinstance(reply.error, ServerError) and reply.error.type == 'ShuttingDown'


def _dump(rows):
    """A JSON list in bytes."""
    if not _PY2:
        try:
            return json.dumps(rows, ensure_ascii=False, separators=(',', ':')).encode('utf-8')
        except UnicodeEncodeError:
            pass  # half a surrogate pair has no UTF-8, but an escape
    return json.dumps(rows, separators=(',', ':')).encode('ascii')


# --------------------------------------------------------------------------------------------------------- input


class _Texts(object):
    """The rows of one ``encode``, checked, and cut into native lists only piece by piece.

    :raises TypeError: not a list, tuple, array or Series of strings (of lists of strings if tokenised)
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
        """Whether an element has more tokens, or words between white space, than that."""
        if self._is_tokenized:
            return any(len(row) > words for row in self._rows)
        # a text of n words has at least 2n - 1 characters, so most need not be split
        return any(len(text) > 2 * words and len(text.split()) > words for text in self._rows)

    def dump(self, start, stop):
        """The JSON of the rows from ``start`` to ``stop``."""
        rows = self._rows[start:stop]
        rows = rows.tolist() if isinstance(rows, np.ndarray) else rows
        if self._is_tokenized:
            return _dump([[_text(token) for token in row] for row in rows])
        return _dump([_text(text) for text in rows])


class _TokenIds(object):
    """Rows of ids of the vocabulary, checked; the same to its users as ``_Texts``."""

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
    """A list, tuple or array as it is, a Series as an array."""
    if isinstance(value, _STRING_TYPES + (bytes,)):
        raise TypeError(
            '%s must be a list of strings, but is one %s: did you mean a list with this one in it?'
            % (name, type(value).__name__)
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
    if _PY2:
        try:
            _text(value)
        except UnicodeDecodeError as reason:
            raise ValueError('%s is neither unicode nor UTF-8: %s' % (name % numbers, reason))


def _text(value):
    return value.decode('utf-8') if isinstance(value, bytes) else value


class _Answer(object):
    """The rows of one ``encode``, put together from the answers to its chunks, in any order."""

    def __init__(self, rows, is_ragged=False):
        self._rows = rows
        self._is_ragged = is_ragged  # whether parts of two dimensions may differ in the second, as ids of tokens do
        self.missing = rows
        self.array = None
        self._tokens = [''] * rows
        self.token_counts = [0] * rows

    @property
    def bytes_per_row(self):
        return None if self.array is None else max(1, self.array[:1].nbytes)

    @property
    def tokens(self):
        return '' if '' in self._tokens else self._tokens

    def put(self, start, reply):
        """Take in the rows from ``start`` on; return how many."""
        count = self.put_array(start, reply.array)
        if reply.tokens:
            self._tokens[start : start + count] = reply.tokens
        if reply.token_counts:
            self.token_counts[start : start + count] = reply.token_counts
        self.missing -= count
        return count

    def put_array(self, start, part):
        """Take in the rows ``part`` from ``start`` on; return how many."""
        count = len(part)
        if count == self._rows:
            self.array = part.copy()  # of its own, so that it may be written to
        else:
            self._make_room(part)
            # The token-level answers of a server without max_seq_len differ in length: the rest stays zero, as it would
            # in one answer to all.
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
                'rows of %s %s and of %s %s cannot be one answer: was the server started anew with '
                'other options?' % (self.array.dtype, have, part.dtype, need)
            )
        if need[:1] > have[:1]:
            wider = np.zeros((self._rows,) + need, dtype=part.dtype)
            wider[:, : have[0]] = self.array
            self.array = wider


class _Producer(object):
    """Pulls the batches of ``encode_async`` in a thread of its own, because the user's iterator may take its time.

    At most ``_BATCHES_IN_FLIGHT`` are out at once: each ``taken`` makes room for one more.
    """

    def __init__(self, iterable, limit, ring):
        self._iterable = iterable
        self._limit = limit
        self._ring = ring
        self._room = threading.Semaphore(_BATCHES_IN_FLIGHT)
        self._is_stopped = False
        self.batches = collections.deque()
        self.error = None
        self._is_done = False

    def start(self):
        thread = threading.Thread(target=self._run, name='bert-client-producer')
        thread.daemon = True  # an iterator that never comes back must not hold up the end of the program
        thread.start()

    def taken(self):
        self._room.release()

    def stop(self):
        self._is_stopped = True
        self._room.release()

    def has_news(self, mailbox):
        return self.batches or self.has_ended and not mailbox

    @property
    def has_ended(self):
        return self._is_done and not self.batches  # in this order: the last batch comes before the end

    def _run(self):
        try:
            for batch in itertools.islice(self._as_there_is_room(iter(self._iterable)), self._limit):
                self.batches.append(batch)
                self._ring()
        except BaseException as error:  # raised again where the results are read
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
    try:
        from tqdm import tqdm
    except ImportError:
        warnings.warn(
            'no progress can be shown without tqdm: pip install "bert-serving-client[progress]"', stacklevel=stacklevel
        )
        return _NoProgress()
    return tqdm(total=total)


# ------------------------------------------------------------------------------------------------------- courier


class _Deadline(object):
    """The end of a wait for the server, ``timeout_ms`` after it began; never, if that is negative."""

    def __init__(self, timeout_ms, since=None):
        self.timeout_ms = timeout_ms
        is_set = timeout_ms is not None and timeout_ms >= 0
        self._at = (_now() if since is None else since) + timeout_ms / 1000 if is_set else float('inf')

    @property
    def seconds_left(self):
        return self._at - _now()


class _Courier(object):
    """Carries requests to the server, again after each new connection, and answers to who waits for them."""

    def __init__(self, link, identity):
        self._link = link
        self._identity = identity
        self._made_at = _now()
        # Clones that count from the same number would take each other's answers.
        self._next_id = random.SystemRandom().randrange(1 << 32, 1 << 48)
        self._pending = collections.OrderedDict()  # id -> request that has no answer yet
        self._unsent = collections.OrderedDict()  # those of them that ZeroMQ has not taken in this session
        self._session = None
        self.num_request = 0
        self.is_closed = False
        self.extended_session = None  # that in which the server has been found to read requests with options
        self.cancelling_session = None  # that in which it has been found to read CANCEL
        self._to_cancel = collections.deque()  # ids of requests that nobody waits for any more
        self.listeners = 0
        self.overheard = collections.deque()  # replies to clones, while there are listeners

    @property
    def pending_ids(self):
        return list(self._pending)

    @property
    def session(self):
        """Which connection this is, None before the first."""
        return self._session

    @property
    def is_connected(self):
        return self._link.is_up

    def post(self, payload, rows, mailbox, options=None):
        """Make a request, which the next ``exchange`` sends; return its id."""
        request = _Request(self._next_id, payload, rows, mailbox, options)
        self._next_id += 1
        self.num_request += 1
        for place in (self._pending, self._unsent, mailbox.waiting):
            place[request.id] = request
        return request.id

    def abandon(self, mailbox):
        """Nobody waits for these any more: their answers will be dropped, and the server is told where it can be.

        It is told by the next ``exchange``, because this may be called by a thread that must not touch the sockets: that
        of the garbage collector, when a generator is forgotten.
        """
        for request in mailbox.waiting.values():
            is_out = self._pending.pop(request.id, None) and not self._unsent.pop(request.id, None)
            if is_out and request.rows:
                self._to_cancel.append((self._session, request.id))
        mailbox.waiting.clear()

    def pump(self, done, deadline, cancelled=None):
        """Exchange messages until ``done()``; raise TimeoutError if that is not before ``deadline``.

        Without a deadline it is not the server that is waited for: no limit, and no word on the log. ``cancelled`` is
        asked once a round, and so about once a second.
        """
        patience = _Patience(self._link)
        while True:
            self.exchange()
            if done():
                return
            if self.is_closed:
                raise _closed_error()
            if cancelled and cancelled():
                raise CancelledError('the call was cancelled before the server had answered')
            seconds = _TICK_S
            if deadline:
                seconds = deadline.seconds_left
                if seconds <= 0:
                    raise TimeoutError(
                        'no response from the server within "timeout"=%d ms (%s): is it running? are '
                        '"ip", "port" and "port_out" right? is the timeout too short for this much data?'
                        % (deadline.timeout_ms, self._link.describe())
                    )
                patience.tick(len(self._pending))
            self._link.wait(seconds, to_send=bool(self._unsent))

    def hand_over(self):
        """Send what is unsent if that can be done now; the first connection is given a moment to come up."""
        self.exchange()
        while self._unsent and self._session is None:
            seconds = self._made_at + _FIRST_CONNECTION_S - _now()
            if seconds <= 0:
                break
            self._link.wait(seconds, to_send=True)
            self.exchange()

    def exchange(self):
        """Send what can be sent, take in what has come; never wait."""
        self._link.watch()
        if self._link.is_up and self._session != self._link.session:
            if self._session and self._pending:
                _log.info('connected to the server again, %d request(s) are sent again', len(self._pending))
            self._session = self._link.session
            self._unsent = self._pending.copy()
        self._send_cancels()
        while self._unsent and self._link.is_up:
            request = next((request for request in self._unsent.values() if self._is_readable(request)), None)
            if request is None or not self._link.send(request.frames(self._identity)):
                break
            self._unsent.pop(request.id, None)
        for frames in itertools.islice(iter(self._link.receive, None), _MESSAGES_A_ROUND):
            self._sort_in(frames)

    def _is_readable(self, request):
        """Whether the server of this connection is known to read it: after a restart it may be another."""
        return request.options is None or self.extended_session == self._session

    def _send_cancels(self):
        while self._to_cancel:
            session, request_id = self._to_cancel[0]
            if session == self._session == self.cancelling_session and self._link.is_up:
                if not self._link.send([self._identity, b'CANCEL', b'%d' % request_id, b'0']):
                    return
            self._to_cancel.popleft()  # else there is nobody to tell: what that server had is lost with its connection

    def _sort_in(self, frames):
        """Give an answer to who waits for it."""
        if len(frames) not in (3, 4) or frames[0].bytes != self._identity:
            return  # a subscription holds for all topics that begin like it: this is for another identity
        try:
            request_id = int(frames[-1].bytes)
        except ValueError:
            return
        request = self._pending.get(request_id)
        if request:
            try:
                reply = _read_reply(frames, request_id, request.rows)
            except BaseException:  # Ctrl-C: the answer is lost, so it is asked for again
                self._unsent[request_id] = request
                raise
            if _is_shutting_down(reply) and request.options is None:
                _log.info('the server is shutting down: request %d is kept for the next one', request_id)
                return
            request.mailbox.put(reply)
            self._pending.pop(request_id, None)
            self._unsent.pop(request_id, None)  # answered before it was sent again
        elif self.listeners and len(frames) == 4:
            reply = _read_reply(frames, request_id, None)
            if not reply.error:
                self.overheard.append(reply)

    def interrupt(self):
        """Wake the thread that waits, from any other."""
        self._link.ring()

    def close(self):
        self._link.close()


def _closed_error():
    return RuntimeError('this client is closed')


# -------------------------------------------------------------------------------------------------------- client


class BertClient(object):
    """A client of one BertServer.

    ::

        with BertClient() as bc:
            bc.encode(['First do it', 'then do it right', 'then do it better'])

    A client object belongs to one thread at a time and to the process that made it: use one per thread, or a
    ``ConcurrentBertClient``. ``close`` alone may be called from another thread; it ends what waits.

    When the server is not there, or restarts, a call waits for it as long as ``timeout`` allows, says so on the log
    ``bert_serving.client`` after a few seconds, and sends what is pending again. Nothing needs to be made anew.

    :param ip: host name or address of the server
    :param port: port that takes requests, the server's ``-port``
    :param port_out: port that publishes results, the server's ``-port_out``
    :param output_fmt: ``'ndarray'`` or ``'list'``: whether embeddings are arrays or nested lists of floats
    :param show_server_config: print the server's configuration
    :param identity: bytes or text; clients of one identity are clones and hear each other's results, see ``listen``
    :param check_version: raise AttributeError if the server speaks another protocol
    :param check_length: warn when a text has more words than the server's ``max_seq_len``
    :param check_token_info: ask whether the server shows its tokens, for ``token_info_available``
    :param ignore_all_checks: none of the above, so that the server need not be there yet
    :param timeout: how many milliseconds a call may wait for the server; -1: for ever

    :raises AttributeError: a wrong ``output_fmt``, or a server of another protocol
    :raises TimeoutError: the server did not answer the checks within ``timeout``
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
    ):
        if output_fmt not in ('ndarray', 'list'):
            raise AttributeError('"output_fmt" must be "ndarray" or "list", but is %r' % (output_fmt,))
        self.ip = ip
        self.port = port
        self.port_out = port_out
        self.output_fmt = output_fmt
        self.timeout = timeout
        self.identity = _identity(identity)
        self.length_limit = 0
        self.token_info_available = False

        self._pid = os.getpid()
        self._busy = threading.Lock()
        self._fetchable = _Mailbox()
        self._server_limits = self._limits_session = None
        self._courier = _Courier(_Link(ip, port, port_out, self.identity), self.identity)

        if not ignore_all_checks and (check_version or check_length or check_token_info or show_server_config):
            try:
                config = self.server_config
                self._check_server(config, check_version, check_length, check_token_info, show_server_config)
            except BaseException:
                self.close()
                raise

    def _check_server(self, config, version, length, token_info, show):
        if version and config.get('server_version') != PROTOCOL_VERSION:
            raise AttributeError(
                'version mismatch: the server speaks protocol %s and this client %s. Install versions that fit with '
                '"pip install -U bert-serving-server bert-serving-client", or switch the check off with '
                '"BertClient(check_version=False)"' % (config.get('server_version'), PROTOCOL_VERSION)
            )
        if length:
            limit = config.get('max_seq_len')
            self.length_limit = None if limit in (None, 'NONE', 'none') else int(limit)
        if token_info:
            self.token_info_available = bool(config.get('show_tokens_to_client'))
        if show:
            print('server config:')
            for key, value in config.items():
                print('%30s\t=\t%-30s' % (key, value))

    # ------------------------------------------------------------------------------------------------ public

    @property
    def status(self):
        """What this client is and does, without asking the server.

        :return: a dict with the keys identity (bytes), num_request, num_pending_request, pending_request (the ids,
            a set, of what has not been fetched), output_fmt, port, port_out, server_ip, client_version (the protocol),
            client_release and timeout
        """
        pending = set(self._courier.pending_ids)
        pending.update(reply.id for reply in list(self._fetchable.arrived))
        return {
            'identity': self.identity,
            'num_request': self._courier.num_request,
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

    @property
    def server_config(self):
        """The options and versions of the server, a dict, asked for anew each time.

        :raises TimeoutError: no response within ``timeout``
        """
        with self._claimed():
            config = self._ask(b'SHOW_CONFIG')
        self._remember_limits(config)
        return config

    @property
    def server_status(self):
        """As ``server_config``, and with ``statistic``: a dict of what the server has done so far.

        :raises TimeoutError: no response within ``timeout``
        """
        with self._claimed():
            return self._ask(b'SHOW_STATUS')

    def encode(self, texts, blocking=True, is_tokenized=False, show_tokens=False, show_progress=False):
        """Turn texts into vectors.

        ::

            bc.encode(['hello world', 'a question ||| and its answer'])  # float32 [2, 768]
            bc.encode([['hello', 'world']], is_tokenized=True)           # float32 [1, 768]

        Any number of texts will do. More than 4,096, or more than 8 MiB, are sent as several requests, a few at a time,
        and put together here, so that a million rows need little memory beside the input and the output.

        :param texts: a list, tuple, array or pandas Series of strings; of lists of strings with ``is_tokenized``
        :param blocking: False: return None at once, and leave the result to ``fetch``, ``fetch_all`` or ``listen``. The
            texts then are one request, whatever their number. If there is no connection yet it is sent by the
            next call of any method that waits.
        :param is_tokenized: the texts are lists of tokens already
        :param show_tokens: return ``(embedding, tokens)``, if the server shows its tokens
        :param show_progress: show a progress bar; needs tqdm: ``pip install "bert-serving-client[progress]"``
        :return: an array [rows, dimensions], or [rows, tokens, dimensions] if the server does not pool, of float32
            (float16 with ``-fp16``), which may be written to; lists of that shape with ``output_fmt='list'``.
            ``tokens`` is a list per row, as the model saw it.
        :raises TypeError: not a list of strings; the message names the element
        :raises ValueError: nothing in the list, a blank element, or one larger than the server takes
        :raises ServerError: the server cannot do it, and says why
        :raises TimeoutError: no answer within ``timeout``, which holds for the call; a late answer is dropped
        :raises SharedClientError: another thread is using this client, or it is used after a fork
        """
        with self._claimed():
            rows = self._checked(texts, is_tokenized)
            if not blocking:
                self._post_whole(rows, self._fetchable)
                self._courier.hand_over()
                return None
            answer = self._encode_in_chunks(rows, show_progress)
        embedding = answer.array.tolist() if self.output_fmt == 'list' else answer.array
        if not show_tokens:
            return embedding
        tokens = answer.tokens
        if not tokens:
            warnings.warn(
                '"show_tokens=True", but the server does not show tokens to clients: start it with '
                '"-show_tokens_to_client", or use "encode(show_tokens=False)"',
                stacklevel=2,
            )
            return embedding
        return embedding, tokens

    def encode_with_details(self, texts, is_tokenized=False, token_ids=False, cancelled=None):
        """As a blocking ``encode``, and how many tokens the model was fed; of a server of release 2 or later.

        It is for programs that serve others, as the HTTP proxy does. ``timeout`` goes to the server as well, which drops
        what it has not begun by then; a call that ends early, by an error or an interrupt, is cancelled there; and a
        server that is shutting down is not waited for.

        :param texts: as in ``encode``
        :param is_tokenized: the texts are lists of tokens
        :param token_ids: the texts are lists of ids of the server's vocabulary, without [CLS] and [SEP]
        :param cancelled: a function that is asked about once a second whether the call is to end with CancelledError
        :return: ``Encoded(array, tokens, token_counts)``; the array is numpy's whatever ``output_fmt`` says
        :raises UnsupportedError: the server does not advertise what this needs
        :raises CancelledError: ``cancelled`` said so
        """
        with self._claimed():
            rows = _TokenIds(texts) if token_ids else self._checked(texts, is_tokenized)
            needs = {'token_ids'} if token_ids else set()
            return self._ask_for_details(rows, {'token_counts': True}, needs, cancelled)

    def tokenize(self, texts, is_tokenized=False, cancelled=None):
        """The tokens of texts, as the model would be fed them; of a server of release 2 or later.

        ::

            bc.tokenize(['hello world']).tokens  # [['[CLS]', 'hello', 'world', '[SEP]']]

        :param texts: as in ``encode``
        :param is_tokenized: as in ``encode``
        :param cancelled: as in ``encode_with_details``
        :return: ``Encoded(array, tokens, token_counts)``; the array has the ids
        :raises UnsupportedError: the server does not advertise what this needs
        """
        with self._claimed():
            rows = _Texts(texts, is_tokenized)  # no warning about long ones: how they are cut is what is asked here
            return self._ask_for_details(rows, {'tokenize': True}, set(), cancelled)

    @property
    def is_connected(self):
        """Whether both connections to the server stand, as far as the last call knows."""
        return self._courier.is_connected

    def encode_async(
        self, batch_generator, max_num_batch=None, delay=0.1, is_tokenized=False, show_tokens=False, show_progress=False
    ):
        """Encode batch after batch while they are being made, and yield the results in the order of arrival.

        ::

            for response in bc.encode_async(batches()):
                print(response.id, response.embedding.shape)

        The batches are pulled in a thread of their own, as fast as they come but never more than 16 ahead of the
        results taken: so an endless producer is fine, and a slow one holds up nothing but itself. The producer runs in
        that thread, and must not use this client. Nothing is pulled before the first result is asked for.

        :param batch_generator: yields what ``encode`` takes as ``texts``
        :param max_num_batch: stop after that many batches
        :param delay: not needed any more, and ignored
        :param is_tokenized: as in ``encode``
        :param show_tokens: as in ``encode``; the tokens are in the responses anyway
        :param show_progress: show a progress bar that counts batches; needs tqdm
        :return: an iterator over ``Response``. Leaving it early gives up the rest.
        :raises Exception: what the producer raises, or what ``encode`` would raise for a batch, after the results of
            the batches before it; ServerError and TimeoutError at once
        """
        return self._stream(batch_generator, max_num_batch or None, is_tokenized, show_progress)

    def fetch(self, delay=0):
        """Yield the results of ``encode(blocking=False)`` in the order of arrival, until none is pending.

        Other calls may come in between. ``timeout`` holds for each result; after a TimeoutError the requests are still
        pending, and another ``fetch`` waits for them again.

        :param delay: not needed any more, and ignored
        :return: an iterator over ``Response``
        :raises ServerError: for a request that failed; the others stay pending
        :raises TimeoutError: no result within ``timeout``
        """
        mailbox = self._fetchable
        while mailbox:
            with self._claimed():
                self._courier.pump(lambda: mailbox.arrived, self._deadline())
                response = self._response(mailbox.take())
            yield response

    def fetch_all(self, sort=True, concat=False):
        """All results of ``encode(blocking=False)``, in the order of sending.

        :param sort: False: in the order of arrival
        :param concat: make one array (or one list) of the rows of all
        :return: a list of embeddings, or their rows in one, or None when nothing is pending
        :raises ServerError: a request failed; the results of the others are kept for the next call
        :raises TimeoutError: not all came within ``timeout``; those that did are kept for the next call
        """
        mailbox = self._fetchable
        if not mailbox:
            return None
        with self._claimed():
            self._courier.pump(lambda: mailbox.failed or not mailbox.waiting, self._deadline())
            if mailbox.failed:
                mailbox.take()  # raises, before the rest is taken out
            responses = [self._response(reply) for reply in mailbox.arrived]
            if sort:
                responses.sort(key=lambda response: response.id)
            embeddings = [response.embedding for response in responses]
            if concat:
                embeddings = _concatenated(embeddings)
            mailbox.arrived.clear()  # only now: whatever went wrong before, nothing is lost
        return embeddings

    def listen(self):
        """Yield every result that arrives for this identity, asked for here with ``blocking=False`` or by a clone.

        ::

            for response in BertClient(identity=bc.identity).listen():
                train_on(response.embedding)

        It goes on for ever: until the loop is left, the client is closed, or nothing comes within ``timeout``. What a
        clone sent in several requests (see ``encode``) arrives in as many results. While the iterator lives, other
        calls keep for it what they overhear.

        :return: an iterator over ``Response``
        :raises ServerError: for a request of this object that failed; the errors of clones are theirs
        :raises TimeoutError: nothing arrived within ``timeout``
        """
        return _Listening(self._courier, self._next_heard)

    def _next_heard(self):
        """The next result of this identity, whoever asked for it; None when the client is closed."""
        courier, mailbox = self._courier, self._fetchable
        if courier.is_closed:
            return None
        try:
            with self._claimed():
                courier.pump(lambda: mailbox.arrived or courier.overheard or courier.is_closed, self._deadline())
                if courier.is_closed:
                    return None
                return self._response(mailbox.take() if mailbox.arrived else courier.overheard.popleft())
        except RuntimeError:
            if courier.is_closed:  # between the look and the wait
                return None
            raise

    def close(self):
        """End both connections, within a second. May be called twice, from another thread, and by a signal handler."""
        self._courier.is_closed = True
        if os.getpid() == self._pid:  # else the sockets belong to the parent process
            self._courier.interrupt()
            self._shut()

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self.close()

    def __del__(self):
        try:
            if '_courier' in self.__dict__:
                self.close()
        except Exception:  # the interpreter may be half gone
            pass

    # ----------------------------------------------------------------------------------------------- private

    @contextlib.contextmanager
    def _claimed(self):
        """For the time of one call this client is the caller's alone."""
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
        """Close the sockets, or leave it to the call that is using them: it does so at its end."""
        if self._busy.acquire(False):
            try:
                self._courier.close()
            finally:
                self._busy.release()

    def _deadline(self, since=None):
        return _Deadline(self.timeout, since)

    # What follows is called with the client claimed.

    def _checked(self, texts, is_tokenized):
        rows = _Texts(texts, is_tokenized)
        if self.length_limit is None:
            warnings.warn(
                'the server has no "max_seq_len": it takes the longest text of each batch, so restricting '
                'the length of the texts here makes it faster',
                stacklevel=3,
            )
        elif self.length_limit and rows.has_longer_than(self.length_limit):
            warnings.warn(
                'some texts have more words than "max_seq_len=%d" of the server, which cuts them: start it '
                'with a larger one, or silence this with "BertClient(check_length=False)"' % self.length_limit,
                stacklevel=3,
            )
        return rows

    def _response(self, reply):
        array = reply.array
        return Response(reply.id, array.tolist() if self.output_fmt == 'list' else array.copy(), reply.tokens)

    def _ask(self, question, deadline=None, cancelled=None):
        """The server's answer to SHOW_CONFIG or SHOW_STATUS."""
        mailbox = _Mailbox()
        try:
            self._courier.post(question, 0, mailbox)
            self._courier.pump(lambda: mailbox.arrived, deadline or self._deadline(), cancelled)
            return mailbox.take().header
        finally:
            self._courier.abandon(mailbox)

    def _remember_limits(self, config):
        limits = self._server_limits = _Limits(config)
        session = self._limits_session = self._courier.session
        self._courier.extended_session = session if 'options' in limits.extensions else None
        self._courier.cancelling_session = session if 'cancel' in limits.extensions else None

    @property
    def _are_limits_old(self):
        return self._server_limits is None or self._limits_session != self._courier.session

    def _limits(self, deadline, cancelled=None):
        """Those of the server that is connected now: after a restart it may have others."""
        if self._are_limits_old:
            self._remember_limits(self._ask(b'SHOW_CONFIG', deadline, cancelled))
        return self._server_limits

    @property
    def _known_message_bytes(self):
        return self._server_limits and self._server_limits.message_bytes

    @property
    def _known_request_rows(self):
        return self._server_limits and self._server_limits.request_rows

    def _post_whole(self, rows, mailbox):
        """Make one request of all rows."""
        payload = rows.dump(0, len(rows))
        limit = self._known_message_bytes
        if limit and len(payload) > limit:
            raise ValueError(
                'these %d texts are %d bytes, but the server takes at most %d in one request: send fewer '
                'at a time, or let a blocking "encode" divide them' % (len(rows), len(payload), limit)
            )
        self._courier.post(payload, len(rows), mailbox)

    def _ask_for_details(self, rows, options, needs, cancelled):
        """``encode`` by a request with ``options``; ``needs`` are the extensions without which it cannot be asked."""
        needs = {'options'} | needs
        answer = self._encode_in_chunks(rows, False, options, needs, cancelled)
        return Encoded(answer.array, answer.tokens, answer.token_counts)

    def _require(self, needs, deadline, cancelled=None):
        """See to it that the server of this connection has these extensions."""
        missing = needs - self._limits(deadline, cancelled).extensions
        if missing:
            raise UnsupportedError(
                'the server does not advertise %s among the "extensions" of its configuration: it is '
                'older than this client, so use "encode"' % ', '.join(sorted(missing))
            )

    def _encode_in_chunks(self, rows, show_progress, options=None, needs=frozenset(), cancelled=None):
        mailbox = _Mailbox()
        answer = _Answer(len(rows), is_ragged=bool(options and options.get('tokenize')))
        first_rows = {}  # id of the request -> its first row
        deadline = self._deadline()
        progress = _progress_bar(len(rows), stacklevel=4) if show_progress else _NoProgress()
        try:
            chunks = self._chunks(rows, answer, show_progress, deadline)
            while answer.missing:
                if needs:
                    self._require(needs, deadline, cancelled)
                for start, count, payload in itertools.islice(chunks, _CHUNKS_IN_FLIGHT - len(mailbox)):
                    first_rows[self._courier.post(payload, count, mailbox, _until(options, deadline))] = start
                    self._courier.exchange()  # it is on its way while the next one is made
                self._courier.pump(lambda: mailbox.arrived or needs and self._are_limits_old, deadline, cancelled)
                if mailbox.arrived:
                    reply = mailbox.take()
                    progress.update(answer.put(first_rows.pop(reply.id), reply))
            return answer
        finally:
            if mailbox.waiting:
                self._courier.abandon(mailbox)
                if not self._courier.is_closed:
                    self._courier.exchange()  # so that the server is told at once
            progress.close()

    def _chunks(self, rows, answer, is_fine, deadline):
        """Yield (first row, number of rows, JSON) per request: one if that is little enough, else several.

        The server works in sub-batches of its ``max_batch_size``, and without a ``max_seq_len`` the length of an answer
        depends on them. So a chunk is a multiple of that, unless a message would become too large for the server.
        """
        total = len(rows)
        if total <= min(_CHUNK_ROWS, self._known_request_rows or _CHUNK_ROWS) and not is_fine:
            payload = rows.dump(0, total)
            if len(payload) <= min(_CHUNK_BYTES, self._known_message_bytes or _CHUNK_BYTES):
                yield 0, total, payload
                return
        limits = self._limits(deadline)
        batch = limits.batch_rows
        most = batch if is_fine else _CHUNK_ROWS
        start = 0
        while start < total:
            count = most
            if answer.array is not None:
                count = min(count, _CHUNK_ANSWER_BYTES // answer.bytes_per_row)
            elif limits.is_token_level:
                count = batch  # large, but how large is not known yet
            count = min(max(count // batch, 1) * batch, total - start, limits.request_rows or total)
            payload = rows.dump(start, start + count)
            while len(payload) > _CHUNK_BYTES and count > batch:
                most = count = max(count // 2 // batch, 1) * batch
                payload = rows.dump(start, start + count)
            while limits.message_bytes and len(payload) > limits.message_bytes:
                if count == 1:
                    raise ValueError(
                        'element %d of "texts" makes a request of %d bytes, but the server takes at most '
                        '%d' % (start, len(payload), limits.message_bytes)
                    )
                count //= 2
                payload = rows.dump(start, start + count)
            yield start, count, payload
            start += count

    def _stream(self, batches, limit, is_tokenized, show_progress):
        """The generator of ``encode_async``. The client is claimed only while it runs, not while the caller does."""
        mailbox = _Mailbox()
        producer = _Producer(batches, limit, self._courier.interrupt)
        error = None  # of a batch, or of the producer: raised when the results of what went before are out
        progress = _progress_bar(limit, stacklevel=3) if show_progress else _NoProgress()
        producer.start()
        try:
            while True:
                resumed_at = _now()
                with self._claimed():
                    while not mailbox.arrived:
                        while producer.batches and not error:
                            try:
                                self._post_whole(self._checked(producer.batches.popleft(), is_tokenized), mailbox)
                            except (TypeError, ValueError) as reason:
                                error = reason
                        if not mailbox and (error or producer.has_ended):
                            break
                        oldest = next(iter(mailbox.waiting.values()), None)
                        self._courier.pump(
                            lambda: mailbox.arrived or not error and producer.has_news(mailbox),
                            self._deadline(max(resumed_at, oldest.since)) if oldest else None,
                        )
                    if not mailbox.arrived:
                        break
                    response = self._response(mailbox.take())
                producer.taken()
                progress.update(1)
                yield response
            if error or producer.error:
                raise error or producer.error
        finally:
            producer.stop()
            self._courier.abandon(mailbox)
            progress.close()


def _until(options, deadline):
    """The options of a request, with what is left until the deadline in milliseconds, if there is one."""
    if options is None or deadline.seconds_left == float('inf'):
        return options
    return dict(options, deadline_ms=int(min(max(1000 * deadline.seconds_left, 1), _MOST_DEADLINE_MS)))


class _Listening(object):
    """The iterator of ``listen``. From when it is made until it is closed, what is overheard is kept for it."""

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


class _Limits(object):
    """What the config says about the size of a request."""

    def __init__(self, config):
        self.batch_rows = max(1, int(config.get('max_batch_size') or 256))
        self.message_bytes = config.get('max_message_bytes')
        self.request_rows = config.get('max_request_rows')
        self.is_token_level = config.get('pooling_strategy') == 0
        self.extensions = frozenset(config.get('extensions') or ())


_OF_A_CONNECTION = ('ip', 'port', 'port_out', 'identity', 'output_fmt', 'length_limit', 'token_info_available')


class ConcurrentBertClient(BertClient):
    """A client that any number of threads may use at once: a pool of ``BertClient``, made as they are needed.

    A caller for whom there is no free connection waits for one, at most ``timeout`` milliseconds. ``encode``,
    ``server_config``, ``server_status``, ``status`` and ``close`` are those of ``BertClient``; what asks now and
    fetches later raises NotImplementedError, since one thread could not tell its results from another's.

    :param max_concurrency: how many connections there may be
    :param kwargs: the arguments of ``BertClient``
    """

    def __init__(self, max_concurrency=10, **kwargs):
        if max_concurrency < 1:
            raise ValueError('"max_concurrency" must be at least 1, but is %r' % (max_concurrency,))
        self.max_concurrency = max_concurrency
        self.timeout = kwargs.get('timeout', -1)
        self._pid = os.getpid()
        self._arguments = kwargs
        self._changed = threading.Condition()  # guards what follows
        self._is_closed = False
        self._num_made = 0  # connections there are, and those that are being made
        self._clients = []
        self._idle = []
        with self._connection():
            pass  # the first one is made now, so that a server that does not fit is known at once

    @property
    def status(self):
        """The ``status`` of one connection, with the numbers of requests of all."""
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

    def encode(self, texts, blocking=True, is_tokenized=False, show_tokens=False, show_progress=False):
        if not blocking:
            raise _not_concurrent('encode(blocking=False)')
        with self._connection() as client:
            return client.encode(texts, True, is_tokenized, show_tokens, show_progress)

    def encode_with_details(self, texts, is_tokenized=False, token_ids=False, cancelled=None):
        with self._connection() as client:
            return client.encode_with_details(texts, is_tokenized, token_ids, cancelled)

    def tokenize(self, texts, is_tokenized=False, cancelled=None):
        with self._connection() as client:
            return client.tokenize(texts, is_tokenized, cancelled)

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
        """Close all connections; calls that wait in other threads end with an error."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for client in self._clients:
            client.close()

    def __del__(self):
        pass  # each connection looks after itself

    def __getattr__(self, name):
        """What describes a connection: that of the first, since all are made alike."""
        if name in _OF_A_CONNECTION and self.__dict__.get('_clients'):
            return getattr(self._clients[0], name)
        raise AttributeError('%r has no attribute %r' % (type(self).__name__, name))

    @contextlib.contextmanager
    def _connection(self):
        """An idle connection, or a new one, or the next that becomes idle."""
        if os.getpid() != self._pid:
            raise SharedClientError(
                'this ConcurrentBertClient was made in process %d and is used in process %d: make '
                'one in each process' % (self._pid, os.getpid())
            )
        client = self._idle_one() or self._new_one()
        client.timeout = self.timeout  # which may have been set since
        try:
            yield client
        finally:
            with self._changed:
                self._idle.append(client)
                self._changed.notify()

    def _idle_one(self):
        """Wait for an idle connection; None if another one may be made, which then is the caller's to make."""
        deadline = _Deadline(self.timeout)
        with self._changed:
            while True:
                if self._is_closed:
                    raise _closed_error()
                if self._idle:
                    return self._idle.pop(0)  # in turn, so that none is left unread while clones of it are busy
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


def _concatenated(embeddings):
    """The rows of all, in one array or list; token-level arrays are padded with zeros to the longest, as in ``encode``."""
    if isinstance(embeddings[0], list):
        return [row for embedding in embeddings for row in embedding]
    answer = _Answer(sum(len(embedding) for embedding in embeddings))
    start = 0
    for embedding in embeddings:
        start += answer.put_array(start, embedding)
    return answer.array


def _not_concurrent(method):
    return NotImplementedError('"%s" is not implemented for ConcurrentBertClient: use a BertClient per thread' % method)


def _identity(identity):
    """An identity as bytes, of its own if none is given."""
    if not identity:
        return str(uuid.uuid4()).encode('ascii')
    return identity if isinstance(identity, bytes) else identity.encode('utf-8')
