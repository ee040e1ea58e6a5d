"""BERT as TensorFlow ops over constants: tokens in, the hidden states of the encoder layers out.

Runs in the exporter. There are no variables, no training ops and no dropout: every weight is a constant of the
graph, so what is built is what is served, and freezing it is writing it down.

Between the layers everything is flat, [B*T, H]: the graph optimiser fuses MatMul + BiasAdd + GELU, and MatMul +
BiasAdd + residual Add, where they stand next to each other in that order on matrices; and the constants are
prepared in NumPy (query, key and value side by side in one kernel), so that it finds nothing to fold.

Dimensions, as the comments at the end of the lines give them:

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

from bert_serving.server.bert_config import BertConfig
from bert_serving.server.graph.checkpoint import Array, Variables
from bert_serving.server.graph.tf import tf, tf1

Tensor = Any

INPUT_NAMES = ('input_ids', 'input_mask', 'input_type_ids')
POSITIONS = 'position_embeddings'
FLOAT16_MAX = 65504.0

_MASKED = -10000.0


def gelu(x: Tensor) -> Tensor:
    """The Gaussian error linear unit as the paper defines it, in the order of ops that the optimiser fuses."""
    return 0.5 * (tf.math.erf(x * math.sqrt(0.5)) + 1.0) * x


def gelu_tanh(x: Tensor) -> Tensor:
    """The approximation of GELU that some models were trained with."""
    return 0.5 * x * (1.0 + tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    'gelu': gelu,
    'gelu_tanh': gelu_tanh,
    'relu': tf.nn.relu,
    'tanh': tf.tanh,
    'linear': lambda x: x,
    'silu': tf.nn.silu,
}


@dataclass(frozen=True)
class Inputs:
    """What a worker feeds: int32, [B, T]. The mask is 1 for a token that counts and 0 for padding."""

    ids: Tensor
    mask: Tensor
    type_ids: Tensor
    rows: Tensor
    """B, a scalar that is known when the graph runs."""
    tokens: Tensor
    """T, likewise."""

    @classmethod
    def placeholders(cls) -> Inputs:
        ids, mask, type_ids = (tf1.placeholder(tf.int32, (None, None), name) for name in INPUT_NAMES)
        rows, tokens = tf.unstack(tf.shape(ids))
        return cls(ids, mask, type_ids, rows, tokens)


class Bert:
    """Builds the ops of one BERT in the current graph.

    With `dtype` float16, the kernels and their products are float16, which a GPU is fast at. Sums over many numbers
    (LayerNorm, softmax, the residual stream) stay float32, and what enters or leaves a product is clipped to the
    range of float16: so no infinity arises, and no NaN from it, however large the weights.
    """

    def __init__(self, config: BertConfig, variables: Variables, dtype: Any = tf.float32) -> None:
        self._config = config
        self._variables = variables
        self._dtype = dtype

    def encode(self, inputs: Inputs, depth: int, position_embeddings: bool = True) -> list[Tensor]:
        """The outputs of the `depth` lowest layers, each float32, [B*T, H]."""
        with tf.name_scope('embeddings'):
            x = self._embed(inputs, position_embeddings)  # [B*T, H]
        with tf.name_scope('attention_bias'):
            bias = attention_bias(inputs.mask)  # [B, 1, 1, K]
        layers = []
        for index in range(depth):
            layer = 'encoder/layer_%d' % index
            with tf.name_scope(layer):
                x = self._attend(layer + '/attention', x, bias, inputs)  # [B*T, H]
                x = self._feed_forward(layer, x)  # [B*T, H]
            layers.append(x)
        return layers

    def unflatten(self, x: Tensor, inputs: Inputs) -> Tensor:
        """[B*T, any width] as [B, T, any width]."""
        return tf.reshape(x, [inputs.rows, inputs.tokens, x.shape[-1]])

    def pool(self, last_layer: Tensor, inputs: Inputs) -> Tensor:
        """The pooler of pre-training: a dense layer with tanh over [CLS]. From [B*T, H] to [B, H]."""
        with tf.name_scope('pooler'):
            first = self.unflatten(last_layer, inputs)[:, 0]  # [B, H]
            return tf.tanh(self._dense('pooler/dense', first))  # [B, H]

    def logits(self, pooled: Tensor) -> Tensor:
        """The head that fine-tuning put on the pooler: from [B, H] to [B, number of labels]."""
        with tf.name_scope('head'):
            kernel, bias = self._variables['output_weights'].T, self._variables['output_bias']
            return tf.cast(self._product(pooled, kernel, bias), tf.float32)

    def _embed(self, inputs: Inputs, position_embeddings: bool) -> Tensor:
        config = self._config
        words = tf.gather(self._weights(self._variables['embeddings/word_embeddings']), inputs.ids)  # [B, T, H]
        # As in the original, a product with one-hot rows: faster than a gather from so small a table, and a type that
        # the model has not got (the second text of a pair, and one type only) adds nothing instead of failing a batch.
        types = tf.one_hot(inputs.type_ids, config.type_vocab_size)  # [B, T, S]
        types = tf.reshape(types, [-1, config.type_vocab_size])  # [B*T, S]
        segments = tf.matmul(types, self._variables['embeddings/token_type_embeddings'])  # [B*T, H]
        x = tf.cast(words, tf.float32) + self.unflatten(segments, inputs)  # [B, T, H]
        if position_embeddings:
            positions = tf.constant(self._variables['embeddings/position_embeddings'], name=POSITIONS)  # [P, H]
            x += positions[: inputs.tokens]  # [B, T, H]
        x = tf.reshape(x, [-1, config.hidden_size])  # [B*T, H]
        return self._layer_norm('embeddings/LayerNorm', x)  # [B*T, H]

    def _attend(self, name: str, x: Tensor, bias: Tensor, inputs: Inputs) -> Tensor:
        heads, head_size = self._config.num_attention_heads, self._config.head_size
        qkv = self._product(x, *self._query_key_value(name + '/self'))  # [B*T, 3*H]
        qkv = tf.reshape(qkv, [inputs.rows, inputs.tokens, 3, heads, head_size])  # [B, T, 3, N, D]
        query, key, value = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]))  # 3 * [B, N, T, D]
        scores = self._clipped(tf.matmul(query, key, transpose_b=True))  # [B, N, Q, K]
        weights = tf.nn.softmax(tf.cast(scores, tf.float32) + bias)  # [B, N, Q, K]
        context = tf.matmul(tf.cast(weights, self._dtype), value)  # [B, N, Q, D]
        # The shape of x and not [-1, H]: only so does the optimiser know that the sum below adds equal shapes.
        context = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), tf.shape(x))  # [B*T, H]
        x = tf.cast(self._dense(name + '/output/dense', context), tf.float32) + x  # [B*T, H]
        return self._layer_norm(name + '/output/LayerNorm', x)  # [B*T, H]

    def _feed_forward(self, name: str, x: Tensor) -> Tensor:
        activation = ACTIVATIONS[self._config.hidden_act]
        inner = activation(self._dense(name + '/intermediate/dense', x))  # [B*T, F]
        x = tf.cast(self._dense(name + '/output/dense', inner), tf.float32) + x  # [B*T, H]
        return self._layer_norm(name + '/output/LayerNorm', x)  # [B*T, H]

    def _layer_norm(self, name: str, x: Tensor) -> Tensor:
        """Each row of [B*T, H] to mean beta and deviation gamma, with the epsilon of the config.

        Not in the order that TensorFlow's own batch_normalization has, x * scale + (beta - mean * scale): on x86 the
        optimiser (2.21) replaces that by one `_MklLayerNorm`, but forgets the epsilon, and computes with 0.001.
        """
        mean = tf.reduce_mean(x, -1, keepdims=True)  # [B*T, 1]
        variance = tf.reduce_mean(tf.math.squared_difference(x, mean), -1, keepdims=True)  # [B*T, 1]
        deviation = tf.math.rsqrt(variance + self._config.layer_norm_eps)  # [B*T, 1]
        return (x - mean) * deviation * self._variables[name + '/gamma'] + self._variables[name + '/beta']  # [B*T, H]

    def _query_key_value(self, name: str) -> tuple[Array, Array]:
        """The three projections side by side: a kernel [H, 3*H] and a bias [3*H].

        The query is divided by the root of D here, once, instead of the scores in every run.
        """
        scales = (np.float32(1 / math.sqrt(self._config.head_size)), np.float32(1), np.float32(1))
        parts = [(name + '/' + part, scale) for part, scale in zip(('query', 'key', 'value'), scales, strict=True)]
        kernel = np.concatenate([self._variables[part + '/kernel'] * scale for part, scale in parts], axis=1)
        bias = np.concatenate([self._variables[part + '/bias'] * scale for part, scale in parts])
        return kernel, bias

    def _dense(self, name: str, x: Tensor) -> Tensor:
        return self._product(x, self._variables[name + '/kernel'], self._variables[name + '/bias'])

    def _product(self, x: Tensor, kernel: Array, bias: Array) -> Tensor:
        """A matrix of any type times the kernel, plus the bias, in the type that this BERT computes in."""
        product = tf.matmul(tf.cast(self._clipped(x), self._dtype), self._weights(kernel))
        return self._clipped(tf.nn.bias_add(product, self._weights(bias)))

    def _weights(self, values: Array) -> Tensor:
        """A constant in the type that this BERT computes in; the cast is done here and now, not in every run."""
        if self._dtype == tf.float16:
            values = np.clip(values, -FLOAT16_MAX, FLOAT16_MAX)
        return tf.constant(values.astype(self._dtype.as_numpy_dtype, copy=False))

    def _clipped(self, x: Tensor) -> Tensor:
        return tf.clip_by_value(x, -FLOAT16_MAX, FLOAT16_MAX) if self._dtype == tf.float16 else x


def attention_bias(mask: Tensor) -> Tensor:
    """What is added to the scores: 0 where the key counts, -10000 where it is masked."""
    return tf.cast(1 - mask, tf.float32)[:, tf.newaxis, tf.newaxis, :] * _MASKED  # [B, 1, 1, K]
