"""The bodies of responses, from arrays: JSON by orjson, which writes the shortest number that reads back as the
float32.

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
"""Most numbers in a response of `/encode`: about 200 MB as text, and each is written twice."""


def dump(value: Any) -> bytes:
    """JSON, with NumPy arrays and numbers as lists and numbers; a lone surrogate becomes a question mark."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # text that has no UTF-8, or a large integer: an `id` can have either
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


def encode_body(request_id: Any, array: Array, tokens: Any, show_tokens: bool) -> list[bytes]:
    """The body of `POST /encode` for [B, D] or [B, T, D], in parts; the array is converted once for its two names.

    With `show_tokens`, `tokens` is null if the server does not show them.

    Raises:
        HTTPError: TooLarge, the array has more than `MAX_NUMBERS` numbers.
    """
    if array.size > MAX_NUMBERS:
        message = 'the response has %d numbers, but the limit is %d: send less at a time' % (array.size, MAX_NUMBERS)
        raise HTTPError('TooLarge', message)
    vectors = dump(np.ascontiguousarray(array))
    shown = b',"tokens":' + dump(tokens or None) if show_tokens else b''
    head = b'{"id":' + dump(request_id)
    return [head, b',"result":', vectors, b',"results":', vectors, shown, b',"status":200}']


def tokenize_body(ids: Array, tokens: Sequence[Sequence[str]], counts: Sequence[int]) -> bytes:
    """The body of `POST /tokenize`; `ids` is [B, T], and its padding is removed here."""
    rows = [row[:count] for row, count in zip(ids, counts)]
    return dump({'tokens': tokens, 'ids': rows, 'status': 200})


def embeddings_body(
    array: Array,
    counts: Sequence[int],
    model: str,
    encoding_format: Literal['float', 'base64'],
    dimensions: int | None = None,
) -> bytes:
    """The body of `POST /v1/embeddings` for [B, D].

    Raises:
        HTTPError: BadRequest, the server does not pool, or has fewer dimensions.
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
    """[B, D] as little-endian float32: cut to [B, dimensions] and scaled to norm 1, or as it is without `dimensions`.

    Raises:
        HTTPError: BadRequest, `array` is [B, T, D], or D is less than `dimensions`.
    """
    if array.ndim != 2:
        message = 'the server returns a vector for each token (-pooling_strategy NONE): use /encode instead'
        raise HTTPError('BadRequest', message)
    if dimensions is None:
        return np.ascontiguousarray(array, dtype='<f4')
    if dimensions > array.shape[1]:
        message = '"dimensions" is %d, but this model has %d' % (dimensions, array.shape[1])
        raise HTTPError('BadRequest', message, 'dimensions')
    cut = array[:, :dimensions].astype(np.float32)
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    return np.ascontiguousarray(cut / np.where(lengths > 0, lengths, 1), dtype='<f4')
