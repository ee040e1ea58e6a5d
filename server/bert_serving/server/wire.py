"""Frames and typed messages, one into the other: the only module that knows which frame is where.

Two protocols meet here. The outer one, between client and server, is that of bert-as-service 1.10 (see
`docs/protocol.md`): four frames in, three or four frames out; a fifth frame in holds what 1.10 could not say. The inner one runs round the ring of our own
processes: ventilator -> worker -> sink -> ventilator, and ventilator -> sink. Every decoder takes a list of frames and
raises nothing but what it documents, whatever the frames hold. No socket is opened here.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from .errors import REQUEST_ERRORS, InternalError, RequestError, WireError

PROTOCOL_VERSION = '1.10.0'
"""What both sides of 1.10's version check compare; our own release is another number."""

MAX_IDENTITY_BYTES = 1024
MAX_ID_DIGITS = 20
MAX_ROWS = 100_000_000
"""What a row count may claim, and `-max_batch_size` be: it fits the numbers of the ring."""

MAX_OPTIONS_BYTES = 4096
MAX_DEADLINE_MS = 86_400_000

SHOW_CONFIG = b'SHOW_CONFIG'
SHOW_STATUS = b'SHOW_STATUS'
TERMINATION = b'TERMINATION'
CANCEL = b'CANCEL'

MAX_SECOND_TRY_BYTES = 16 << 20

EXTENSIONS = ('options', 'token_ids', 'cancel')
"""What this server understands beside the protocol of 1.10, as its configuration advertises it."""

Buffer = bytes | memoryview
Frames = Sequence[Buffer]


# --- client -> server, port 5555 -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Options:
    """What a request asks for beside its vectors; the defaults are 1.10's.

    `deadline_ms` is the time in which the answer is wanted, from when the server reads the request. `token_counts` asks for
    the tokens of each row as the model was fed them; `tokenize` for the ids themselves, and no vectors.
    """

    deadline_ms: int | None = None
    token_counts: bool = False
    tokenize: bool = False


NO_OPTIONS = Options()


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """Texts to encode. `rows` is what the sender claims; nothing is believed of `payload` until it is decoded."""

    identity: bytes
    request_id: bytes
    rows: int
    payload: bytes
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """The sender does not want the answer to its request any more. Nobody is answered."""

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
    """Asks the server to drain and stop. Nobody is answered."""


@dataclass(frozen=True, slots=True)
class BadRequest:
    """A message that makes no sense, from a sender that can be told so."""

    identity: bytes
    request_id: bytes
    error: RequestError


ClientMessage = EncodeRequest | StatusRequest | CancelRequest | TerminationRequest | BadRequest


def decode_client_message(frames: Frames) -> ClientMessage:
    """What the frames of a client say: four, or five with options.

    Raises:
        WireError: it can not be told who sent them, so nobody can be answered.
    """
    if len(frames) not in (4, 5):
        raise WireError(
            'a message of %d frames was dropped: a request has four: identity, message, request id, row count'
            % len(frames)
        )
    identity, message, request_id, rows = (bytes(frame) for frame in frames[:4])
    if message == TERMINATION:
        return TerminationRequest()
    if not 0 < len(identity) <= MAX_IDENTITY_BYTES:
        raise WireError(
            'a message was dropped: its identity has %d bytes; from 1 to %d can be answered'
            % (len(identity), MAX_IDENTITY_BYTES)
        )
    if not _is_number(request_id):
        raise WireError('a message of %s was dropped: its request id is not a number in ASCII digits'
                        % show_identity(identity))  # fmt: skip
    if message in (SHOW_CONFIG, SHOW_STATUS):
        return StatusRequest(identity, request_id, statistic=message == SHOW_STATUS)
    if message == CANCEL:
        return CancelRequest(identity, request_id)
    try:
        options = decode_options(frames[4]) if len(frames) == 5 else NO_OPTIONS
        return EncodeRequest(identity, request_id, _read_row_count(rows), message, options)
    except RequestError as error:
        return BadRequest(identity, request_id, error)


def _read_row_count(rows: bytes) -> int:
    if not _is_number(rows):
        raise RequestError('the row count is not a number in ASCII digits')
    if not 0 < int(rows) <= MAX_ROWS:
        raise RequestError('the row count is %d: expected from 1 to %d texts' % (int(rows), MAX_ROWS))
    return int(rows)


