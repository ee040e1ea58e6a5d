"""Import TensorFlow, for the processes of the exporter and the workers. No other module imports it.

Two settings must precede the import, so the parent passes them in the environment of the child:
`CUDA_VISIBLE_DEVICES` (the GPU of a worker, or -1 for none) and `TF_CPP_MIN_LOG_LEVEL` (0 with `-verbose`). If the
latter is not set, TensorFlow logs errors only.

TensorFlow imports Keras, which no child needs, and Keras imports scikit-learn and matplotlib if they are installed. In
every child that costs 0.5 s of CPU and 20 MB, with those two 2.2 s and 105 MB, so the import of Keras is prevented.
A process that must not see a GPU imports even less (`lazy_tensorflow.py`).
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from .lazy_tensorflow import import_lazily

_ERRORS_ONLY = '2'

NO_GPU = '-1'
"""The value of `CUDA_VISIBLE_DEVICES` for a process that must not see any."""

_verbose = os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', _ERRORS_ONLY) == '0'


@contextmanager
def _native_output_withheld() -> Iterator[None]:
    """Withhold the output of native code on stderr, and print it only if the block fails.

    TensorFlow prints "oneDNN custom operations are on" while it is loaded, at any log level.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as withheld:
        os.dup2(withheld.fileno(), 2)
        try:
            yield
        except BaseException:
            withheld.seek(0)
            os.write(stderr, withheld.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextmanager
def _keras_withheld() -> Iterator[None]:
    """Make `import keras` fail, as if Keras were not installed; TensorFlow goes on without it."""
    withheld = [name for name in ('keras', 'tf_keras') if name not in sys.modules]
    sys.modules.update(dict.fromkeys(withheld))  # type: ignore[arg-type]  # None makes an import fail
    try:
        yield
    finally:
        for name in withheld:
            del sys.modules[name]


def _import_tensorflow() -> Any:
    with _keras_withheld(), nullcontext() if _verbose else _native_output_withheld():
        lazy = import_lazily() if os.environ.get('CUDA_VISIBLE_DEVICES') == NO_GPU else None
        if lazy is None:
            import tensorflow  # type: ignore[import-untyped, import-not-found, unused-ignore]
        else:
            tensorflow = lazy
    tensorflow.get_logger().setLevel(logging.DEBUG if _verbose else logging.ERROR)
    return tensorflow


# TensorFlow publishes no types. tf1 has graphs and sessions, in which a graph is built, shipped and run unchanged.
tf: Any = _import_tensorflow()
tf1: Any = tf.compat.v1
