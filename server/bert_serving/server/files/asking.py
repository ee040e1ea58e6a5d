"""Encode texts of which some are invalid: halve a failed request until each invalid text is alone.

Pure: the caller passes the function that sends a request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RETRIED = frozenset({'Busy', 'DeadlineExceeded', 'ShuttingDown'})
"""The types of temporary errors, after which the client sends the request again. Every other error is about the
texts."""


class RowsRefusedError(Exception):
    """The server has answered a request with an error about its texts."""


class Vectors(NamedTuple):
    """The vectors of one request: an array [rows, width], and the total number of tokens."""

    array: NDArray[np.generic]
    tokens: int


class Encoded(NamedTuple):
    """The vectors of the valid texts, in order, with their indexes in `places`. `errors` has the others by index."""

    arrays: list[NDArray[np.generic]]
    places: list[int]
    errors: dict[int, str]
    tokens: int


def encode_texts(texts: Sequence[str], ask: Callable[[Sequence[str]], Vectors]) -> Encoded:
    """Encode `texts` by calling `ask`, which raises RowsRefusedError for a request with an invalid text.

    One invalid text among n costs about 2 log2(n) requests.
    """
    arrays: list[NDArray[np.generic]] = []
    places: list[int] = []
    errors: dict[int, str] = {}
    tokens = 0
    to_do = [(0, len(texts))] if texts else []
    while to_do:
        start, stop = to_do.pop()
        try:
            answer = ask(texts[start:stop])
        except RowsRefusedError as error:
            if stop - start == 1:
                errors[start] = str(error)
            else:
                middle = (start + stop) // 2
                to_do += [(middle, stop), (start, middle)]
        else:
            arrays.append(answer.array)
            places += range(start, stop)
            tokens += answer.tokens
    return Encoded(arrays, places, errors, tokens)


def scattered(encoded: Encoded, places: Sequence[int], rows: int, width: int, dtype: str) -> NDArray[np.generic]:
    """Return an array [rows, width] with the vector of text i in row `places[i]`, and zeros elsewhere.

    Raises:
        ValueError: a vector has another width or type.
    """
    for part in encoded.arrays:
        if part.shape[1:] != (width,) or part.dtype != dtype:
            raise ValueError('expected vectors of %d %s, got %s of %s' % (width, dtype, part.shape[1:], part.dtype))
    if len(encoded.arrays) == 1 and len(encoded.places) == rows:
        return encoded.arrays[0]
    result = np.zeros((rows, width), dtype)
    taken = 0
    for part in encoded.arrays:
        result[[places[place] for place in encoded.places[taken : taken + len(part)]]] = part
        taken += len(part)
    return result