def decode_options(frame: Buffer) -> Options:
    """The options in a request's fifth frame.

    Raises:
        RequestError: no JSON object of options that we know, with values that they can have.
    """
    if len(frame) > MAX_OPTIONS_BYTES:
        raise RequestError('the options have %d bytes: at most %d are read' % (len(frame), MAX_OPTIONS_BYTES))
    try:
        options = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise RequestError('the options are not JSON: %s' % error) from None
    if not isinstance(options, dict):
        raise RequestError('the options are not a JSON object')
    unknown = sorted(options.keys() - {'deadline_ms', 'token_counts', 'tokenize'})
    if unknown:
        raise RequestError(
            'the option %r is not known: expected deadline_ms, token_counts or tokenize' % unknown[0][:64]
        )
    deadline_ms = options.get('deadline_ms')
    if deadline_ms is not None and not (type(deadline_ms) is int and 0 < deadline_ms <= MAX_DEADLINE_MS):
        raise RequestError('deadline_ms: expected a whole number from 1 to %d' % MAX_DEADLINE_MS)
    for name in ('token_counts', 'tokenize'):
        if not isinstance(options.get(name, False), bool):
            raise RequestError('%s: expected true or false' % name)
    return Options(deadline_ms, options.get('token_counts', False), options.get('tokenize', False))


def encode_client_message(identity: bytes, message: bytes, request_id: int, rows: int = 0) -> list[bytes]:
    """The four frames of a request."""
    return [identity, message, b'%d' % request_id, b'%d' % rows]


def _is_number(frame: bytes) -> bool:
    return 0 < len(frame) <= MAX_ID_DIGITS and frame.isdigit()


def show_identity(identity: bytes) -> str:
    """An identity as a log line or a status may hold it: printable, and no longer than it has to be."""
    text = identity[:64].decode('ascii', 'backslashreplace')
    return ''.join(c if c.isprintable() else '\\x%02x' % ord(c) for c in text) + '...' * (len(identity) > 64)


def decode_texts(payload: Buffer) -> Any:
    """The JSON value of a request's message; its shape is for the caller to check.

    What orjson refuses is tried with `json`, which takes the lone surrogates and NaN that 1.10 took, and takes its time:
    `MAX_SECOND_TRY_BYTES` bounds it.

    Raises:
        RequestError: no JSON, not UTF-8, or nested too deeply to be read.
    """
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        if len(payload) > MAX_SECOND_TRY_BYTES:
            raise RequestError('the message is not JSON that can be read: %s' % error) from None
    try:
        return json.loads(str(payload, 'utf-8'))
    except UnicodeDecodeError as error:
        raise RequestError('the message is not UTF-8: byte %d can not be decoded' % error.start) from None
    except json.JSONDecodeError as error:
        raise RequestError('the message is not JSON: %s at character %d' % (error.msg, error.pos)) from None
    except ValueError as error:  # a number of more digits than Python reads, say
        raise RequestError('the message can not be read: %s' % error) from None
    except RecursionError:
        raise RequestError('the message is nested too deeply: expected a list of texts or of token lists') from None


def encode_texts(texts: Sequence[Any]) -> bytes:
    """`texts` as the JSON that `decode_texts` reads back."""
    try:
        return orjson.dumps(texts)
    except TypeError:  # lone surrogates
        return json.dumps(texts).encode('ascii')


# --- server -> client, port 5556 -------------------------------------------------------------------------------------


def encode_result(identity: bytes, request_id: bytes, array: Answer) -> list[Buffer]:
    """The frames of a result: `[identity, {"dtype", "shape", "tokens"}, C-order bytes, request id]`.

    `tokens` is `''` when the server does not show them, which is what 1.10 sends. `token_counts` is there if asked for.
    """
    head: dict[str, Any] = {'dtype': array.dtype, 'shape': array.shape, 'tokens': array.tokens or ''}
    if array.token_counts is not None:
        head['token_counts'] = array.token_counts
    return [identity, encode_json(head), array.body, request_id]


def encode_error(identity: bytes, request_id: bytes, error: RequestError) -> list[Buffer]:
    """The frames of an error, on which a 1.10.0 client fails at once instead of waiting for ever."""
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
    """

    dtype: str
    shape: list[int]
    body: Buffer
    tokens: list[list[str]] | None = None
    token_counts: list[int] | None = None


# --- round the ring --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobHeader:
    """Which rows of which request a job holds, and whom it answers; it goes with the job and with its part.

    `number` is the ventilator's own for the request: clones share an identity and may share request ids. `attempt`
    counts from 0 how often the part was handed out. With `parts` and `total_rows`, any part is enough to open the
    request in the sink. `gently` asks for runs of half the rows, after a worker has died on the whole.
    """

    number: int
    part: int
    attempt: int
    parts: int
    first_row: int
    rows: int
    total_rows: int
    urgent: bool
    identity: bytes
    request_id: bytes
    gently: bool = False
    token_counts: bool = False
    tokenize: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """Rows for a worker; `payload` is their JSON, undecoded."""

    header: JobHeader
    payload: Buffer


@dataclass(frozen=True, slots=True)
class Stop:
    """The last message a worker or the sink gets: finish what you hold, then end."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Nobody wants the request any more: a worker does not begin with rows of it, the sink forgets its parts."""

    number: int


