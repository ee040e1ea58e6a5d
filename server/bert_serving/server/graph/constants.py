"""The weights as constants of a graph, each once, in the type and layout that the ops need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checkpoint import Variables
from .inputs import Tensor
from .tf import tf, tf1

FLOAT16_MAX = 65504.0


def clip_to(dtype: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Clip values to the range of float16 if that is the `dtype` they are cast to."""
    return np.clip(values, -FLOAT16_MAX, FLOAT16_MAX) if dtype == tf.float16 else values


class Constants:
    """The variables of a model as constants of the current graph; each is created once and cached.

    With `apart`, the graph has placeholders, and `arrays` has the values. `freezing.py` writes both into one message.
    So a gigabyte of weights exists once, instead of also in the graph, in its message and in the serialized bytes.
    """

    def __init__(
        self, variables: Variables, on_made: Callable[[int], None] = lambda _: None, *, apart: bool = False
    ) -> None:
        """`on_made` is called with the size of each constant in bytes."""
        self._variables = variables
        self._on_made = on_made
        self._apart = apart
        self._made: dict[tuple[str, Any], Tensor] = {}
        self.arrays: dict[str, NDArray[Any]] = {}
        """The values by placeholder name."""

    def get(
        self, name: str, dtype: Any = tf.float32, make: Callable[[Variables], NDArray[Any]] | None = None
    ) -> Tensor:
        """The variable `name`, or the result of `make(variables)`, as a constant of that name and type.

        The cast happens here, once, not in every batch; values are clipped to the range of float16.
        """
        if (name, dtype) not in self._made:
            values = make(self._variables) if make else self._variables[name]
            values = np.ascontiguousarray(clip_to(dtype, values), dtype.as_numpy_dtype)
            self._made[name, dtype] = self._make(name, values)
            self._on_made(values.nbytes)
        return self._made[name, dtype]

    def _make(self, name: str, values: NDArray[Any]) -> Tensor:
        with tf1.name_scope(None):
            if not self._apart:
                return tf.constant(values, name=name)
            placeholder = tf1.placeholder(values.dtype, values.shape, name)
            self.arrays[placeholder.op.name] = values
            return placeholder
