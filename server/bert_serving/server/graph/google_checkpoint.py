"""Read a TensorFlow checkpoint, the format of Google's models, which only TensorFlow can read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from .tf import tf, tf1


def open_checkpoint(prefix: str) -> tuple[dict[str, tuple[int, ...]], Callable[[str], npt.NDArray[Any]]]:
    """Return the shapes of all tensors of the checkpoint with this prefix, and a function that reads one of them.

    Raises:
        ModelError: the checkpoint cannot be read. The function also raises it for a tensor of integers.
    """
    with _readable(prefix):
        reader = tf1.train.NewCheckpointReader(os.fsencode(prefix))  # a `str` would have to be UTF-8
        shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}

    @lru_cache(maxsize=1)  # for the parts of one table
    def read(name: str) -> npt.NDArray[Any]:
        with _readable(prefix):
            values = reader.get_tensor(name)
        if values.dtype.kind in 'biu':
            raise ModelError('%s: %s holds %s, not floating-point weights' % (prefix, name, values.dtype))
        return np.ascontiguousarray(values, dtype=np.float32)

    return shapes, read


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Convert the various exceptions of TensorFlow for a damaged file to a ModelError."""
    try:
        yield
    except (OSError, ValueError, IndexError, RuntimeError, tf.errors.OpError) as error:
        raise ModelError('%s cannot be read: %s' % (path, str(error) or type(error).__name__)) from error
