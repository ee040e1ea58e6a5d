"""The word embeddings of a graph in a separate, mapped file, which all workers share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import StartError


class Words:
    """A table from which rows are taken."""

    def __init__(self, path: str, width: int, dtype: DTypeLike) -> None:
        """The file has rows of `width` numbers of the type `dtype`.

        Raises:
            StartError: the file cannot be read.
        """
        self._dtype = np.dtype(dtype)
        # the same bytes in a type that NumPy takes rows of fast
        stored = np.uint16 if self._dtype.itemsize == 2 else np.float32
        try:
            self._table = np.memmap(path, stored, 'r').reshape(-1, width)
        except (OSError, ValueError) as error:
            raise StartError('the word embeddings %s cannot be read: %s' % (path, error)) from error

    def of(self, ids: NDArray[Any]) -> NDArray[Any]:
        """The embeddings of ids [B, T]: [B, T, width]."""
        return self._table.take(ids, axis=0).view(self._dtype)
