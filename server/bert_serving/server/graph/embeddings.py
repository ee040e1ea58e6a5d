"""The embeddings of words, segment types and positions, their norm, and a projection to the states."""

from __future__ import annotations

from .checkpoint import POSITIONS, WORDS
from .inputs import Inputs, Tensor
from .ops import Ops
from .tf import tf


def embed(ops: Ops, inputs: Inputs, position_embeddings: bool) -> Tensor:
    """The states that enter the first layer, [R, H]; the dimensions are those of `inputs.py`."""
    config, constants = ops.config, ops.constants
    words = inputs.words
    if words is None:
        words = tf.gather(constants.get(WORDS, ops.dtype), inputs.ids)
    x = tf.cast(words, tf.float32)  # [B, T, E]
    if config.type_vocab_size:
        # As in the original, a product with one-hot rows: it is faster than a gather from so small a table, and a type
        # that the model lacks (for the second text of a pair) adds nothing instead of failing the batch.
        types = tf.one_hot(inputs.type_ids, config.type_vocab_size)  # [B, T, S]
        types = tf.reshape(types, [-1, config.type_vocab_size])  # [B*T, S]
        segments = tf.matmul(types, constants.get('embeddings/token_type_embeddings'))  # [B*T, E]
        x += tf.reshape(segments, [inputs.rows, inputs.tokens, config.embedding_width])  # [B, T, E]
    if position_embeddings and config.has_position_embeddings:
        positions = constants.get(POSITIONS)  # [P, E]
        x += tf.gather(positions, _counted(ops, inputs)) if config.first_position else positions[: inputs.tokens]
    x = ops.to_stream(inputs.layout.flatten(x))  # [R, E]
    x = ops.layer_norm('embeddings/LayerNorm', x)  # [R, E]
    return ops.to_stream(ops.dense('embeddings/projection', x)) if config.embedding_size else x  # [R, H]


def _counted(ops: Ops, inputs: Inputs) -> Tensor:
    """The rows of the position table, [B, T], for a model whose positions skip padding.

    A padding token can be in the middle of a text that contains its name.
    """
    first = ops.config.first_position
    counts = tf.cast(tf.not_equal(inputs.ids, ops.config.pad_id), tf.int32)  # [B, T]
    return tf.cumsum(counts, 1) * counts + (first - 1)  # [B, T]
