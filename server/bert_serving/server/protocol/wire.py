"""The protocol between client and server: typed messages into frames, and back.

The protocol of bert-as-service 1.10 (see `docs/protocol.md`) has four frames for requests, and three or four for
replies. A new fifth frame of a request has the options (`options.py`). Only this module knows the order of these
frames. The messages between our own processes are in `ring.py`. For any frames, a decoder raises only the documented
errors. This module opens no socket.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ..errors import RequestError, WireError
from .options import NO_OPTIONS, Options, decode_options

PROTOCOL_VERSION = '1.10.0'
"""The protocol version, which 1.10 clients compare with their own. The release has a separate number."""

MAX_IDENTITY_BYTES = 256
"""The maximum length of an identity. It is also a subscription, and ZeroMQ needs a hundred bytes of memory for each
byte."""

SAFE_TOPIC_BYTES = 16
"""The minimum length of a safe topic. A shorter one can be guessed, and receives the replies of every identity that
begins with it."""

MAX_ID_DIGITS = 20
MAX_ROWS = 100_000_000
"""The largest row count and `-max_batch_size`, limited by the integers of the ring's messages."""

SHOW_CONFIG = b'SHOW_CONFIG'
SHOW_STATUS = b'SHOW_STATUS'
TERMINATION = b'TERMINATION'
CANCEL = b'CANCEL'

Buffer = bytes | memoryview
Frames = Sequence[Buffer]


# ---- client -> server, port 5555


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """A request to encode texts. `rows` is only the sender's claim, and `payload` is not yet decoded or checked."""

    identity: bytes
    request_id: bytes
    rows: int
    payload: bytes
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A message that cancels an earlier request of its sender. It gets no reply."""

    identity: bytes
    request_id: bytes


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """A request for the configuration of the server, and with `statistic` also for its counters."""

    identity: bytes
    request_id: bytes
    statistic: bool


@dataclass(frozen=True, slots=True)
class TerminationRequest:
    """A request to drain and stop the server. It gets no reply."""


@dataclass(frozen=True, slots=True)
class BadRequest:
    """A malformed request with a valid return address, so that it gets an error reply."""

    identity: bytes
    request_id: bytes
    error: RequestError


ClientMessage = EncodeRequest | StatusRequest | CancelRequest | TerminationRequest | BadRequest


def decode_client_message(frames: Frames) -> ClientMessage:
    """Decode the message of a client: four frames, or five with options.

    Raises:
        WireError: the message has no valid return address, so there can be no reply.
    """
    if len(frames) not in (4, 5):
        raise wrong_number_of_frames(len(frames))
    identity, message, request_id, rows = (bytes(frame) for frame in frames[:4])
    if message == TERMINATION:
        return TerminationRequest()
    if not 0 < len(identity) <= MAX_IDENTITY_BYTES:
        raise WireError(
            'dropped a message with an identity of %d bytes: expected from 1 to %d bytes'
            % (len(identity), MAX_IDENTITY_BYTES)
        )
    if not _is_number(request_id):
        sender = format_identity(identity)
        raise WireError('dropped a message of %s: its request id is not a number in ASCII digits' % sender)
    if message in (SHOW_CONFIG, SHOW_STATUS):
        return StatusRequest(identity, request_id, statistic=message == SHOW_STATUS)
    if message == CANCEL:
        return CancelRequest(identity, request_id)
    try:
        options = decode_options(frames[4]) if len(frames) == 5 else NO_OPTIONS
        return EncodeRequest(identity, request_id, _read_row_count(rows), message, options)
    except RequestError as error:
        return BadRequest(identity, request_id, error)


def wrong_number_of_frames(number: int) -> WireError:
    """The error for a message that has neither four nor five frames."""
    return WireError(
        'dropped a message of %d frames: expected 4 or 5 (identity, payload, request id, row count[, options])' % number
    )


def _read_row_count(rows: bytes) -> int:
    if not _is_number(rows):
        raise RequestError('the row count is not a number in ASCII digits')
    if not 0 < int(rows) <= MAX_ROWS:
        raise RequestError('the row count is %d: expected from 1 to %d texts' % (int(rows), MAX_ROWS))
    return int(rows)


def encode_client_message(identity: bytes, message: bytes, request_id: int, rows: int = 0) -> list[bytes]:
    """Encode a request as four frames."""
    return [identity, message, b'%d' % request_id, b'%d' % rows]


def _is_number(frame: bytes) -> bool:
    return 0 < len(frame) <= MAX_ID_DIGITS and frame.isdigit()


def format_identity(identity: bytes) -> str:
    """Format an identity for the log or the status: printable, and of limited length."""
    text = identity[:64].decode('ascii', 'backslashreplace')
    return ''.join(c if c.isprintable() else '\\x%02x' % ord(c) for c in text) + '...' * (len(identity) > 64)


# ---- server -> client, port 5556


def exact_topic(identity: bytes) -> bytes:
    """The exact topic of an identity shorter than SAFE_TOPIC_BYTES, which matches no other identity.

    It begins with the identity, as SUB sockets require, and ends with zeros and the length, so it is unique.
    """
    return identity.ljust(SAFE_TOPIC_BYTES - 1, b'\0') + bytes([len(identity)])


def encode_result(identity: bytes, request_id: bytes, array: Answer) -> list[Buffer]:
    """Encode a result as `[identity, {"dtype", "shape", "tokens"}, C-order bytes, request id]`.

    As in 1.10, `tokens` is `''` if the server does not show them. `token_counts` and `truncated_rows` are present on
    request.
    """
    head: dict[str, Any] = {'dtype': array.dtype, 'shape': array.shape, 'tokens': array.tokens or ''}
    if array.token_counts is not None:
        head['token_counts'] = array.token_counts
        head['truncated_rows'] = array.truncated_rows
    return [identity, encode_json(head), array.body, request_id]


def encode_error(identity: bytes, request_id: bytes, error: RequestError) -> list[Buffer]:
    """Encode an error. A 1.10.0 client fails immediately on these frames instead of waiting forever."""
    head = encode_json({'error': {'type': error.type, 'message': error.message}})
    return [identity, head, b'', request_id]


def encode_status(identity: bytes, request_id: bytes, status: bytes) -> list[Buffer]:
    """Encode a status, a JSON object, as frames."""
    return [identity, status, request_id]


def encode_json(value: Any) -> bytes:
    """Encode `value` as JSON in UTF-8. Unlike orjson, it escapes lone surrogates in strings."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode('ascii')


@dataclass(frozen=True, slots=True)
class Answer:
    """A result on its way to a client: `body` has the array of `shape` and `dtype` in C order.

    `tokens` has a list of the model's input tokens for each row, and `token_counts` their number; None if not
    requested. `truncated_rows` are the truncated rows of the request, counted from 0; they come with `token_counts`.
    All three can be JSON already.
    """

    dtype: str
    shape: list[int]
    body: Buffer
    tokens: list[list[str]] | orjson.Fragment | None = None
    token_counts: list[int] | orjson.Fragment | None = None
    truncated_rows: list[int] | orjson.Fragment | None = None
