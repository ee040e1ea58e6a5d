"""From a model folder to one file with the graph that every worker runs.

Called by the exporter's process, which ends after it: the memory that reading and building take is given back, and
what only the weights can tell (a head that is missing, a shape that does not fit) is known before any worker starts.

The graph has the inputs `input_ids`, `input_mask` and `input_type_ids`, int32 [B, T], and the output
`final_encodes`. Freezing is building: the weights are constants from the start. Only what the answer needs is built
and the constants come prepared, so that pruning and folding have nothing left to do here. Fusing is left to the
session that runs the graph (`runtime.py`): TensorFlow has no public function that runs its optimiser alone, and
which kernels can be fused is a question to the device of the worker, not to that of the exporter.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from bert_serving.server.errors import ModelError, StartError
from bert_serving.server.graph import checkpoint
from bert_serving.server.graph.checkpoint import Shape, Variables
from bert_serving.server.graph.modeling import FLOAT16_MAX, Bert, Inputs
from bert_serving.server.graph.pooling_ops import pool
from bert_serving.server.graph.tf import tf
from bert_serving.server.model_dir import Model
from bert_serving.server.pooling import PoolingStrategy

OUTPUT_NAME = 'final_encodes'

# A protobuf message can not be longer, and a graph is one message; its ops take some of that beside the weights.
_LARGEST_GRAPH = 2**31 - 1
_ROOM_FOR_OPS = 2**24

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GraphSpec:
    """All that a graph depends on. It travels to the exporter's process as JSON."""

    model: Model
    layers: tuple[int, ...]
    """The encoder layers to pool, from `resolve_layers`; not looked at by the strategies that use the pooler."""
    strategy: PoolingStrategy = PoolingStrategy.REDUCE_MEAN
    position_embeddings: bool = True
    num_labels: int = 2
    fp16: bool = False
    """Whether the answers are float16."""
    on_gpu: bool = False
    """Whether only GPUs run it. Then `fp16` also computes in float16, for which a CPU would be slower instead."""

    @property
    def depth(self) -> int:
        """How many layers must be built."""
        return self.model.config.num_hidden_layers if self.strategy.uses_pooler else max(self.layers) + 1

    @property
    def labels(self) -> int:
        """The width of the head, or 0 without one; that of a regression is always 1."""
        if not self.strategy.uses_head:
            return 0
        return 1 if self.strategy is PoolingStrategy.REGRESSION else self.num_labels

    @property
    def computes_in_float16(self) -> bool:
        return self.fp16 and self.on_gpu

    def variable_shapes(self) -> dict[str, Shape]:
        return checkpoint.variable_shapes(
            self.model.config,
            depth=self.depth,
            position_embeddings=self.position_embeddings,
            pooler=self.strategy.uses_pooler,
            num_labels=self.labels,
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), 'strategy': self.strategy.name, 'layers': list(self.layers)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> GraphSpec:
        return replace(
            cls(**values),
            model=Model.from_json(values['model']),
            layers=tuple(values['layers']),
            strategy=PoolingStrategy[values['strategy']],
        )


@dataclass(frozen=True)
class GraphInfo:
    """What came of an export."""

    path: str
    bytes: int
    width: int
    """The size of the last axis of the answers."""
    dtype: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> GraphInfo:
        return cls(**values)


def export(spec: GraphSpec, path: str, log: logging.Logger = _log) -> GraphInfo:
    """Build the graph of `spec` and write it to `path`, all of it or nothing."""
    started = time.monotonic()
    model = spec.model
    log.info('model config: %s', model.config_path)
    log.info('checkpoint%s: %s', ' (override by the fine-tuned model)' if model.tuned else '', model.weights)
    shapes = spec.variable_shapes()
    _check_size(spec, shapes)
    with _timed(log, 'load checkpoint', variables=len(shapes)):
        variables = checkpoint.load_variables(model, shapes)
    with _timed(log, 'build graph', layers='%d/%d' % (spec.depth, model.config.num_hidden_layers)):
        graph, width, dtype = build(spec, variables)
    del variables
    with _timed(log, 'freeze'):
        frozen = graph.as_graph_def().SerializeToString(deterministic=True)
    with _timed(log, 'write graph to: %s' % path, bytes=len(frozen)):
        _write_atomically(path, frozen)
    return GraphInfo(path, len(frozen), width, dtype, time.monotonic() - started)


def build(spec: GraphSpec, variables: Variables) -> tuple[Any, int, str]:
    """The graph, the width of its answer and the type of that."""
    graph = tf.Graph()
    with graph.as_default():
        inputs = Inputs.placeholders()
        bert = Bert(spec.model.config, variables, tf.float16 if spec.computes_in_float16 else tf.float32)
        layers = bert.encode(inputs, spec.depth, spec.position_embeddings)
        with tf.name_scope('pooling'):
            answer = pool(spec.strategy, layers, spec.layers, inputs, bert)
            if spec.fp16:
                answer = tf.cast(tf.clip_by_value(answer, -FLOAT16_MAX, FLOAT16_MAX), tf.float16)
        answer = tf.identity(answer, OUTPUT_NAME)
    return graph, int(answer.shape[-1]), str(answer.dtype.name)


def _check_size(spec: GraphSpec, shapes: dict[str, Shape]) -> None:
    """Refuse what would not fit, before its gigabytes are read."""
    item = 2 if spec.computes_in_float16 else 4
    size = sum(item * math.prod(shape) for shape in shapes.values()) + _ROOM_FOR_OPS
    if size > _LARGEST_GRAPH:
        raise ModelError(
            'the graph of %s would be %.2f GiB, but a TensorFlow graph can not exceed 2 GiB: pool a lower layer, or '
            'take a smaller model' % (spec.model.weights, size / 2**30)
        )


def _write_atomically(path: str, data: bytes) -> None:
    """So that no reader ever sees half a graph, and none is left behind when the disk is full."""
    temporary = '%s.%d.part' % (path, os.getpid())
    try:
        try:
            with open(temporary, 'wb') as file:
                file.write(data)
            os.replace(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as error:
        raise StartError('the graph can not be written to %s: %s' % (path, error.strerror)) from error


@contextmanager
def _timed(log: logging.Logger, step: str, **facts: object) -> Iterator[None]:
    started = time.monotonic()
    yield
    facts['seconds'] = '%.2f' % (time.monotonic() - started)
    log.info('%s (%s)', step, ' '.join('%s=%s' % fact for fact in facts.items()))
