"""Make the answer to a job of the numbers that the graph has computed: activation, scaling, cutting, types.

Pure NumPy, called once a job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from ..protocol.options import EncodingOptions, VectorType

Array: TypeAlias = NDArray[Any]

LEAST_LENGTH = 1e-12
"""A vector is divided by no less, as sentence-transformers does: one of zeros stays as it is."""

FLOAT16_MAX = 65504.0


@dataclass(frozen=True, slots=True)
class Finish:
    """How the model makes its answer of what the graph computes.

    `normalizes` says that vectors get length 1. `activation` is the function from the logits of a head to its scores,
    one of `ACTIVATIONS`, or None without a head.
    """

    normalizes: bool = False
    activation: str | None = None

    def apply(self, array: Array, options: EncodingOptions | None) -> Array:
        """Make the answer to a job, [N, D] or [N, T, D], under the options of its request."""
        if self.activation is not None:
            if options is None or not options.raw:
                array = ACTIVATIONS[self.activation](array.astype(np.float32, copy=False)).astype(
                    array.dtype, copy=False
                )
        elif array.ndim == 2:
            array = self._shape_vectors(array, options)
        if options is None or options.dtype is None:
            return array
        return convert(array, options.dtype)

    def _shape_vectors(self, vectors: Array, options: EncodingOptions | None) -> Array:
        """Scale and cut vectors, in the order of sentence-transformers: the model's own scaling sees the whole."""
        if options is None:
            return normalize(vectors) if self.normalizes else vectors
        if options.dimensions is None or options.dimensions == vectors.shape[1]:
            scales = self.normalizes if options.normalize is None else options.normalize
            return normalize(vectors) if scales else vectors
        if self.normalizes and options.normalize is None:
            vectors = normalize(vectors)
        vectors = np.ascontiguousarray(vectors[:, : options.dimensions])  # whose bytes are sent as they are
        return normalize(vectors) if options.normalize else vectors


AS_COMPUTED = Finish()


def normalize(vectors: Array) -> Array:
    """Scale each of the vectors [N, D] to length 1, in float32; return them in their own type."""
    return _unit(vectors).astype(vectors.dtype, copy=False)


def _unit(vectors: Array) -> Array:
    wide = vectors.astype(np.float32, copy=False)
    lengths = np.sqrt(np.einsum('nd,nd->n', wide, wide))  # [N]
    scaled: Array = wide / np.maximum(lengths, LEAST_LENGTH)[:, np.newaxis]  # [N, D]
    return scaled


def convert(array: Array, dtype: VectorType) -> Array:
    """Convert the numbers of an array, [N, D], to another type.

    `int8` is 127 times the vector of length 1, rounded and saturated. `ubinary` has a bit for each number, 1 if it is
    positive, eight in a byte, the first in the highest bit; `binary` is the same less 128, as int8. `float32` and
    `float16` take arrays of any shape.
    """
    match dtype:
        case 'float32':
            return array.astype(np.float32, copy=False)
        case 'float16':
            clipped: Array = np.clip(array, -FLOAT16_MAX, FLOAT16_MAX)
            return clipped.astype(np.float16, copy=False)
        case 'int8':
            rounded: Array = np.rint(127 * _unit(array))
            return np.clip(rounded, -128, 127).astype(np.int8)
        case 'ubinary':
            return np.packbits(array > 0, axis=-1)
        case 'binary':
            return (np.packbits(array > 0, axis=-1) ^ 0x80).view(np.int8)
        case _:
            assert_never(dtype)


def _linear(logits: Array) -> Array:
    return logits


def _sigmoid(logits: Array) -> Array:
    exp = np.exp(-np.abs(logits))  # at most 1, so nothing overflows
    scores: Array = np.where(logits >= 0, 1, exp) / (1 + exp)
    return scores


def _softmax(logits: Array) -> Array:
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: Array = exp / exp.sum(axis=-1, keepdims=True)
    return scores


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {'linear': _linear, 'sigmoid': _sigmoid, 'softmax': _softmax}
"""The functions from logits [N, labels] to scores, by the names of `model.config.Head`."""
