"""How a request becomes jobs: the sub-batches of 1.10."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InternalError, RequestError
from ..protocol.texts import decode_texts, encode_texts, parse_texts
from ..protocol.wire import EncodeRequest


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of one job: their number and their JSON."""

    rows: int
    payload: bytes


def split_request(request: EncodeRequest, max_batch_size: int) -> list[Chunk]:
    """The jobs of a request, in order: runs of `max_batch_size` rows, as 1.10 split them, the last of what is left.

    A request that fits into one is passed on undecoded; the worker checks its rows against the claim.

    Raises:
        RequestError: the message is not what it claims to be, or is one that we have not thought of.
    """
    if request.rows <= max_batch_size:
        return [Chunk(request.rows, request.payload)]
    try:
        texts = parse_texts(decode_texts(request.payload), request.rows)
    except RequestError:
        raise
    except Exception as error:  # it is its sender's trouble alone
        raise InternalError('the server failed on the request: %s: %s' % (type(error).__name__, error)) from error
    runs = (texts[start : start + max_batch_size] for start in range(0, len(texts), max_batch_size))
    return [Chunk(len(run), encode_texts(run)) for run in runs]