@dataclass(frozen=True, slots=True)
class SinkMoved:
    """To a worker: the sink is lost, with what it had. Drop what waits, and send what comes after this to `endpoint`."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class Part:
    """A worker's answer to a job: `answer.shape` is [rows, D], or [rows, t, D] of a row for each token.

    `width` is the T to which a token-level answer is padded with zeros (0 for a sentence-level one); t <= T.
    """

    worker: int
    header: JobHeader
    answer: Answer
    width: int


@dataclass(frozen=True, slots=True)
class FailedPart:
    """A worker's word that the job's request can not be answered."""

    worker: int
    header: JobHeader
    error: RequestError


@dataclass(frozen=True, slots=True)
class DroppedPart:
    """A worker's word that it has let go of a job of a `Drop`ped request."""

    worker: int
    header: JobHeader


@dataclass(frozen=True, slots=True)
class Register:
    """The ventilator has accepted a request, its parts will come."""

    number: int
    parts: int
    total_rows: int
    identity: bytes
    request_id: bytes


@dataclass(frozen=True, slots=True)
class Refuse:
    """The ventilator's answer to a request that it did not accept, or that it gives up.

    `number` is that of the one that it gives up, whose parts the sink forgets, 0 of one that it did not accept.
    """

    identity: bytes
    request_id: bytes
    error: RequestError
    number: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """The ventilator's answer to a `StatusRequest`: a JSON object."""

    identity: bytes
    request_id: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Drain:
    """The server is about to stop: the sink does not wait long any more for clients that are not there."""


@dataclass(frozen=True, slots=True)
class Collected:
    """The sink has a part: the worker that computed it has its credit back."""

    worker: int
    number: int
    part: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Published:
    """The sink is done with a request: its input need not be kept. `answered` is False if it had to give it up."""

    number: int
    answered: bool


@dataclass(frozen=True, slots=True)
class Gone:
    """The last connection that subscribed to `identity` has been away for longer than it takes to come back."""

    identity: bytes
    away_s: float


WorkerInput = Job | Drop | SinkMoved | Stop
SinkInput = Part | FailedPart | DroppedPart | Register | Refuse | Status | Drop | Drain | Stop
SinkReport = Collected | Published | Gone
RingMessage = WorkerInput | SinkInput | SinkReport

_HEADER = struct.Struct('!QIIIIIIB')
_WORKER = struct.Struct('!I')
_PART = struct.Struct('!II')
_REGISTER = struct.Struct('!QII')
_COLLECTED = struct.Struct('!IQII')
_PUBLISHED = struct.Struct('!Q?')
_GONE = struct.Struct('!d')
_NUMBER = struct.Struct('!Q')


def encode_ring_message(message: RingMessage) -> list[Buffer]:
    """The frames of a message between our own processes; its kind is the first."""
    match message:
        case Job(header, payload):
            return [b'JOB', *_encode_header(header), payload]
        case Part(worker, header, answer, width):
            head = encode_json([answer.dtype, answer.shape, answer.tokens, answer.token_counts])
            return [b'PART', *_encode_header(header), _PART.pack(worker, width), head, answer.body]
        case FailedPart(worker, header, error):
            return [b'FAILED', *_encode_header(header), _WORKER.pack(worker), *_encode_fault(error)]
        case DroppedPart(worker, header):
            return [b'DROPPED', *_encode_header(header), _WORKER.pack(worker)]
        case Drop(number):
            return [b'DROP', _NUMBER.pack(number)]
        case SinkMoved(endpoint):
            return [b'SINK', endpoint.encode()]
        case Register(number, parts, total_rows, identity, request_id):
            return [b'REGISTER', _REGISTER.pack(number, parts, total_rows), identity, request_id]
        case Refuse(identity, request_id, error, number):
            return [b'REFUSE', _NUMBER.pack(number), identity, request_id, *_encode_fault(error)]
        case Status(identity, request_id, body):
            return [b'STATUS', identity, request_id, body]
        case Collected(worker, number, part, attempt):
            return [b'COLLECTED', _COLLECTED.pack(worker, number, part, attempt)]
        case Published(number, answered):
            return [b'PUBLISHED', _PUBLISHED.pack(number, answered)]
        case Gone(identity, away_s):
            return [b'GONE', identity, _GONE.pack(away_s)]
        case Drain():
            return [b'DRAIN']
        case Stop():  # pragma: no branch (mypy knows that there is no other)
            return [b'STOP']


