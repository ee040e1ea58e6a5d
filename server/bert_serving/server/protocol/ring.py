"""The protocol between our own processes: typed messages into frames, and back.

Messages flow around the ring: ventilator -> worker -> sink -> ventilator, and ventilator -> sink. Only this module
knows the order of their frames. The protocol with clients is in `wire.py`. For any frames, the decoder raises only the
documented errors. This module opens no socket.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from enum import Enum
from typing import assert_never

import orjson

from ..errors import REQUEST_ERRORS, InternalError, RequestError, WireError
from .options import EncodingOptions
from .tracing import JobTrace
from .wire import Answer, Buffer, Frames, encode_json


class Lane(Enum):
    """The queue of a job, at the ventilator and at its worker. URGENT comes first."""

    URGENT = 'urgent'
    BULK = 'bulk'

    __hash__ = object.__hash__  # lanes are keys on the hot path, and Enum would hash the name in Python


@dataclass(frozen=True, slots=True)
class RequestRef:
    """An accepted request: its number, the client that gets the reply, and the number of its parts and rows.

    The ventilator assigns the number, because clones of a client share an identity and possibly request ids. `parts`
    and `total_rows` let the sink open the request with any part.
    """

    number: int
    identity: bytes
    request_id: bytes
    parts: int
    total_rows: int


@dataclass(frozen=True, slots=True)
class JobHeader:
    """The header of a job, with the rows of `request` that it has. It travels with the job and with its part.

    `attempt` counts from 0 how often the part was handed out. `reduced_batch` asks for batches of half the size, after
    a worker has died on the whole. `token_counts` and `tokenize` are as in `options.Options`. If the request is traced,
    `trace` has the times of the job; it is the only field that changes on the way.
    """

    request: RequestRef
    part: int
    attempt: int
    first_row: int
    rows: int
    lane: Lane
    reduced_batch: bool = False
    token_counts: bool = False
    tokenize: bool = False
    trace: JobTrace | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Rows for a worker. `payload` is their undecoded JSON. `options` is None unless the request has some."""

    header: JobHeader
    payload: Buffer
    options: EncodingOptions | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """The last message to a worker or the sink: finish the work at hand, then exit."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Nobody wants the request any more: workers skip its waiting rows, and the sink forgets its parts."""

    number: int


@dataclass(frozen=True, slots=True)
class SinkMoved:
    """The sink has died: a worker drops its waiting rows, and sends the parts of later jobs to `endpoint`."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class Part:
    """The result of a job: `answer.shape` is [rows, D], or [rows, t, D] for a token-level strategy.

    `width` is the T to which the sink pads a token-level result with zeros, t <= T. It is 0 for other results.
    """

    worker: int
    header: JobHeader
    answer: Answer
    width: int


@dataclass(frozen=True, slots=True)
class FailedPart:
    """A worker has failed on a job. The message has the error for the client."""

    worker: int
    header: JobHeader
    error: RequestError


@dataclass(frozen=True, slots=True)
class DroppedPart:
    """A worker has dropped a job after a `Drop`."""

    worker: int
    header: JobHeader


@dataclass(frozen=True, slots=True)
class Register:
    """The ventilator has accepted `request`, whose parts will follow.

    The sink could open the request with any part. The registration lets it notice early that the client has no
    subscription, so that the ventilator can drop work for a disconnected client.
    """

    request: RequestRef


@dataclass(frozen=True, slots=True)
class Refuse:
    """The ventilator's error reply to a request that it rejects or gives up.

    `number` is 0 for a rejected request. For a request that is given up, the sink forgets the parts.
    """

    identity: bytes
    request_id: bytes
    error: RequestError
    number: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """The ventilator's reply to a `StatusRequest`, a JSON object."""

    identity: bytes
    request_id: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Drain:
    """The server is draining: the sink waits less long for disconnected clients."""


@dataclass(frozen=True, slots=True)
class Collected:
    """The sink has received a part, which returns the worker's credit for it."""

    worker: int
    number: int
    part: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Published:
    """The sink has finished a request, so the ventilator can forget its input. `answered` is False for an error."""

    number: int
    answered: bool


@dataclass(frozen=True, slots=True)
class ClientGone:
    """No connection has subscribed to `identity` for `away_s` seconds, which is longer than a reconnect takes."""

    identity: bytes
    away_s: float


WorkerInput = Job | Drop | SinkMoved | Stop
SinkInput = Part | FailedPart | DroppedPart | Register | Refuse | Status | Drop | Drain | Stop
SinkReport = Collected | Published | ClientGone
RingMessage = WorkerInput | SinkInput | SinkReport

_HEADER = struct.Struct('!QIIIIIIB')
_WORKER = struct.Struct('!I')
_PART = struct.Struct('!II')
_REGISTER = struct.Struct('!QII')
_COLLECTED = struct.Struct('!IQII')
_PUBLISHED = struct.Struct('!Q?')
_GONE = struct.Struct('!d')
_NUMBER = struct.Struct('!Q')

_TRACED = 1 << 4
"""The flag of a header that has a frame with a trace."""


