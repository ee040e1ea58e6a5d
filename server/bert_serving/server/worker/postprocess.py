"""Turn the output of the graph into the result of a job: activation, scaling, shortening, types.

Pure NumPy, called once per job.
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
"""The minimum divisor of a vector, as in sentence-transformers, so that a zero vector stays unchanged."""

FLOAT16_MAX = 65504.0


@dataclass(frozen=True, slots=True)
class Finish:
    """The model's own steps from the output of the graph to the result.

    `normalizes` scales vectors to length 1. `activation` names the function from logits to scores, one of
    `ACTIVATIONS`, or is None without a head.
    """

    normalizes: bool = False
    activation: str | None = None

    def apply(self, array: Array, options: EncodingOptions | None) -> Array:
        """Make the result of a job, [N, D] or [N, T, D], with the options of its request."""
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
        """Scale and shorten vectors in the order of sentence-transformers: first the model's own scaling."""
        if options is None:
            return normalize(vectors) if self.normalizes else vectors
        if options.dimensions is None or options.dimensions == vectors.shape[1]:
            scales = self.normalizes if options.normalize is None else options.normalize
            return normalize(vectors) if scales else vectors
        if self.normalizes and options.normalize is None:
            vectors = normalize(vectors)
        vectors = np.ascontiguousarray(vectors[:, : options.dimensions])  # because its bytes are sent as they are
        return normalize(vectors) if options.normalize else vectors


AS_COMPUTED = Finish()


def normalize(vectors: Array) -> Array:
    """Scale each of the vectors [N, D] to length 1 in float32, and return them in their own type."""
    return _unit(vectors).astype(vectors.dtype, copy=False)


def _unit(vectors: Array) -> Array:
    wide = vectors.astype(np.float32, copy=False)
    lengths = np.sqrt(np.einsum('nd,nd->n', wide, wide))  # [N]
    scaled: Array = wide / np.maximum(lengths, LEAST_LENGTH)[:, np.newaxis]  # [N, D]
    return scaled


def convert(array: Array, dtype: VectorType) -> Array:
    """Convert an array [N, D] to another type of numbers.

    `int8` is 127 times the normalized vector, rounded and saturated. `ubinary` has a bit for each number, 1 if it is
    positive, eight in a byte, the first in the highest bit. `binary` is the same minus 128, as int8. `float32` and
    `float16` accept arrays of any shape.
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
