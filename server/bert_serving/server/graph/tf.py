"""The one place that imports TensorFlow; only the exporter and the workers, each a process of its own, come here.

Two things can only be said before the import, so the parent says them in the environment of the child:
`CUDA_VISIBLE_DEVICES` (the one GPU of a worker, or -1 for none), and `TF_CPP_MIN_LOG_LEVEL`, 0 with `-verbose`.
When the latter is not set, TensorFlow is silent but for errors.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ERRORS_ONLY = '2'

_verbose = os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', _ERRORS_ONLY) == '0'


@contextmanager
def _native_chatter_withheld() -> Iterator[None]:
    """Withhold what native code writes to stderr, and give it back when the block fails.

    While it is being loaded, TensorFlow says "oneDNN custom operations are on" at any log level.
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


def _import_tensorflow() -> Any:
    if _verbose:
        import tensorflow  # type: ignore[import-untyped, import-not-found, unused-ignore]
    else:
        with _native_chatter_withheld():
            import tensorflow
    tensorflow.get_logger().setLevel(logging.DEBUG if _verbose else logging.ERROR)
    return tensorflow


# TensorFlow publishes no types. tf1 is its graphs and sessions, in which a graph is built, shipped and run as it stands.
tf: Any = _import_tensorflow()
tf1: Any = tf.compat.v1
