"""Split a request into jobs, as 1.10 split it into sub-batches.

The ventilator decodes, checks and splits a small request at once. It cuts a large one in slices, and does other work
between them. The first jobs go out before the rest is cut, and the workers check them (docs/adr/0038).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..errors import InternalError, RequestError
from ..protocol.elements import cut_list
from ..protocol.options import EncodingOptions
from ..protocol.ring import Job, JobHeader, Lane, RequestRef
from ..protocol.texts import decode_texts, encode_texts, parse_pairs, parse_texts
from ..protocol.tracing import JobTrace
from ..protocol.wire import EncodeRequest
from .limits import AdmissionLimits

MAX_CHUNKS_AT_ONCE = 200
"""The maximum chunks of a small request, because each chunk becomes a job."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of one job: their number and their JSON."""

    rows: int
    payload: bytes


def split_request(request: EncodeRequest, max_batch_size: int) -> list[Chunk]:
    """Split a request into chunks of `max_batch_size` rows, as 1.10 did. The last chunk has the rest.

    The request must not be large. If it fits into one chunk, the ventilator passes it on undecoded, and the worker
    checks the claimed number of rows.

    Raises:
        RequestError: the message does not match its row count, or could not be processed.
    """
    if request.rows <= max_batch_size:
        return [Chunk(request.rows, request.payload)]
    try:
        value = decode_texts(request.payload)
        encoding = request.options.encoding
        is_pairs = encoding is not None and encoding.pairs
        texts = parse_pairs(value, request.rows) if is_pairs else parse_texts(value, request.rows)
    except RequestError:
        raise
    except Exception as error:  # fail only this request
        raise InternalError('the server failed on the request: %s: %s' % (type(error).__name__, error)) from error
    chunks = (texts[start : start + max_batch_size] for start in range(0, len(texts), max_batch_size))
    return [Chunk(len(chunk), encode_texts(chunk)) for chunk in chunks]


def is_large(request: EncodeRequest, limits: AdmissionLimits) -> bool:
    """Return whether to split a request in slices. A large request of a single job is at least scanned."""
    return len(request.payload) > limits.split_bytes or request.rows > MAX_CHUNKS_AT_ONCE * limits.max_batch_size


def split_in_slices(
    ref: RequestRef,
    request: EncodeRequest,
    limits: AdmissionLimits,
    encoding: EncodingOptions | None = None,
    trace: JobTrace | None = None,
) -> Iterator[list[Job]]:
    """Split a large request in slices, and yield the jobs of each, equal to those of `split_request` and `make_jobs`.

    Raises:
        RequestError: the message does not match its row count, or could not be processed.
    """
    size, part = limits.max_batch_size, 0
    lists = cut_list(request.payload, request.rows, size, limits.split_bytes)
    try:
        for payloads in lists:
            numbers = range(part, part + len(payloads))
            chunks = [
                Chunk(min(size, request.rows - number * size), payload)
                for number, payload in zip(numbers, payloads, strict=True)
            ]
            yield list(make_jobs(ref, request, chunks, limits.priority_batch_size, encoding, trace, part, part * size))
            part += len(chunks)
    except RequestError:
        raise
    except Exception as error:  # fail only this request
        raise InternalError('the server failed on the request: %s: %s' % (type(error).__name__, error)) from error


def make_jobs(
    ref: RequestRef,
    request: EncodeRequest,
    chunks: Sequence[Chunk],
    priority_batch_size: int,
    encoding: EncodingOptions | None = None,
    trace: JobTrace | None = None,
    first_part: int = 0,
    first_row: int = 0,
) -> Iterator[Job]:
    """Make a job for each chunk, in its first attempt. Jobs of at most `priority_batch_size` rows are urgent.

    `encoding` has the resolved options of the request. Each job gets a copy of `trace`. The first chunk is the part
    `first_part` of the request, and begins with its row `first_row`.
    """
    for part, chunk in enumerate(chunks, first_part):
        header = JobHeader(
            request=ref,
            part=part,
            attempt=0,
            first_row=first_row,
            rows=chunk.rows,
            lane=Lane.URGENT if chunk.rows <= priority_batch_size else Lane.BULK,
            token_counts=request.options.token_counts,
            tokenize=request.options.tokenize,
            trace=None if trace is None else replace(trace),
        )
        yield Job(header, chunk.payload, encoding)
        first_row += chunk.rows
