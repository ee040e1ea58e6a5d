"""Run an exported graph: arrays of token ids in, arrays of vectors out.

Each worker process has one GraphEncoder, which only its compute thread uses. It does not know rows, requests or models;
the graph stores everything that it needs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..console.formatting import format_bytes
from ..console.logs import timed
from ..options.settings import Settings
from ..process.allocator import return_free_memory
from .files import check_private, read_graph, words_path
from .layer_norm import FUSED_LAYER_NORM
from .names import (
    BOUND_NAME,
    INPUT_NAMES,
    MOST_TOKENS_NAME,
    OUTPUT_NAME,
    POOLING_MASK_NAME,
    UNUSUAL_IDS_NAME,
    WORDS_NAME,
)
from .tf import tf, tf1
from .words import Words

logger = logging.getLogger(__name__)

Array = npt.NDArray[Any]

# The passes of TensorFlow's graph optimizer that have an effect on an exported graph; remap fuses ops. The default, all
# passes twice, gives the same ops in twice the time, with 400 MB more at the peak (MiniLM-L6).
_OPTIMIZERS = ('pruning', 'constfold', 'remap')

OUTPUT = OUTPUT_NAME + ':0'

# Of a graph with size classes. For fewer than 7 tokens, oneDNN 3.7 wants the weight layout of large batches again.
_FEWEST_TOKENS = 8


@dataclass(frozen=True)
class _Traits:
    """The properties of a graph, read from the graph itself."""

    most_tokens: int | None
    """The maximum length of a row in tokens; None if it is not bounded."""
    small_batch: int | None
    """The most tokens of a batch in the small size class; None if there is only one class."""
    dtype: str
    """The type in which its products are computed."""
    fuses_layer_norm: bool
    words: tuple[int, Any] | None
    """The width and type of the word embeddings that are fed; None if the graph contains them."""
    has_pooling_mask: bool
    """Whether the graph has an input for the tokens that take part in pooling."""
    unusual_ids: tuple[int, ...]
    """The tokens with the largest embeddings, which overflow first if any do."""

    @classmethod
    def of(cls, graph_def: Any) -> _Traits:
        constants = {node.name: node.attr['value'].tensor for node in graph_def.node if node.op == 'Const'}
        most_tokens, bound = constants.get(MOST_TOKENS_NAME), constants.get(BOUND_NAME)
        bodies = (node for function in graph_def.library.function for node in function.node_def)
        product = next(node for node in chain(graph_def.node, bodies) if node.op == 'BatchMatMulV2')
        words = next((node for node in graph_def.node if node.name == WORDS_NAME), None)
        unusual_ids = constants.get(UNUSUAL_IDS_NAME)
        return cls(
            most_tokens=int(most_tokens.int_val[0]) or None if most_tokens else None,
            small_batch=None if bound is None else int(bound.int_val[0]),
            dtype=tf.as_dtype(product.attr['T'].type).name,
            fuses_layer_norm=any(node.op == FUSED_LAYER_NORM for node in graph_def.node),
            words=words
            and (int(words.attr['shape'].shape.dim[2].size), tf.as_dtype(words.attr['dtype'].type).as_numpy_dtype),
            has_pooling_mask=any(node.name == POOLING_MASK_NAME for node in graph_def.node),
            unusual_ids=() if unusual_ids is None else tuple(tf.make_ndarray(unusual_ids).tolist()),
        )


class GraphEncoder:
    """A graph on a device: call `load()`, `encode()` and `close()`, or use it in a `with` block.

    `threads` is the number of threads within an op; ops run one after another. `gpu_memory_fraction` limits the GPU
    memory, which is allocated as needed. XLA compiles once for each shape, so with `xla` batches are padded to a few
    shapes, and the padding is removed from the answers. With `sha256`, only the graph with that digest is loaded, and
    only files that no other user can change.
    """

    is_shown = False
    """Whether the session can show the optimized graph; must be set before `load`."""

    def __init__(
        self,
        path: str,
        *,
        threads: int,
        on_gpu: bool = False,
        gpu_memory_fraction: float = 0.5,
        xla: bool = False,
        sha256: str | None = None,
    ) -> None:
        self._path = path
        self._sha256 = sha256
        self._threads = threads
        self._on_gpu = on_gpu
        self._gpu_memory_fraction = gpu_memory_fraction
        self._xla = xla
        self._traits: _Traits | None = None
        self._session: Any = None
        self._compiled: set[tuple[int, int]] = set()
        self._run: Callable[..., Array] | None = None
        self._words: Words | None = None

    def load(self) -> None:
        """Read the graph and run it once in every size class, so that it is optimized and on its device."""
        graph_def = _parse_graph(read_graph(self._path, self._sha256))
        self._traits = _Traits.of(graph_def)
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(graph_def, name='')
        del graph_def
        self._session = tf1.Session(graph=graph, config=self._session_config())
        names = [*INPUT_NAMES]
        if self._traits.has_pooling_mask:
            names.append(POOLING_MASK_NAME)
        if self._traits.words:
            names.append(WORDS_NAME)
            if self._sha256 is not None:
                check_private(words_path(self._path))
            self._words = Words(words_path(self._path), *self._traits.words)
        self._run = self._session.make_callable(OUTPUT, [name + ':0' for name in names])
        small_batch = self._traits.small_batch
        # The batch of the large class has fewer rows than tokens: where one position is needed, rows have their own
        # layout.
        for shape in ((1, 1),) if small_batch is None else ((1, 1), (small_batch // 3 + 1, 3)):
            ones = np.ones(shape, np.int32)
            self.encode(ones, ones, np.zeros_like(ones))
        return_free_memory()  # loading leaves a sixth of the memory of a worker

    def encode(
        self, input_ids: Array, input_mask: Array, input_type_ids: Array, pooling_mask: Array | None = None
    ) -> Array:
        """Compute the vectors of a batch, [B, D] or [B, T, D], from int32 arrays [B, T].

        `pooling_mask` is 0 for tokens that take no part in pooling; only some graphs use it.
        """
        if self._run is None or self._traits is None:
            raise RuntimeError('the graph is not loaded')
        arrays = [input_ids, input_mask, input_type_ids]
        if self._traits.has_pooling_mask:
            arrays.append(np.ones_like(input_mask) if pooling_mask is None else pooling_mask)
        rows, tokens = input_ids.shape
        padded_rows, padded_tokens = self._padded(self._traits, rows, tokens)
        if padded_tokens > tokens and not input_mask.any(axis=1).all():
            padded_tokens = tokens  # a fully masked row attends to padding: its answer depends on T
        self._compiled.add((padded_rows, padded_tokens))
        is_padded = (padded_rows, padded_tokens) != (rows, tokens)
        if is_padded:
            pad = ((0, padded_rows - rows), (0, padded_tokens - tokens))
            arrays = [np.pad(array, pad) for array in arrays]
        if self._words:
            arrays.append(self._words.of(arrays[0]))
        answer = self._run(*arrays)
        if not is_padded:
            return answer
        return answer[:rows, :tokens] if answer.ndim == 3 else answer[:rows]

    def will_compile(self, rows: int, width: int) -> bool:
        """Whether `encode` will first compile for a batch of this B and T: with XLA, once per padded shape."""
        if not self._xla or self._traits is None:
            return False
        return self._padded(self._traits, rows, width) not in self._compiled

    @property
    def unusual_ids(self) -> tuple[int, ...]:
        """The tokens with the largest embeddings, which overflow first if any do."""
        return () if self._traits is None else self._traits.unusual_ids

    @property
    def most_tokens(self) -> int | None:
        """The maximum length of a row in tokens; None if it is not bounded."""
        return None if self._traits is None else self._traits.most_tokens

    def describe(self) -> str:
        """The properties of the graph and the device, in one line for the log."""
        if self._traits is None:
            raise RuntimeError('the graph is not loaded')
        traits = self._traits
        return ' '.join(
            '%s=%s' % fact
            for fact in (
                ('compute', traits.dtype),
                ('layer_norm', 'fused' if traits.fuses_layer_norm else 'plain'),
                ('small_batch', '%d tokens' % traits.small_batch if traits.small_batch else 'none'),
                ('xla', 'on' if self._xla else 'off'),
                ('threads', self._threads),
            )
        )

    @property
    def sees_gpu(self) -> bool:
        """Whether TensorFlow has a GPU in this process. Without one, the graph runs on the CPU."""
        return bool(tf.config.list_physical_devices('GPU'))

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = self._run = self._words = None

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
        # The graph will be neither extended nor shown, which saves two copies of every weight.
        config.experimental.optimize_for_static_graph = True
        config.experimental.disable_output_partition_graphs = not self.is_shown
        optimizer = config.graph_options.rewrite_options
        optimizer.optimizers.extend(_OPTIMIZERS)
        optimizer.meta_optimizer_iterations = optimizer.ONE
        if self._on_gpu:
            config.gpu_options.allow_growth = True
            config.gpu_options.per_process_gpu_memory_fraction = self._gpu_memory_fraction
        else:
            config.device_count['GPU'] = 0
        if self._xla:
            # On a CPU the level alone has no effect. The flags are read when the first session is created.
            os.environ.setdefault('TF_XLA_FLAGS', '--tf_xla_cpu_global_jit')
            config.graph_options.optimizer_options.global_jit_level = tf1.OptimizerOptions.ON_2
        return config

    def _padded(self, traits: _Traits, rows: int, tokens: int) -> tuple[int, int]:
        """The shape, (B, T), to which a batch of this shape is padded."""
        if self._xla:
            # Padding must not exceed the positions of the model.
            longest = _bucket(tokens) if traits.most_tokens is None else min(_bucket(tokens), traits.most_tokens)
            return _bucket(rows), max(tokens, longest)
        if traits.small_batch is not None and rows * tokens < _FEWEST_TOKENS:
            # Pad with rows, not tokens, because the answers of some rows depend on T.
            return -(-_FEWEST_TOKENS // tokens), tokens
        return rows, tokens


def load_graph(path: str, *, sha256: str, device: int, threads: int, settings: Settings) -> GraphEncoder:
    """Load the graph in the file `path` onto `device`, a GPU id or -1 for the CPU, and log each step.

    Raises:
        StartError: the file cannot be read, or is not the one with the digest `sha256`.
    """
    encoder = GraphEncoder(
        path,
        threads=threads,
        on_gpu=device >= 0,
        gpu_memory_fraction=settings.gpu_memory_fraction,
        xla=settings.xla,
        sha256=sha256,
    )
    with timed(logger, 'load graph and run it once', size=format_bytes(os.path.getsize(path))):
        encoder.load()
    logger.info('graph: %s', encoder.describe())
    if device >= 0 and not encoder.sees_gpu:
        logger.warning(
            'TensorFlow sees no GPU %d and runs on the CPU: is it built for CUDA (the extra [gpu]), and is '
            '-device_map right?',
            device,
        )
    return encoder


def _parse_graph(content: bytes) -> Any:
    graph_def = tf1.GraphDef()
    graph_def.ParseFromString(content)
    return graph_def


def _bucket(size: int) -> int:
    """The next power of two."""
    return 1 << (size - 1).bit_length()