def encode_ring_message(message: RingMessage) -> list[Buffer]:
    """Encode a message between our own processes as frames. The first frame is its kind."""
    match message:
        case Job(header, payload, options):
            if options is None:
                return [b'JOB', *_encode_header(header), payload]
            return [b'JOB', *_encode_header(header), encode_json(options.to_json()), payload]
        case Part(worker, header, answer, width):
            about = [answer.dtype, answer.shape, answer.tokens, answer.token_counts, answer.truncated_rows]
            head = encode_json(about)
            return [b'PART', *_encode_header(header), _PART.pack(worker, width), head, answer.body]
        case FailedPart(worker, header, error):
            return [b'FAILED', *_encode_header(header), _WORKER.pack(worker), *_encode_fault(error)]
        case DroppedPart(worker, header):
            return [b'DROPPED', *_encode_header(header), _WORKER.pack(worker)]
        case Drop(number):
            return [b'DROP', _NUMBER.pack(number)]
        case SinkMoved(endpoint):
            return [b'SINK', endpoint.encode()]
        case Register(request):
            numbers = _REGISTER.pack(request.number, request.parts, request.total_rows)
            return [b'REGISTER', numbers, request.identity, request.request_id]
        case Refuse(identity, request_id, error, number):
            return [b'REFUSE', _NUMBER.pack(number), identity, request_id, *_encode_fault(error)]
        case Status(identity, request_id, body):
            return [b'STATUS', identity, request_id, body]
        case Collected(worker, number, part, attempt):
            return [b'COLLECTED', _COLLECTED.pack(worker, number, part, attempt)]
        case Published(number, answered):
            return [b'PUBLISHED', _PUBLISHED.pack(number, answered)]
        case ClientGone(identity, away_s):
            return [b'GONE', identity, _GONE.pack(away_s)]
        case Drain():
            return [b'DRAIN']
        case Stop():
            return [b'STOP']
        case _:
            assert_never(message)


def decode_ring_message(frames: Frames) -> RingMessage:
    """Decode a message from one of our own processes.

    Raises:
        WireError: the frames are not a valid message; the caller drops and logs them.
    """
    try:
        return _decode_ring_message(bytes(frames[0]), frames[1:])
    except (IndexError, ValueError, TypeError, struct.error) as error:
        kind = bytes(frames[0][:20]) if frames else b''
        raise WireError(
            'dropped a message inside the server: %d frames of kind %r: %s' % (len(frames), kind, error)
        ) from error


def _decode_ring_message(kind: bytes, frames: Frames) -> RingMessage:
    match kind:
        case b'JOB':
            *header, payload = frames
            has_options = len(header) > (4 if header[0][-1] & _TRACED else 3)
            options = EncodingOptions(**orjson.loads(header.pop())) if has_options else None
            return Job(_decode_header(header), payload, options)
        case b'PART':
            *header, numbers, head, body = frames
            worker, width = _PART.unpack(numbers)
            dtype, shape, *details = orjson.loads(head)
            return Part(worker, _decode_header(header), Answer(dtype, shape, body, *details), width)
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
            return Register(RequestRef(number, bytes(identity), bytes(request_id), parts, total_rows))
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
            return ClientGone(bytes(identity), *_GONE.unpack(numbers))
        case b'DRAIN':
            () = frames
            return Drain()
        case b'STOP':
            () = frames
            return Stop()
    raise ValueError('no such kind')


def _encode_header(header: JobHeader) -> list[Buffer]:
    request = header.request
    trace = header.trace
    flags = (header.lane is Lane.URGENT) | header.reduced_batch << 1 | header.token_counts << 2 | header.tokenize << 3
    if trace is not None:
        flags |= _TRACED
    numbers = _HEADER.pack(
        request.number,
        header.part,
        header.attempt,
        request.parts,
        header.first_row,
        header.rows,
        request.total_rows,
        flags,
    )
    if trace is not None:
        return [numbers, request.identity, request.request_id, encode_json(astuple(trace))]
    return [numbers, request.identity, request.request_id]


def _decode_header(frames: Frames) -> JobHeader:
    numbers, identity, request_id, *traces = frames
    number, part, attempt, parts, first_row, rows, total_rows, flags = _HEADER.unpack(numbers)
    return JobHeader(
        request=RequestRef(number, bytes(identity), bytes(request_id), parts, total_rows),
        part=part,
        attempt=attempt,
        first_row=first_row,
        rows=rows,
        lane=Lane.URGENT if flags & 1 else Lane.BULK,
        reduced_batch=bool(flags & 2),
        token_counts=bool(flags & 4),
        tokenize=bool(flags & 8),
        trace=_decode_trace(traces, bool(flags & _TRACED)) if traces or flags & _TRACED else None,
    )


def _decode_trace(frames: Frames, is_traced: bool) -> JobTrace | None:
    if len(frames) != is_traced:
        raise ValueError('%d frames for a trace' % len(frames))
    return JobTrace(*orjson.loads(frames[0])) if is_traced else None


def _encode_fault(error: RequestError) -> list[Buffer]:
    return [error.type.encode(), error.message.encode('utf-8', 'backslashreplace')]


def _decode_fault(type_: Buffer, text: Buffer) -> RequestError:
    """Decode an error: an instance of its class if that is known, otherwise an InternalError."""
    name = str(type_, 'utf-8')
    return REQUEST_ERRORS.get(name, InternalError)(str(text, 'utf-8'))
