"""Scale the vectors of a job after the graph has computed them. Pure NumPy, called once a job."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_LENGTH = 1e-12
"""A vector is divided by no less, as sentence-transformers does: one of zeros stays as it is."""


def normalize(vectors: NDArray[Any]) -> NDArray[Any]:
    """Scale each of the vectors [N, D] to length 1, in float32; return them in their own type."""
    wide = vectors.astype(np.float32, copy=False)
    lengths = np.sqrt(np.einsum('nd,nd->n', wide, wide))  # [N]
    scaled: NDArray[Any] = wide / np.maximum(lengths, LEAST_LENGTH)[:, np.newaxis]  # [N, D]
    return scaled.astype(vectors.dtype, copy=False)
