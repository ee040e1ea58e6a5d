"""From arrays to the bytes of an answer: JSON by orjson, which writes a float32 as the shortest number that is it.

Pure. B texts, T tokens, D dimensions.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from .errors import HTTPError

Array = NDArray[Any]

MAX_NUMBERS = 1 << 24
"""How many numbers an answer of 1.10's may have: as text they are some 200 MB, and each is there twice."""


def dump(value: Any) -> bytes:
    """JSON, with NumPy's arrays and numbers as lists and numbers; half a surrogate pair becomes a question mark."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # orjson's word for text that has no UTF-8; an `id` may be such
        return orjson.dumps(_encodable(value), option=orjson.OPT_SERIALIZE_NUMPY)


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


def encode_answer(request_id: Any, array: Array, tokens: Any, show_tokens: bool) -> list[bytes]:
    """The answer of `POST /encode` to [B, D] or [B, T, D], in parts; the array is written once for its two names.

    `tokens` is null when they were asked for and the server does not show them.

    Raises:
        HTTPError: the array is too large to be written as text.
    """
    if array.size > MAX_NUMBERS:
        message = 'the answer has %d numbers, but may have %d at most: send less at a time' % (array.size, MAX_NUMBERS)
        raise HTTPError('TooLarge', message)
    vectors = dump(np.ascontiguousarray(array))
    shown = b',"tokens":' + dump(tokens or None) if show_tokens else b''
    head = b'{"id":' + dump(request_id)
    return [head, b',"result":', vectors, b',"results":', vectors, shown, b',"status":200}']


def tokenize_answer(ids: Array, tokens: Sequence[Sequence[str]], counts: Sequence[int]) -> bytes:
    """The answer of `POST /tokenize`: `ids` is [B, T], padded with zeros, which are cut off again here."""
    rows = [row[:count] for row, count in zip(ids, counts)]
    return dump({'tokens': tokens, 'ids': rows, 'status': 200})


def embeddings_answer(
    array: Array,
    counts: Sequence[int],
    model: str,
    encoding_format: Literal['float', 'base64'],
    dimensions: int | None = None,
) -> bytes:
    """The answer of `POST /v1/embeddings` to [B, D].

    Raises:
        HTTPError: the server does not pool, or has fewer dimensions.
    """
    vectors = fit_dimensions(array, dimensions)
    rows: Sequence[Any] = list(vectors)
    if encoding_format == 'base64':
        rows = [base64.b64encode(row).decode('ascii') for row in vectors]
    data = [{'object': 'embedding', 'index': index, 'embedding': row} for index, row in enumerate(rows)]
    total = int(sum(counts))
    usage = {'prompt_tokens': total, 'total_tokens': total}
    return dump({'object': 'list', 'data': data, 'model': model, 'usage': usage})


def fit_dimensions(array: Array, dimensions: int | None) -> Array:
    """[B, D] as little-endian float32 [B, dimensions]: cut, and scaled to length 1; as it is without `dimensions`."""
    if array.ndim != 2:
        message = (
            'this server answers a vector for each token (-pooling_strategy NONE), which this route cannot: use /encode'
        )
        raise HTTPError('BadRequest', message)
    if dimensions is None:
        return np.ascontiguousarray(array, dtype='<f4')
    if dimensions > array.shape[1]:
        message = '"dimensions" is %d, but this model has %d' % (dimensions, array.shape[1])
        raise HTTPError('BadRequest', message, 'dimensions')
    cut = array[:, :dimensions].astype(np.float32)
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    return np.ascontiguousarray(cut / np.where(lengths > 0, lengths, 1), dtype='<f4')
