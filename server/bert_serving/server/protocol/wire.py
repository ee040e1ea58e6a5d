"""The protocol between client and server: typed messages into frames, and back.

It is that of bert-as-service 1.10 (see `docs/protocol.md`): four frames in, three or four frames out. A fifth frame in
holds the options, which are new (`options.py`). Only this module knows the order of these frames; the messages between
our own processes are in `ring.py`. A decoder raises only the errors that it documents, for any frames. No socket
is opened here.
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
"""The version that both sides of 1.10's version check compare. Our own release is another number."""

MAX_IDENTITY_BYTES = 256
"""An identity is a subscription, too, of which each byte takes a hundred in the memory of ZeroMQ."""

SAFE_TOPIC_BYTES = 16
"""A shorter topic can be guessed, and it would receive the replies of every identity that begins with it."""

MAX_ID_DIGITS = 20
MAX_ROWS = 100_000_000
"""The largest row count and `-max_batch_size`. It fits into the numbers of the ring."""

SHOW_CONFIG = b'SHOW_CONFIG'
SHOW_STATUS = b'SHOW_STATUS'
TERMINATION = b'TERMINATION'
CANCEL = b'CANCEL'

Buffer = bytes | memoryview
Frames = Sequence[Buffer]


# ---- client -> server, port 5555


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """Texts to encode. `rows` is only the sender's claim, and `payload` is not checked until it is decoded."""

    identity: bytes
    request_id: bytes
    rows: int
    payload: bytes
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """The sender does not want the reply to its request any more. There is no reply to this."""

    identity: bytes
    request_id: bytes


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """A question about the server: its configuration or, with `statistic`, its counters too."""

    identity: bytes
    request_id: bytes
    statistic: bool


@dataclass(frozen=True, slots=True)
class TerminationRequest:
    """A request that the server drain and stop. There is no reply."""


@dataclass(frozen=True, slots=True)
class BadRequest:
    """A malformed request from a sender that can be told so."""

    identity: bytes
    request_id: bytes
    error: RequestError


ClientMessage = EncodeRequest | StatusRequest | CancelRequest | TerminationRequest | BadRequest


def decode_client_message(frames: Frames) -> ClientMessage:
    """The message in the frames of a client: four, or five with options.

    Raises:
        WireError: the sender is unknown, so there can be no reply.
    """
    if len(frames) not in (4, 5):
        raise wrong_number_of_frames(len(frames))
    identity, message, request_id, rows = (bytes(frame) for frame in frames[:4])
    if message == TERMINATION:
        return TerminationRequest()
    if not 0 < len(identity) <= MAX_IDENTITY_BYTES:
        raise WireError(
            'dropped a message: its identity has %d bytes, and only one of 1 to %d can be answered'
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
    """The error of a message that has neither four nor five frames."""
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
    """The four frames of a request."""
    return [identity, message, b'%d' % request_id, b'%d' % rows]


def _is_number(frame: bytes) -> bool:
    return 0 < len(frame) <= MAX_ID_DIGITS and frame.isdigit()


def format_identity(identity: bytes) -> str:
    """An identity for a log line or a status: printable, and of bounded length."""
    text = identity[:64].decode('ascii', 'backslashreplace')
    return ''.join(c if c.isprintable() else '\\x%02x' % ord(c) for c in text) + '...' * (len(identity) > 64)


# ---- server -> client, port 5556


def exact_topic(identity: bytes) -> bytes:
    """The topic of an identity of less than SAFE_TOPIC_BYTES that no other identity's replies match.

    It begins with the identity, as a SUB socket demands, and ends with zeros and the length: no two identities share
    one.
    """
    return identity.ljust(SAFE_TOPIC_BYTES - 1, b'\0') + bytes([len(identity)])


def encode_result(identity: bytes, request_id: bytes, array: Answer) -> list[Buffer]:
    """The frames of a result: `[identity, {"dtype", "shape", "tokens"}, C-order bytes, request id]`.

    `tokens` is `''` when the server does not show them, which is what 1.10 sends. `token_counts` and `truncated_rows`
    are there if asked for.
    """
    head: dict[str, Any] = {'dtype': array.dtype, 'shape': array.shape, 'tokens': array.tokens or ''}
    if array.token_counts is not None:
        head['token_counts'] = array.token_counts
        head['truncated_rows'] = array.truncated_rows
    return [identity, encode_json(head), array.body, request_id]


def encode_error(identity: bytes, request_id: bytes, error: RequestError) -> list[Buffer]:
    """The frames of an error, on which a 1.10.0 client fails at once instead of waiting forever."""
    head = encode_json({'error': {'type': error.type, 'message': error.message}})
    return [identity, head, b'', request_id]


def encode_status(identity: bytes, request_id: bytes, status: bytes) -> list[Buffer]:
    """The frames of a status; `status` is a JSON object."""
    return [identity, status, request_id]


def encode_json(value: Any) -> bytes:
    """`value` as JSON in UTF-8; lone surrogates in strings are escaped, which orjson refuses to do."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode('ascii')


@dataclass(frozen=True, slots=True)
class Answer:
    """An array on its way to a client: `body` holds `shape` values of `dtype` in C order.

    `tokens` is a list for each row, as the model is fed it, `token_counts` a number for each; None if not asked for.
    `truncated_rows` are the rows of the request, counted from 0, that were cut; they come with `token_counts`.
    All three can be JSON already.
    """

    dtype: str
    shape: list[int]
    body: Buffer
    tokens: list[list[str]] | orjson.Fragment | None = None
    token_counts: list[int] | orjson.Fragment | None = None
    truncated_rows: list[int] | orjson.Fragment | None = None
