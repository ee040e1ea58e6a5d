"""The bodies of responses, from arrays: JSON by orjson, which writes the shortest number that reads back as the
float32.

Pure. B texts, T tokens, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from .errors import HTTPError

Array = NDArray[Any]

MAX_NUMBERS = 1 << 24
"""The maximum number of numbers in a response of `/encode`: about 200 MB of text, because each is written twice."""

NUMBERS_AT_ONCE = 1 << 17
"""Numbers that are written in one step, during which no other thread can run: some milliseconds."""

MAX_LISTED = 500
"""The maximum number of rows in a header, because some clients read only 8 KiB of a header."""


def dump(value: Any) -> bytes:
    """Encode as JSON, with NumPy arrays as lists. Lone surrogates become question marks."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # a lone surrogate or a large integer, which an `id` can contain
        return orjson.dumps(_encodable(value), option=orjson.OPT_SERIALIZE_NUMPY)


def dump_rows(rows: Sequence[Any] | Array, numbers: int) -> list[bytes]:
    """JSON of a list in pieces; `numbers` is how many its rows have together.

    Other threads run between two pieces, so that no health check waits for millions of numbers.
    """
    at_once = max(1, len(rows) * NUMBERS_AT_ONCE // max(1, numbers))
    if len(rows) <= at_once:
        return [dump(rows)]
    pieces: list[bytes] = []
    for start in range(0, len(rows), at_once):
        pieces += [b',' if start else b'[', dump(rows[start : start + at_once])[1:-1]]
    return [*pieces, b']']


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode('utf-8', 'replace').decode('utf-8')
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return str(value)
    return value


def list_rows(rows: Sequence[int]) -> str:
    """Format `x-truncated-rows`: the first `MAX_LISTED` rows, and `...` if there are more."""
    return ','.join([*map(str, rows[:MAX_LISTED]), *['...'][: len(rows) > MAX_LISTED]])


def truncated_field(rows: Sequence[int]) -> dict[str, list[int]]:
    """The field `truncated` of a response, which is present only if rows were truncated."""
    return {'truncated': list(rows)} if rows else {}


def encode_body(request_id: Any, array: Array, tokens: Any, show_tokens: bool) -> list[bytes]:
    """The body of `POST /encode` for [B, D] or [B, T, D], in parts, because two fields share the converted array.

    With `show_tokens`, `tokens` is null if the server does not show them.

    Raises:
        HTTPError: TooLarge if the array has more than `MAX_NUMBERS` numbers.
    """
    check_size(array)
    vectors = dump_rows(np.ascontiguousarray(array), array.size)
    shown = b',"tokens":' + dump(tokens or None) if show_tokens else b''
    head = b'{"id":' + dump(request_id)
    return [head, b',"result":', *vectors, b',"results":', *vectors, shown, b',"status":200}']


def tokenize_body(
    ids: Array, tokens: Sequence[Sequence[str]], counts: Sequence[int], truncated: Sequence[int] = ()
) -> bytes:
    """The body of `POST /tokenize`, without the padding of `ids` [B, T]. `truncated` are the truncated rows."""
    rows = [row[:count] for row, count in zip(ids, counts)]
    return dump({'tokens': tokens, 'ids': rows, **truncated_field(truncated), 'status': 200})


def check_size(array: Array) -> None:
    """Refuse an array that is too large for JSON.

    Raises:
        HTTPError: TooLarge if the array has more than `MAX_NUMBERS` numbers.
    """
    if array.size > MAX_NUMBERS:
        message = 'the response has %d numbers, but the limit is %d: send less at a time' % (array.size, MAX_NUMBERS)
        raise HTTPError('TooLarge', message)


def check_pooled(array: Array) -> None:
    """Refuse [B, T, D] where [B, D] is expected.

    Raises:
        HTTPError: BadRequest, the server does not pool.
    """
    if array.ndim != 2:
        message = (
            'the server returns a vector for each token (-pooling_strategy NONE): use /encode or /embed_all instead'
        )
        raise HTTPError('BadRequest', message)


def little_endian(array: Array, keeps_type: bool = False) -> Array:
    """Convert to a contiguous little-endian array of float32, or of its own type with `keeps_type`."""
    dtype = array.dtype.newbyteorder('<') if keeps_type else np.dtype('<f4')
    return np.ascontiguousarray(array, dtype=dtype)


def octets(array: Array, lengths: Sequence[int] | None = None) -> tuple[bytes, dict[str, str]]:
    """The bytes of a little-endian array, and the headers that describe them.

    `lengths` has the number of tokens of each row of [B, T, D]. The rest of a row is padding.
    """
    headers = {'x-dtype': array.dtype.name, 'x-shape': ','.join(map(str, array.shape))}
    if lengths is not None:
        headers['x-lengths'] = ','.join(map(str, lengths))
    return array.tobytes(), headers


def fit_dimensions(array: Array, dimensions: int | None, normalize: bool = True) -> Array:
    """Shorten the vectors [B, D] of a server of release 1.10, which cannot do it itself, to float32 [B, dimensions].

    With `normalize` they are scaled to length 1. `dimensions` None means all.

    Raises:
        HTTPError: BadRequest if `array` is [B, T, D], or D is less than `dimensions`.
    """
    check_pooled(array)
    if dimensions is not None and dimensions > array.shape[1]:
        message = '"dimensions" is %d, but this model has %d' % (dimensions, array.shape[1])
        raise HTTPError('BadRequest', message, 'dimensions')
    cut = array[:, :dimensions].astype(np.float32)
    lengths = np.linalg.norm(cut, axis=1, keepdims=True) if normalize else np.ones((len(cut), 1))
    return np.ascontiguousarray(cut / np.where(lengths > 0, lengths, 1), dtype='<f4')
