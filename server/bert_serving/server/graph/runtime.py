"""Runs an exported graph: arrays of token ids in, arrays of vectors out.

One GraphEncoder lives in each worker process and is used by its compute thread only. It knows nothing of rows,
requests or models; what it needs to know of the graph is in the graph.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from bert_serving.server.errors import StartError
from bert_serving.server.graph.modeling import INPUT_NAMES, POSITIONS
from bert_serving.server.graph.tf import tf, tf1

Array = npt.NDArray[Any]

# The steps of TensorFlow's graph optimiser that do something for an exported graph; remap is the one that fuses. All
# steps, twice, as is its default, end with the same ops, after twice the time and 400 MB more at the peak (MiniLM-L6).
_OPTIMISERS = ('pruning', 'constfold', 'remap')


class GraphEncoder:
    """A graph on a device. `load()` it, `encode()` with it, `close()` it; or use it in a `with` block.

    `threads` are those within an op; the ops run one after another. `gpu_memory_fraction` bounds the memory that it
    takes of its GPU, little by little. With `xla`, which compiles once for every shape, batches are padded to few
    shapes, and the answers cut back.
    """

    def __init__(
        self,
        path: str,
        *,
        threads: int,
        on_gpu: bool = False,
        gpu_memory_fraction: float = 0.5,
        xla: bool = False,
    ) -> None:
        self._path = path
        self._threads = threads
        self._on_gpu = on_gpu
        self._gpu_memory_fraction = gpu_memory_fraction
        self._xla = xla
        self._positions: int | None = None
        self._session: Any = None
        self._run: Callable[[Array, Array, Array], Array] | None = None

    def load(self) -> None:
        """Read the graph and run it once, after which it is optimised and on its device."""
        graph_def = _read_graph(self._path)
        self._positions = _positions(graph_def)
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(graph_def, name='')
        del graph_def
        self._session = tf1.Session(graph=graph, config=self._session_config())
        self._run = self._session.make_callable(OUTPUT, [name + ':0' for name in INPUT_NAMES])
        one_token = np.ones((1, 1), np.int32)
        self.encode(one_token, one_token, np.zeros_like(one_token))

    def encode(self, input_ids: Array, input_mask: Array, input_type_ids: Array) -> Array:
        """The vectors of a batch, [B, D] or [B, T, D], of arrays [B, T] that hold int32."""
        if self._run is None:
            raise RuntimeError('the graph is not loaded')
        if not self._xla:
            return self._run(input_ids, input_mask, input_type_ids)
        rows, tokens = input_ids.shape
        pad = ((0, _bucket(rows) - rows), (0, self._bucket_of_tokens(tokens) - tokens))
        answer = self._run(np.pad(input_ids, pad), np.pad(input_mask, pad), np.pad(input_type_ids, pad))
        return answer[:rows, :tokens] if answer.ndim == 3 else answer[:rows]

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = self._run = None

    def __enter__(self) -> GraphEncoder:
        self.load()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _session_config(self) -> Any:
        config = tf1.ConfigProto(
            intra_op_parallelism_threads=self._threads,
            inter_op_parallelism_threads=1,
            allow_soft_placement=True,
        )
        optimiser = config.graph_options.rewrite_options
        optimiser.optimizers.extend(_OPTIMISERS)
        optimiser.meta_optimizer_iterations = optimiser.ONE
        if self._on_gpu:
            config.gpu_options.allow_growth = True
            config.gpu_options.per_process_gpu_memory_fraction = self._gpu_memory_fraction
        else:
            config.device_count['GPU'] = 0
        if self._xla:
            # On a CPU the level alone does nothing. The flags are read when the first session is made.
            os.environ.setdefault('TF_XLA_FLAGS', '--tf_xla_cpu_global_jit')
            config.graph_options.optimizer_options.global_jit_level = tf1.OptimizerOptions.ON_2
        return config

    def _bucket_of_tokens(self, tokens: int) -> int:
        """Padding must not reach where the model has no position embedding."""
        bucket = _bucket(tokens)
        return bucket if self._positions is None else max(tokens, min(bucket, self._positions))


OUTPUT = 'final_encodes:0'


def _read_graph(path: str) -> Any:
    graph_def = tf1.GraphDef()
    try:
        with open(path, 'rb') as file:
            graph_def.ParseFromString(file.read())
    except OSError as error:
        raise StartError('the graph %s can not be read: %s' % (path, error.strerror)) from error
    return graph_def


def _positions(graph_def: Any) -> int | None:
    """The number of position embeddings in the graph, None when it does without."""
    for node in graph_def.node:
        if node.name.endswith(POSITIONS):
            return int(node.attr['value'].tensor.tensor_shape.dim[0].size)
    return None


def _bucket(size: int) -> int:
    """The next power of two, as a coarse measure of a size."""
    return 1 << (size - 1).bit_length()
