"""Export the model in a folder as one file with the graph that every worker runs.

The exporter process calls it and then ends, which releases the memory of reading and building. So problems that only
the weights reveal (a missing head, a wrong shape) appear before any worker starts.

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
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..console.formatting import format_bytes, format_count
from ..console.logs import timed
from ..console.progress import Meter, OnProgress, ignore_progress
from ..errors import ModelError
from ..options.engines import TENSORFLOW
from . import checkpoint
from .answers import answer, only_position
from .checkpoint import WORDS, Array, Weights
from .constants import FLOAT16_MAX, Constants, clip_to
from .encoder import Encoder
from .files import digest_of, words_path, write_graph
from .freezing import freeze
from .inputs import Inputs, Tensor
from .layer_norm import can_fuse_layer_norm
from .modules import load_modules
from .names import BOUND_NAME, MOST_TOKENS_NAME, OUTPUT_NAME, UNUSUAL_IDS_NAME
from .spec import LARGEST_WEIGHTS, GraphSpec
from .tf import tf

__all__ = ['GraphInfo', 'GraphSpec', 'build', 'export']

# The most tokens, B*T, of a batch that counts as small. A float32 product keeps one blocked layout of its weights, that
# of the first batch it sees, and reorders all weights for every batch that needs another: 9 ms instead of 4.5 for 12
# tokens of MiniLM-L6. oneDNN 3.7 with AVX-512 uses one layout from 7 to 80 tokens and another above (and below: the
# runtime pads such batches). Up to a few hundred tokens, LayerNorm in plain ops is faster than the fused one.
SMALL_BATCH = 80

# The number of tokens, one batch, that a worker tries first, because their embeddings have the largest numbers.
UNUSUAL_IDS = 128

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GraphInfo:
    """The result of an export."""

    path: str
    bytes: int
    """The size of the graph, and of the word embeddings if they are in a separate file."""
    sha256: str
    """The digest of the graph, in hexadecimal digits."""
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
    _check_size(spec)
    shapes, words = spec.variable_shapes(), words_path(path) if spec.has_words_apart else None
    parameters = checkpoint.count_parameters(shapes)
    with timed(logger, 'load checkpoint', variables=len(shapes), parameters=format_count(parameters)):
        weights, on_read = Weights(model, shapes), partial(on_progress, 'read the weights')
        names = [name for name in shapes if not (words and name == WORDS)]
        read = Meter(on_read, 4 * checkpoint.count_parameters({name: shapes[name] for name in names}))
        variables = checkpoint.read_variables(weights, names, read.count)
        variables.update(load_modules(spec.modules, spec.pooled_width))
    with timed(logger, 'build graph', layers='1-%d of %d' % (spec.depth, model.config.num_hidden_layers)):
        made = Meter(partial(on_progress, 'build the graph'), spec.constant_bytes())
        constants = Constants(variables, made.count, apart=True)
        words_in_parts = weights.read_rows(WORDS) if words else [variables[WORDS]]
        graph, width, dtype = build(spec, constants, find_unusual_rows(words_in_parts))
    del variables
    write = _write_frozen if spec.engine == TENSORFLOW else partial(_write_onnx, int8=spec.int8)
    size = _write_words(spec, weights, words, partial(on_progress, 'write the word embeddings')) if words else 0
    try:
        written, sha256 = write(graph, constants.arrays, path, on_progress)
    except BaseException:
        if words:
            os.unlink(words)
        raise
    return GraphInfo(path, size + written, sha256, width, dtype, time.monotonic() - started)


def _write_frozen(graph: Any, arrays: dict[str, Array], path: str, on_progress: OnProgress) -> tuple[int, str]:
    """Write the graph with `arrays` for TensorFlow, and return its size and digest. `arrays` is empty afterwards."""
    with timed(logger, 'freeze') as facts:
        on_progress('freeze the graph', 0, 0)
        frozen = freeze(graph, arrays)
        size = sum(map(len, frozen))
        facts['size'] = format_bytes(size)
    with timed(logger, 'write graph to: %s' % path, bytes=size):
        write_graph(path, frozen, size, partial(on_progress, 'write the graph'))
    return size, digest_of(frozen)


def _write_onnx(
    graph: Any, arrays: dict[str, Array], path: str, on_progress: OnProgress, *, int8: bool
) -> tuple[int, str]:
    """Write the graph with `arrays` for ONNX Runtime in two files, and return their size and the digest."""
    with timed(logger, 'load ONNX Runtime'):
        from .onnx.saving import save  # an optional package

    return save(graph, arrays, path, on_progress, int8=int8)


def _write_words(spec: GraphSpec, weights: Weights, path: str, on_written: Callable[[int, int], None]) -> int:
    """Write the word embeddings to a separate file, which workers map, and return its size."""
    dtype = spec.dtype.as_numpy_dtype
    size = int(spec.dtype.size) * math.prod(spec.variable_shapes()[WORDS])
    with timed(logger, 'write word embeddings to: %s' % path, bytes=size):
        rows = (clip_to(spec.dtype, part).astype(dtype, copy=False) for part in weights.read_rows(WORDS))
        write_graph(path, (np.ascontiguousarray(part).view(np.uint8) for part in rows), size, on_written)
    return size


def find_unusual_rows(table: Iterable[Array]) -> list[int]:
    """Return the indexes of the rows with the largest numbers in a table that comes in parts, largest first."""
    largest = np.concatenate([np.maximum(part.max(axis=1), -part.min(axis=1)) for part in table])
    rows: list[int] = np.argsort(-largest, kind='stable')[:UNUSUAL_IDS].tolist()
    return rows


def build(spec: GraphSpec, constants: Constants, unusual_ids: Sequence[int] = ()) -> tuple[Any, int, str]:
    """Build the graph. Return it with the width and type of its answer. It stores `unusual_ids` for the first run."""
    graph = tf.Graph()
    with graph.as_default():
        words = (spec.model.config.embedding_width, spec.dtype) if spec.has_words_apart else None
        inputs = Inputs.placeholders(has_pooling_mask=spec.has_pooling_mask, words=words, packs=spec.packs)
        tf.constant(spec.most_tokens, name=MOST_TOKENS_NAME)
        tf.constant(unusual_ids, tf.int32, (len(unusual_ids),), name=UNUSUAL_IDS_NAME)
        if spec.on_cpu and spec.engine == TENSORFLOW:
            answer, width = _answer_by_size(spec, constants, inputs)
        else:
            answer = _answer(spec, Encoder(spec.model.config, constants, spec.dtype), inputs)
            width = int(answer.shape[-1])
        answer = tf.identity(answer, OUTPUT_NAME)
    return graph, width, str(answer.dtype.name)


def _answer_by_size(spec: GraphSpec, constants: Constants, inputs: Inputs) -> tuple[Tensor, int]:
    """The answer of one of two encoders, chosen by the number of tokens, and the answer's width.

    Both share the constants and run in one executor, so each weight exists once, except for the layouts that kernels
    make of it. Two sessions or two fetches would each have their own constants.
    """
    bound = tf.constant(SMALL_BATCH, name=BOUND_NAME)
    small, large = inputs.by_size(bound)
    config, dtype = spec.model.config, spec.dtype
    with tf.name_scope('small'):
        few = _answer(spec, Encoder(config, constants, dtype), small, is_small=True)
    with tf.name_scope('large'):
        many = _answer(spec, Encoder(config, constants, dtype, onednn=can_fuse_layer_norm(dtype)), large)
    return tf.raw_ops.Merge(inputs=[few, many]).output, int(many.shape[-1])


def _answer(spec: GraphSpec, encoder: Encoder, inputs: Inputs, *, is_small: bool = False) -> Tensor:
    # With few tokens the time goes into the weights, which one position needs as much as all.
    position = None if is_small else only_position(spec, inputs)  # [B]
    layers = encoder.encode(inputs, spec.depth, spec.position_embeddings, position, is_small=is_small)
    with tf.name_scope('pooling'):
        x = answer(spec, encoder, layers, inputs, position)
        if spec.fp16:
            x = tf.cast(tf.clip_by_value(x, -FLOAT16_MAX, FLOAT16_MAX), tf.float16)
    return x


def _check_size(spec: GraphSpec) -> None:
    """Reject a graph that would be too large, before gigabytes are read."""
    size = spec.constant_bytes()
    if size > LARGEST_WEIGHTS:
        raise ModelError(
            'the graph of %s would be %.2f GiB, but a TensorFlow graph cannot exceed 2 GiB: pool a lower layer, or '
            'use a smaller model' % (spec.model.weights, size / 2**30)
        )
