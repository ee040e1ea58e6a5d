"""Export the model in a folder as one file with the graph that every worker runs.

The exporter process calls it and then ends, which releases the memory of reading and building. Problems that only the
weights reveal (a missing head, a wrong shape) are thus found before any worker starts.

The graph has the inputs `input_ids`, `input_mask` and `input_type_ids`, int32 [B, T], and the output `final_encodes`.
For the CPU it has two encoders over the same weights, one for batches of few tokens and one for all others; each batch
takes the one that fits. The weights are constants from the start, so building the graph also freezes it. Only the ops
that the answer needs are built, and the constants are prepared in NumPy, so pruning and folding have nothing left to
do. The session that runs the graph (`runtime.py`) fuses the ops: TensorFlow has no public function that runs only its
optimizer, and the device of the worker, not of the exporter, decides which kernels can be fused.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..console.formatting import format_bytes, format_count
from ..console.logs import timed
from ..console.progress import OnProgress, ignore_progress
from ..errors import ModelError
from ..model.folder import Model
from ..model.pooling import PoolingStrategy
from . import checkpoint
from .checkpoint import Shape, Variables
from .files import write_graph
from .layer_norm import can_fuse_layer_norm
from .modeling import BOUND_NAME, FLOAT16_MAX, OUTPUT_NAME, Bert, Constants, Inputs, Tensor
from .pooling_ops import only_position, pool
from .tf import tf

# The most tokens, B*T, of a batch that counts as small. A float32 product keeps one blocked layout of its weights, that
# of the first batch it sees, and reorders all weights for every batch that needs another: 9 ms instead of 4.5 for 12
# tokens of MiniLM-L6. oneDNN 3.7 with AVX-512 uses one layout from 7 to 80 tokens and another above (and below: the
# runtime pads such batches). Up to a few hundred tokens, LayerNorm in plain ops is faster than the fused one.
SMALL_BATCH = 80

# The maximum size of a protobuf message, and so of a graph. The ops need some of it in addition to the weights.
_LARGEST_GRAPH = 2**31 - 1
_ROOM_FOR_OPS = 2**24

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GraphSpec:
    """Everything that determines a graph."""

    model: Model
    layers: tuple[int, ...]
    """The encoder layers to pool, from `resolve_layers`; strategies that use the pooler ignore them."""
    strategy: PoolingStrategy = PoolingStrategy.REDUCE_MEAN
    position_embeddings: bool = True
    num_labels: int = 2
    fp16: bool = False
    """Whether the answers are float16."""
    bf16: bool = False
    """Whether weights, products and the states between layers are bfloat16; pooling and answers are float32."""
    on_gpu: bool = False
    """Whether only GPUs run it. `fp16` then also computes in float16, which would be slower on a CPU."""
    on_cpu: bool = False
    """Whether only CPUs run it, without XLA. It can then contain ops that only oneDNN runs.

    A graph for GPUs and CPUs has neither flag: it consists of plain ops, which run on both."""

    @property
    def depth(self) -> int:
        """The number of layers to build."""
        return self.model.config.num_hidden_layers if self.strategy.uses_pooler else max(self.layers) + 1

    @property
    def labels(self) -> int:
        """The width of the head, 0 without one; the head of a regression always has width 1."""
        if not self.strategy.uses_head:
            return 0
        return 1 if self.strategy is PoolingStrategy.REGRESSION else self.num_labels

    @property
    def dtype(self) -> Any:
        """The type of weights and products."""
        if self.bf16:
            return tf.bfloat16
        return tf.float16 if self.fp16 and self.on_gpu else tf.float32

    def variable_shapes(self) -> dict[str, Shape]:
        return checkpoint.variable_shapes(
            self.model.config,
            depth=self.depth,
            position_embeddings=self.position_embeddings,
            pooler=self.strategy.uses_pooler,
            num_labels=self.labels,
        )


@dataclass(frozen=True)
class GraphInfo:
    """The result of an export."""

    path: str
    bytes: int
    width: int
    """The size of the last axis of the answers."""
    dtype: str
    seconds: float


def export(spec: GraphSpec, path: str, on_progress: OnProgress = ignore_progress) -> GraphInfo:
    """Build the graph of `spec` and write it to `path`, completely or not at all.

    Raises:
        ModelError: the weights do not fit the options, or the graph would be too large.
        StartError: the file cannot be written.
    """
    started = time.monotonic()
    model = spec.model
    logger.info('model config: %s', model.config_path)
    logger.info('checkpoint%s: %s', ' (override by the fine-tuned model)' if model.tuned else '', model.weights)
    shapes = spec.variable_shapes()
    _check_size(spec, shapes)
    parameters = sum(map(math.prod, shapes.values()))
    with timed(logger, 'load checkpoint', variables=len(shapes), parameters=format_count(parameters)):
        on_read = partial(on_progress, 'read the weights')
        variables = checkpoint.load_variables(model, shapes, _Meter(on_read, 4 * parameters).count)
    with timed(logger, 'build graph', layers='%d/%d' % (spec.depth, model.config.num_hidden_layers)):
        on_made = partial(on_progress, 'build the graph')
        graph, width, dtype = build(spec, variables, _Meter(on_made, spec.dtype.size * parameters).count)
    del variables
    with timed(logger, 'freeze') as facts:
        on_progress('freeze the graph', 0, 0)
        frozen = graph.as_graph_def().SerializeToString(deterministic=True)
        facts['size'] = format_bytes(len(frozen))
    with timed(logger, 'write graph to: %s' % path, bytes=len(frozen)):
        write_graph(path, frozen, partial(on_progress, 'write the graph'))
    return GraphInfo(path, len(frozen), width, dtype, time.monotonic() - started)


class _Meter:
    """Counts bytes up to a total. Extra copies of a weight in the layout of a kernel are not counted."""

    def __init__(self, on_progress: Callable[[int, int], None], total: int) -> None:
        self._on_progress = on_progress
        self._done, self._total = 0, total
        on_progress(0, total)

    def count(self, number: int) -> None:
        self._done = min(self._done + number, self._total)
        self._on_progress(self._done, self._total)


def build(
    spec: GraphSpec, variables: Variables, on_made: Callable[[int], None] = lambda _: None
) -> tuple[Any, int, str]:
    """Build the graph; return it, and the width and type of its answer. `on_made` gets the bytes of each constant."""
    graph = tf.Graph()
    with graph.as_default():
        inputs, constants = Inputs.placeholders(), Constants(variables, on_made)
        if spec.on_cpu:
            answer, width = _answer_by_size(spec, constants, inputs)
        else:
            answer = _answer(spec, Bert(spec.model.config, constants, spec.dtype), inputs)
            width = int(answer.shape[-1])
        answer = tf.identity(answer, OUTPUT_NAME)
    return graph, width, str(answer.dtype.name)


def _answer_by_size(spec: GraphSpec, constants: Constants, inputs: Inputs) -> tuple[Tensor, int]:
    """The answer of one of two encoders, chosen by the number of tokens, and its width.

    Both share the constants and run in one executor, so each weight exists once, except for the layouts that kernels
    make of it. Two sessions or two fetches would each have their own constants.
    """
    bound = tf.constant(SMALL_BATCH, name=BOUND_NAME)
    small, large = inputs.by_size(bound)
    config, dtype = spec.model.config, spec.dtype
    with tf.name_scope('small'):
        few = _answer(spec, Bert(config, constants, dtype), small, is_small=True)
    with tf.name_scope('large'):
        many = _answer(spec, Bert(config, constants, dtype, onednn=can_fuse_layer_norm(dtype)), large)
    return tf.raw_ops.Merge(inputs=[few, many]).output, int(many.shape[-1])


def _answer(spec: GraphSpec, bert: Bert, inputs: Inputs, *, is_small: bool = False) -> Tensor:
    # With few tokens the time goes into the weights, which one position needs as much as all.
    position = None if is_small else only_position(spec.strategy, inputs.mask)  # [B]
    layers = bert.encode(inputs, spec.depth, spec.position_embeddings, position)
    with tf.name_scope('pooling'):
        answer = pool(spec.strategy, layers, spec.layers, inputs, bert, position)
        if spec.fp16:
            answer = tf.cast(tf.clip_by_value(answer, -FLOAT16_MAX, FLOAT16_MAX), tf.float16)
    return answer


def _check_size(spec: GraphSpec, shapes: dict[str, Shape]) -> None:
    """Reject a graph that would be too large, before gigabytes are read."""
    item = spec.dtype.size
    size = sum(item * math.prod(shape) for shape in shapes.values()) + _ROOM_FOR_OPS
    if size > _LARGEST_GRAPH:
        raise ModelError(
            'the graph of %s would be %.2f GiB, but a TensorFlow graph cannot exceed 2 GiB: pool a lower layer, or '
            'use a smaller model' % (spec.model.weights, size / 2**30)
        )
