"""The attention half of a layer, with its rotary positions, windows and relative positions.

The kernels of query, key and value are side by side in one constant. The query is divided by the root of D there, once,
instead of the scores in every batch. Dimensions are those of `inputs.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..model.config import Rotary
from .checkpoint import Array, Variables
from .inputs import Inputs, Tensor
from .layout import Layout, Padded
from .ops import Ops
from .positions import rotary_tables
from .relative import RelativeScores, relative_bias
from .tf import tf

LONG = 1024
"""The maximum row length for computing all scores at once. For longer rows, the graph computes `CHUNK` queries at a
time, because the scores of 8,192 tokens would take 3 GB in a model with 12 heads."""

CHUNK = 256

_MASKED = -10000.0


class Attention:
    """The attention of all layers of an encoder. Terms of the scores that several layers share are computed once."""

    def __init__(self, ops: Ops, inputs: Inputs, *, is_small: bool = False, is_bounded: bool = True) -> None:
        """Prepare what all layers need.

        `is_small` means that no batch has a long row, and `is_bounded` that no row has more tokens than the model has
        positions.
        """
        self._ops = ops
        self._config = config = ops.config
        self._inputs = inputs
        self._one_each = Padded(inputs.rows, 1)
        # Relative positions are not computed in chunks: `check_max_seq_len` bounds the rows of models that have them.
        is_relative = config.relative_bias or config.disentangled
        is_short = is_small or (is_bounded and config.max_position_embeddings <= LONG)
        self._may_be_long = not (is_relative or is_short)
        self._relative = RelativeScores(ops, inputs, config.disentangled, self._scaled) if config.disentangled else None
        self._rotations: dict[Rotary, Tensor] = {}
        with tf.name_scope('attention_bias'):
            self._mask_bias = attention_bias(inputs.mask, ops.softmax_dtype)  # [B, 1, 1, K]
            bias = self._mask_bias
            if config.relative_bias:
                bias += relative_bias(ops, inputs, config.relative_bias)  # [B, N, Q, K]
            self._biases = {window: self._windowed(bias, window) for window in sorted({0, *config.windows})}

    def attend(self, index: int, x: Tensor, position: Tensor | None = None) -> Tensor:
        """From [R, H] to [R, H] with the weights of layer `index`, without norm and residual.

        With `position`, [B], only that position of each row is computed: [B, H].
        """
        name = 'encoder/layer_%d/attention' % self._config.group(index)
        layout = self._inputs.layout
        if position is None:
            asks = x  # [R, H]
            query, key, value = self._heads(name + '/self', ('query', 'key', 'value'), x)  # 3 * [B, N, T, D]
        else:
            key, value = self._heads(name + '/self', ('key', 'value'), x)  # 2 * [B, N, T, D]
            layout, asks = self._one_each, layout.at(position, x)  # [B, H]: from here on, 1 instead of T and Q
            (query,) = self._heads(name + '/self', ('query',), asks, self._one_each)  # [B, N, 1, D]
        rotary = self._config.rotary_of(index)
        if rotary:
            query, key = self._rotated(query, rotary, position), self._rotated(key, rotary)
        context = self._weighted_values(index, name, query, key, value, position)  # [B, N, Q, D]
        context = layout.join_heads(context, asks)  # [R, H]
        return self._ops.dense(name + '/output/dense', context, self._config.biases.attention_out)  # [R, H]

    def _heads(self, name: str, parts: tuple[str, ...], x: Tensor, layout: Layout | None = None) -> list[Tensor]:
        """Projections of [R, H], each [B, N, T, D], by one product with all their kernels side by side."""
        heads, head_size, count = self._config.num_attention_heads, self._config.head_size, len(parts)

        def side_by_side(leaf: str) -> Callable[[Variables], Array]:
            return lambda variables: np.concatenate([self._scaled(variables, name, part, leaf) for part in parts], -1)

        joined = '%s/%s' % (name, '_'.join(parts))
        kernel = self._ops.constants.get(joined + '/kernel', self._ops.dtype, side_by_side('kernel'))  # [H, count*H]
        bias = None
        if self._config.biases.attention_in:
            bias = self._ops.constants.get(joined + '/bias', self._ops.dtype, side_by_side('bias'))  # [count*H]
        product = self._ops.product(x, kernel, bias)  # [R, count*H]
        return (layout or self._inputs.layout).split_heads(product, count, heads, head_size)

    def _scaled(self, variables: Variables, name: str, part: str, leaf: str) -> Array:
        """The kernel or bias of a projection. For the query it is scaled, which scales the scores."""
        values = variables['%s/%s/%s' % (name, part, leaf)]
        if part not in ('query', 'position_query'):
            return values
        terms = self._config.disentangled.terms if self._config.disentangled else 1
        return values * np.float32(1 / math.sqrt(self._config.head_size * terms))

    def _weighted_values(
        self, index: int, name: str, query: Tensor, key: Tensor, value: Tensor, position: Tensor | None
    ) -> Tensor:
        """The values weighted by the scores of a layer, [B, N, Q, D]."""
        window = self._config.window(index)
        bias = self._biases[window]  # [B, 1 or N, 1 or Q, K]
        if self._relative:
            return self._context(query, key, value, bias + self._relative.of(name + '/self', query, key))
        if position is not None:
            # One query per row needs little memory for any length.
            return self._context(query, key, value, self._at(position, window))
        if not self._may_be_long:
            return self._context(query, key, value, bias)
        return tf.cond(
            self._inputs.tokens > LONG,
            lambda: self._in_chunks(query, key, value, window),
            lambda: self._context(query, key, value, bias),
        )

    def _context(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """The values weighted by the scores plus `bias`, [B, 1 or N, 1 or Q, K]: [B, N, Q, D]."""
        ops = self._ops
        scores = ops.clipped(tf.matmul(query, key, transpose_b=True))  # [B, N, Q, K]
        weights = tf.nn.softmax(tf.cast(scores, ops.softmax_dtype) + bias)  # [B, N, Q, K]
        return tf.matmul(tf.cast(weights, ops.dtype), value)

    def _in_chunks(self, query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor:
        """Compute the context for `CHUNK` queries at a time. With a window, use only the keys in any query's window."""
        tokens, (heads, size) = self._inputs.tokens, (self._config.num_attention_heads, self._config.head_size)
        count = -(-tokens // CHUNK)

        def chunk(index: Tensor) -> Tensor:
            start, end = index * CHUNK, tf.minimum((index + 1) * CHUNK, tokens)
            first, last = (tf.maximum(start - window, 0), tf.minimum(end + window, tokens)) if window else (0, tokens)
            bias = self._mask_bias[:, :, :, first:last]  # [B, 1, 1, keys]
            if window:
                bias += self._band(tf.range(start, end), tf.range(first, last), window)  # [B, 1, queries, keys]
            context = self._context(query[:, :, start:end], key[:, :, first:last], value[:, :, first:last], bias)
            return tf.pad(context, [[0, 0], [0, 0], [0, CHUNK - (end - start)], [0, 0]])  # [B, N, CHUNK, D]

        _, contexts = tf.while_loop(
            lambda index, _: index < count,
            lambda index, contexts: (index + 1, contexts.write(index, chunk(index))),
            (0, tf.TensorArray(query.dtype, count, element_shape=(None, heads, CHUNK, size))),
            parallel_iterations=1,
        )
        contexts = tf.transpose(contexts.stack(), [1, 2, 0, 3, 4])  # [B, N, count, CHUNK, D]
        return tf.reshape(contexts, [-1, heads, count * CHUNK, size])[:, :, :tokens]  # [B, N, T, D]

    def _windowed(self, bias: Tensor, window: int) -> Tensor:
        """The bias of the layers with this window. For long rows, `_in_chunks` adds the window."""
        if not window:
            return bias
        positions = tf.range(self._inputs.tokens)
        if not self._may_be_long:
            return bias + self._band(positions, positions, window)  # [B, 1, Q, K]
        return tf.cond(
            self._inputs.tokens > LONG, lambda: bias, lambda: bias + self._band(positions, positions, window)
        )

    def _at(self, position: Tensor, window: int) -> Tensor:
        """The bias of the scores of one query a row, [B, 1 or N, 1, K]."""
        if window:
            keys = tf.range(self._inputs.tokens)
            return self._mask_bias + self._band(position, keys, window)[:, tf.newaxis, tf.newaxis]  # [B, 1, 1, K]
        bias = self._biases[0]
        return tf.gather(bias, position[:, tf.newaxis], axis=2, batch_dims=1) if self._config.relative_bias else bias

    def _band(self, queries: Tensor, keys: Tensor, window: int) -> Tensor:
        """0 where a key is in the window of a query, and elsewhere the bias of a masked key, [Q, K]."""
        is_far = tf.abs(queries[:, tf.newaxis] - keys) > window
        return tf.cast(is_far, self._ops.softmax_dtype) * _MASKED

    def _rotated(self, x: Tensor, rotary: Rotary, position: Tensor | None = None) -> Tensor:
        """Rotate queries or keys, [B, N, T, D], by their positions; with one `position` a row, [B, N, 1, D].

        This uses float32 even if the products do not, because in bfloat16 a cosine has three digits, and near positions
        would be equal.
        """
        size = self._config.head_size
        tables = self._ops.constants.get(
            'rotary/%s' % ('global' if rotary == self._config.rotary else 'local'),
            tf.float32,
            lambda _: rotary_tables(rotary, self._config.max_position_embeddings, size),
        )  # [2, P, D]
        if position is not None:
            cosines, sines = tf.unstack(
                tf.gather(tables, position, axis=1)[:, :, tf.newaxis, tf.newaxis]
            )  # [B, 1, 1, D]
        else:
            if rotary not in self._rotations:
                self._rotations[rotary] = tf.unstack(tables[:, : self._inputs.tokens])  # 2 * [T, D]
            cosines, sines = self._rotations[rotary]
        wide = tf.cast(x, tf.float32)  # [B, N, T, D]
        first, second = tf.split(wide, 2, -1)  # 2 * [B, N, T, D / 2]
        return tf.cast(wide * cosines + tf.concat([second, first], -1) * sines, x.dtype)


def attention_bias(mask: Tensor, dtype: object = tf.float32) -> Tensor:
    """The bias of the attention scores: 0 where the key counts, -10000 where it is masked.

    If all keys of a row are masked, the softmax cancels the bias. But in bfloat16 the scores would lose digits, so the
    bias of such a row is 0.
    """
    if dtype == tf.bfloat16:
        mask = tf.maximum(mask, 1 - tf.reduce_max(mask, 1, keepdims=True))  # [B, K]
    return tf.cast((1 - mask)[:, tf.newaxis, tf.newaxis, :] * int(_MASKED), dtype)  # [B, 1, 1, K]
