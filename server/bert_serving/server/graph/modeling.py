"""Build BERT from TensorFlow ops over constants: tokens in, the hidden states of the encoder layers out.

Runs in the exporter. There are no variables, training ops or dropout: every weight is a constant of the graph, so the
graph is served exactly as built, and freezing it means serializing it. The encoder can be built several times over the
same constants, once for each size class of batches.

Between the layers all tensors are flat, [B*T, H]: the graph optimizer fuses MatMul + BiasAdd + GELU, and
MatMul + BiasAdd + residual Add, only where these ops follow each other on matrices. The constants are prepared in NumPy
(query, key and value side by side in one kernel), so that the optimizer has nothing to fold.

Dimensions, as in the comments at the ends of lines:

    B  rows of the batch            H  hidden units, N * D        V  words of the vocabulary
    T  tokens of a row, padded      N  attention heads            P  positions
    Q  tokens that ask (= T)        D  units of one head          S  segment types
    K  tokens asked (= T)           F  feed-forward units
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model.config import EncoderConfig
from .checkpoint import Array, Variables
from .layer_norm import fused_layer_norm, plain_layer_norm
from .tf import tf, tf1

Tensor = Any

INPUT_NAMES = ('input_ids', 'input_mask', 'input_type_ids')
OUTPUT_NAME = 'final_encodes'
POSITIONS = 'embeddings/position_embeddings'
BOUND_NAME = 'size_class/bound'
FLOAT16_MAX = 65504.0

_MASKED = -10000


def gelu(x: Tensor) -> Tensor:
    """The Gaussian error linear unit as the paper defines it, in the order of ops that the optimizer fuses."""
    return 0.5 * (tf.math.erf(x * math.sqrt(0.5)) + 1.0) * x


def gelu_tanh(x: Tensor) -> Tensor:
    """The tanh approximation of GELU, with which some models were trained."""
    return 0.5 * x * (1.0 + tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    'gelu': gelu,
    'gelu_tanh': gelu_tanh,
    'relu': tf.nn.relu,
    'relu2': lambda x: tf.square(tf.nn.relu(x)),
    'relu6': tf.nn.relu6,
    'leaky_relu': lambda x: tf.nn.leaky_relu(x, 0.01),
    'sigmoid': tf.sigmoid,
    'hardswish': lambda x: x * tf.nn.relu6(x + 3) / 6,
    'mish': lambda x: x * tf.tanh(tf.math.softplus(x)),
    'tanh': tf.tanh,
    'linear': lambda x: x,
    'silu': tf.nn.silu,
}


@dataclass(frozen=True)
class Inputs:
    """The arrays that a worker feeds, int32 [B, T]. The mask is 1 for a token that counts and 0 for padding."""

    ids: Tensor
    mask: Tensor
    type_ids: Tensor
    rows: Tensor
    """B, a scalar that is known only when the graph runs."""
    tokens: Tensor
    """T, likewise."""

    @classmethod
    def placeholders(cls) -> Inputs:
        return cls._of(*(tf1.placeholder(tf.int32, (None, None), name) for name in INPUT_NAMES))

    def by_size(self, bound: int | Tensor) -> tuple[Inputs, Inputs]:
        """The same inputs twice: for batches of at most `bound` tokens, B*T, and for larger ones.

        In each batch one of the two is dead, and so is everything that is computed from it alone.
        """
        is_small = tf.size(self.ids) <= bound
        sides = [tf.raw_ops.Switch(data=x, pred=is_small) for x in (self.ids, self.mask, self.type_ids)]
        return self._of(*(side.output_true for side in sides)), self._of(*(side.output_false for side in sides))

    @classmethod
    def _of(cls, ids: Tensor, mask: Tensor, type_ids: Tensor) -> Inputs:
        rows, tokens = tf.unstack(tf.shape(ids))
        return cls(ids, mask, type_ids, rows, tokens)


class Constants:
    """The variables of a model as constants of the current graph; each is created once and cached."""

    def __init__(self, variables: Variables, on_made: Callable[[int], None] = lambda _: None) -> None:
        """`on_made` is called with the size of each constant in bytes."""
        self._variables = variables
        self._on_made = on_made
        self._made: dict[tuple[str, Any], Tensor] = {}

    def get(self, name: str, dtype: Any = tf.float32, make: Callable[[Variables], Array] | None = None) -> Tensor:
        """The variable `name`, or the result of `make(variables)`, as a constant of that name and type.

        The cast happens here, once, not in every batch; values are clipped to the range of float16.
        """
        if (name, dtype) not in self._made:
            values = make(self._variables) if make else self._variables[name]
            if dtype == tf.float16:
                values = np.clip(values, -FLOAT16_MAX, FLOAT16_MAX)
            with tf1.name_scope(None):
                values = values.astype(dtype.as_numpy_dtype, copy=False)
                self._made[name, dtype] = tf.constant(values, name=name)
            self._on_made(values.nbytes)
        return self._made[name, dtype]


class Bert:
    """Builds the ops of one BERT in the current graph.

    With `dtype` float16, the kernels and their products are float16, which is fast on a GPU. Sums over many numbers
    (LayerNorm, softmax, the residual stream) stay float32, and the operands and results of products are clipped to the
    range of float16. Thus no infinity or NaN arises, however large the weights are.

    With `dtype` bfloat16, which has the range of float32, the residual stream is bfloat16 too. Its sums can then be
    fused into the preceding products, and nothing is cast between the layers. LayerNorm and softmax are computed in
    float32, by explicit casts or inside the kernels of oneDNN.

    `onednn` is for large batches on a CPU: it uses kernels that only oneDNN has.
    """

    def __init__(
        self, config: EncoderConfig, constants: Constants, dtype: Any = tf.float32, *, onednn: bool = False
    ) -> None:
        self._config = config
        self._constants = constants
        self._dtype = dtype
        self._stream_dtype = tf.bfloat16 if dtype == tf.bfloat16 else tf.float32
        self._softmax_dtype = self._stream_dtype if onednn else tf.float32
        self._onednn = onednn

    def encode(
        self, inputs: Inputs, depth: int, position_embeddings: bool = True, position: Tensor | None = None
    ) -> list[Tensor]:
        """The outputs of the `depth` lowest layers, each float32 [B*T, H].

        With `position`, [B], the highest layer is computed only for that position of each row, and is [B, H].
        """
        with tf.name_scope('embeddings'):
            x = self._embed(inputs, position_embeddings)  # [B*T, H]
        with tf.name_scope('attention_bias'):
            bias = attention_bias(inputs.mask, self._softmax_dtype)  # [B, 1, 1, K]
        layers = []
        for index in range(depth):
            layer = 'encoder/layer_%d' % index
            with tf.name_scope(layer):
                asked = position if index == depth - 1 else None
                x = self._attend(layer + '/attention', x, bias, inputs, asked)  # [B*T, H] or [B, H]
                x = self._feed_forward(layer, x)  # the same
            layers.append(tf.cast(x, tf.float32))
        return layers

    def unflatten(self, x: Tensor, inputs: Inputs) -> Tensor:
        """Reshape [B*T, any width] to [B, T, any width]."""
        return tf.reshape(x, [inputs.rows, inputs.tokens, x.shape[-1]])

    def at(self, position: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        """Select one position of each row: from [B*T, any width] to [B, that width]."""
        return tf.gather(self.unflatten(x, inputs), position, axis=1, batch_dims=1)

    def pool(self, first: Tensor) -> Tensor:
        """The pooler of pre-training: a dense layer with tanh over [CLS]. From [B, H] to [B, H], all float32."""
        with tf.name_scope('pooler'):
            kernel, bias = self._constants.get('pooler/dense/kernel'), self._constants.get('pooler/dense/bias')
            return tf.tanh(tf.nn.bias_add(tf.matmul(first, kernel), bias))  # [B, H]

    def logits(self, pooled: Tensor) -> Tensor:
        """The head that fine-tuning put on the pooler: from [B, H] to [B, number of labels], all float32."""
        with tf.name_scope('head'):
            weights, bias = self._constants.get('output_weights'), self._constants.get('output_bias')
            return tf.nn.bias_add(tf.matmul(pooled, weights, transpose_b=True), bias)  # [B, number of labels]

    def _embed(self, inputs: Inputs, position_embeddings: bool) -> Tensor:
        config = self._config
        words = self._constants.get('embeddings/word_embeddings', self._dtype)  # [V, H]
        words = tf.cast(tf.gather(words, inputs.ids), tf.float32)  # [B, T, H]
        # As in the original, a product with one-hot rows: it is faster than a gather from so small a table, and a type
        # that the model lacks (for the second text of a pair) adds nothing instead of failing the batch.
        types = tf.one_hot(inputs.type_ids, config.type_vocab_size)  # [B, T, S]
        types = tf.reshape(types, [-1, config.type_vocab_size])  # [B*T, S]
        segments = tf.matmul(types, self._constants.get('embeddings/token_type_embeddings'))  # [B*T, H]
        x = words + self.unflatten(segments, inputs)  # [B, T, H]
        if position_embeddings:
            positions = self._constants.get(POSITIONS)  # [P, H]
            x += positions[: inputs.tokens]  # [B, T, H]
        x = tf.cast(tf.reshape(x, [-1, config.hidden_size]), self._stream_dtype)  # [B*T, H]
        return self._layer_norm('embeddings/LayerNorm', x)  # [B*T, H]

    def _attend(self, name: str, x: Tensor, bias: Tensor, inputs: Inputs, position: Tensor | None) -> Tensor:
        if position is None:
            query, key, value = self._heads(name + '/self', ('query', 'key', 'value'), x, inputs)  # 3 * [B, N, T, D]
        else:
            key, value = self._heads(name + '/self', ('key', 'value'), x, inputs)  # 2 * [B, N, T, D]
            x = self.at(position, x, inputs)  # [B, H]: from here on, 1 instead of T and Q
            (query,) = self._heads(name + '/self', ('query',), x, inputs)  # [B, N, 1, D]
        scores = self._clipped(tf.matmul(query, key, transpose_b=True))  # [B, N, Q, K]
        weights = tf.nn.softmax(tf.cast(scores, self._softmax_dtype) + bias)  # [B, N, Q, K]
        context = tf.matmul(tf.cast(weights, self._dtype), value)  # [B, N, Q, D]
        # The shape of x, not [-1, H]: otherwise the optimizer does not know that the sum below adds equal shapes.
        context = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), tf.shape(x))  # [B*T, H]
        x = tf.cast(self._dense(name + '/output/dense', context), self._stream_dtype) + x  # [B*T, H]
        return self._layer_norm(name + '/output/LayerNorm', x)  # [B*T, H]

    def _feed_forward(self, name: str, x: Tensor) -> Tensor:
        activation = ACTIVATIONS[self._config.hidden_act]
        inner = activation(self._dense(name + '/intermediate/dense', x))  # [B*T, F]
        x = tf.cast(self._dense(name + '/output/dense', inner), self._stream_dtype) + x  # [B*T, H]
        return self._layer_norm(name + '/output/LayerNorm', x)  # [B*T, H]

    def _layer_norm(self, name: str, x: Tensor) -> Tensor:
        epsilon, dtype = self._config.layer_norm_eps, x.dtype
        if self._onednn:
            gamma, beta = (self._constants.get(name + part, dtype) for part in ('/gamma', '/beta'))
            return fused_layer_norm(x, gamma, beta, epsilon)  # [B*T, H]
        gamma, beta = (self._constants.get(name + part) for part in ('/gamma', '/beta'))
        return tf.cast(plain_layer_norm(tf.cast(x, tf.float32), gamma, beta, epsilon), dtype)  # [B*T, H]

    def _heads(self, name: str, parts: tuple[str, ...], x: Tensor, inputs: Inputs) -> list[Tensor]:
        """Projections of [B*T, H], each [B, N, T, D], by one product with all their kernels side by side.

        The query is divided by the root of D in the constants, once, instead of the scores in every batch.
        """
        heads, head_size, count = self._config.num_attention_heads, self._config.head_size, len(parts)

        def side_by_side(what: str) -> Callable[[Variables], Array]:
            scales = {'query': np.float32(1 / math.sqrt(head_size))}
            return lambda variables: np.concatenate(
                [variables['%s/%s%s' % (name, part, what)] * scales.get(part, np.float32(1)) for part in parts], -1
            )

        joined = '%s/%s' % (name, '_'.join(parts))
        kernel = self._constants.get(joined + '/kernel', self._dtype, side_by_side('/kernel'))  # [H, count*H]
        bias = self._constants.get(joined + '/bias', self._dtype, side_by_side('/bias'))  # [count*H]
        product = self._product(x, kernel, bias)  # [B*T, count*H]
        product = tf.reshape(product, [inputs.rows, -1, count, heads, head_size])  # [B, T, count, N, D]
        projections: list[Tensor] = tf.unstack(tf.transpose(product, [2, 0, 3, 1, 4]))  # count * [B, N, T, D]
        return projections

    def _dense(self, name: str, x: Tensor) -> Tensor:
        kernel, bias = (self._constants.get(name + part, self._dtype) for part in ('/kernel', '/bias'))
        return self._product(x, kernel, bias)

    def _product(self, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        """A matrix of any type times the kernel, plus the bias, computed in `dtype`."""
        product = tf.matmul(tf.cast(self._clipped(x), self._dtype), kernel)
        return self._clipped(tf.nn.bias_add(product, bias))

    def _clipped(self, x: Tensor) -> Tensor:
        return tf.clip_by_value(x, -FLOAT16_MAX, FLOAT16_MAX) if self._dtype == tf.float16 else x


def attention_bias(mask: Tensor, dtype: Any = tf.float32) -> Tensor:
    """The bias of the attention scores: 0 where the key counts, -10000 where it is masked.

    If all keys of a row are masked, the softmax cancels the bias, but in a bfloat16 the scores would lose their digits:
    there, the bias of such a row is 0.
    """
    if dtype == tf.bfloat16:
        mask = tf.maximum(mask, 1 - tf.reduce_max(mask, 1, keepdims=True))  # [B, K]
    return tf.cast((1 - mask)[:, tf.newaxis, tf.newaxis, :] * _MASKED, dtype)  # [B, 1, 1, K]