def decode_ring_message(frames: Frames) -> RingMessage:
    """The message in `frames`, which one of our own processes has sent.

    Raises:
        WireError: no message of ours has such frames; the caller drops and logs them.
    """
    try:
        return _decode_ring_message(bytes(frames[0]), frames[1:])
    except (IndexError, ValueError, TypeError, struct.error) as error:
        kind = bytes(frames[0][:20]) if frames else b''
        raise WireError('a message inside the server was dropped: %d frames of kind %r: %s'
                        % (len(frames), kind, error)) from error  # fmt: skip


def _decode_ring_message(kind: bytes, frames: Frames) -> RingMessage:
    match kind:
        case b'JOB':
            *header, payload = frames
            return Job(_decode_header(header), payload)
        case b'PART':
            *header, numbers, head, body = frames
            worker, width = _PART.unpack(numbers)
            dtype, shape, tokens, counts = orjson.loads(head)
            return Part(worker, _decode_header(header), Answer(dtype, shape, body, tokens, counts), width)
        case b'FAILED':
            *header, numbers, type_, text = frames
            (worker,) = _WORKER.unpack(numbers)
            return FailedPart(worker, _decode_header(header), _decode_fault(type_, text))
        case b'DROPPED':
            *header, numbers = frames
            (worker,) = _WORKER.unpack(numbers)
            return DroppedPart(worker, _decode_header(header))
        case b'DROP':
            (numbers,) = frames
            return Drop(*_NUMBER.unpack(numbers))
        case b'SINK':
            (endpoint,) = frames
            return SinkMoved(str(endpoint, 'utf-8'))
        case b'REGISTER':
            numbers, identity, request_id = frames
            number, parts, total_rows = _REGISTER.unpack(numbers)
            return Register(number, parts, total_rows, bytes(identity), bytes(request_id))
        case b'REFUSE':
            numbers, identity, request_id, type_, text = frames
            (number,) = _NUMBER.unpack(numbers)
            return Refuse(bytes(identity), bytes(request_id), _decode_fault(type_, text), number)
        case b'STATUS':
            identity, request_id, body = frames
            return Status(bytes(identity), bytes(request_id), bytes(body))
        case b'COLLECTED':
            (numbers,) = frames
            return Collected(*_COLLECTED.unpack(numbers))
        case b'PUBLISHED':
            (numbers,) = frames
            return Published(*_PUBLISHED.unpack(numbers))
        case b'GONE':
            identity, numbers = frames
            return Gone(bytes(identity), *_GONE.unpack(numbers))
        case b'DRAIN':
            () = frames
            return Drain()
        case b'STOP':
            () = frames
            return Stop()
    raise ValueError('no such kind')


def _encode_header(header: JobHeader) -> list[Buffer]:
    flags = header.urgent | header.gently << 1 | header.token_counts << 2 | header.tokenize << 3
    numbers = _HEADER.pack(
        header.number, header.part, header.attempt, header.parts,
        header.first_row, header.rows, header.total_rows, flags,
    )  # fmt: skip
    return [numbers, header.identity, header.request_id]


def _decode_header(frames: Frames) -> JobHeader:
    numbers, identity, request_id = frames
    number, part, attempt, parts, first_row, rows, total_rows, flags = _HEADER.unpack(numbers)
    return JobHeader(
        number, part, attempt, parts, first_row, rows, total_rows, bool(flags & 1), bytes(identity), bytes(request_id),
        gently=bool(flags & 2), token_counts=bool(flags & 4), tokenize=bool(flags & 8),
    )  # fmt: skip


def _encode_fault(error: RequestError) -> list[Buffer]:
    return [error.type.encode(), error.message.encode('utf-8', 'backslashreplace')]


def _decode_fault(type_: Buffer, text: Buffer) -> RequestError:
    """The error that was sent, as one of its own class where we have it."""
    name = str(type_, 'utf-8')
    return REQUEST_ERRORS.get(name, InternalError)(str(text, 'utf-8'))
