"""Relative positions: terms of the attention scores that depend on the distance between query and key.

All scores on a diagonal have the same distance. So the terms are computed for the 2 * T distances of a batch, and a
reshape puts them on the diagonals (`along_diagonals`). Dimensions are those of `inputs.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..model.config import Disentangled, RelativeBias
from .checkpoint import Array, Variables
from .inputs import Inputs, Tensor
from .ops import Ops
from .positions import bias_buckets, disentangled_rows, distances
from .tf import tf


def along_diagonals(x: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
    """From values of distances, [any, N, T, 2*T], to values of pairs of tokens, [any, N, T, T].

    Element j of line i belongs to the token at distance j - (T - 1) from token i; the last element is ignored.
    """
    heads = x.shape[1]
    flat = tf.reshape(x, [rows, heads, 2 * tokens * tokens])
    lines = flat[:, :, tokens - 1 : tokens - 1 + tokens * (2 * tokens - 1)]
    return tf.reshape(lines, [rows, heads, tokens, 2 * tokens - 1])[:, :, :, :tokens]


def relative_bias(ops: Ops, inputs: Inputs, spec: RelativeBias) -> Tensor:
    """The bias of each head and distance, [1, N, Q, K]."""
    positions = ops.config.max_position_embeddings
    values = ops.constants.get(
        'encoder/relative_attention_bias/by_distance',
        ops.softmax_dtype,
        lambda variables: variables['encoder/relative_attention_bias'][bias_buckets(spec, distances(positions))].T,
    )  # [N, 2*P]
    heads, tokens = ops.config.num_attention_heads, inputs.tokens
    values = tf.reshape(values[:, positions - tokens : positions + tokens], [1, heads, 1, 2 * tokens])
    return along_diagonals(tf.tile(values, [1, 1, tokens, 1]), 1, tokens)


class RelativeScores:
    """Scores of contents with the embeddings of distances (DeBERTa).

    The projections of these embeddings do not depend on the batch, so they are constants.
    """

    def __init__(
        self,
        ops: Ops,
        inputs: Inputs,
        spec: Disentangled,
        scaled: Callable[[Variables, str, str, str], Array],
    ) -> None:
        """`scaled` returns the kernel or bias, its last argument, of a projection of a scope."""
        self._ops = ops
        self._inputs = inputs
        self._spec = spec
        self._scaled = scaled
        positions, tokens = ops.config.max_position_embeddings, inputs.tokens
        rows = disentangled_rows(spec, distances(positions))  # [2*P]: of the distances query - key, upwards
        with tf.name_scope('relative_positions'):
            by_key = tf.constant(np.append(rows[-2::-1], 0), tf.int32)  # [2*P]: of the distances key - query, upwards
            by_query = tf.constant(rows)
            self._by_key = by_key[positions - tokens : positions + tokens]  # [2*T]
            self._by_query = by_query[positions - tokens : positions + tokens]  # [2*T]

    def of(self, name: str, query: Tensor, key: Tensor) -> Tensor:
        """The terms of the scores of the layer whose projections are in the scope `name`, [B, N, Q, K]."""
        rows, tokens = self._inputs.rows, self._inputs.tokens
        terms = []
        if self._spec.content_to_position:
            keys = tf.gather(self._projected(name, 'key'), self._by_key, axis=1)  # [N, 2*T, D]
            scores = tf.matmul(query, keys, transpose_b=True)  # [B, N, Q, 2*T]
            terms.append(along_diagonals(scores, rows, tokens))
        if self._spec.position_to_content:
            queries = tf.gather(self._projected(name, 'query'), self._by_query, axis=1)  # [N, 2*T, D]
            scores = tf.matmul(key, queries, transpose_b=True)  # [B, N, K, 2*T]
            terms.append(tf.transpose(along_diagonals(scores, rows, tokens), [0, 1, 3, 2]))
        casts = [tf.cast(self._ops.clipped(term), self._ops.softmax_dtype) for term in terms]
        return tf.add_n(casts) if casts else tf.zeros([], self._ops.softmax_dtype)

    def _projected(self, name: str, kind: str) -> Tensor:
        """The projections of the embeddings of distances to keys or queries, [N, 2 * span, D]."""
        config = self._ops.config
        part = kind if self._spec.shares_projections else 'position_' + kind

        def make(variables: Variables) -> Array:
            kernel, bias = (self._scaled(variables, name, part, leaf) for leaf in ('kernel', 'bias'))
            projected: Array = self._embeddings(variables) @ kernel + bias  # [2 * span, H]
            return projected.reshape(-1, config.num_attention_heads, config.head_size).transpose(1, 0, 2)

        return self._ops.constants.get('%s/relative_%s' % (name, kind), self._ops.dtype, make)

    def _embeddings(self, variables: Variables) -> Array:
        """The embeddings of distances, [2 * span, H], after their LayerNorm if they have one."""
        x = variables['encoder/relative_embeddings']
        if not self._spec.has_norm:
            return x
        gamma, beta = (variables['encoder/relative_embeddings/LayerNorm/' + leaf] for leaf in ('gamma', 'beta'))
        deviation = np.sqrt(x.var(-1, keepdims=True) + np.float32(self._ops.config.layer_norm_eps))
        normed: Array = (x - x.mean(-1, keepdims=True)) / deviation * gamma + beta
        return normed
