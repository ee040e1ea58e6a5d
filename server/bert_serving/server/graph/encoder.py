"""Build an encoder from TensorFlow ops over constants: tokens in, the hidden states of its layers out.

Runs in the exporter. There are no variables, training ops or dropout. Every weight is a constant, so the graph is
served exactly as built, and freezing means serializing. The encoder can be built several times over the same constants,
once for each size class of batches.

Between the layers all tensors are flat, [R, H]: the graph optimizer fuses MatMul + BiasAdd + GELU, and
MatMul + BiasAdd + residual Add, only where these ops follow each other on matrices. The constants are prepared in NumPy
(query, key and value side by side in one kernel), so that the optimizer has nothing to fold. Dimensions are those of
`inputs.py`.
"""

from __future__ import annotations

from typing import Any

from ..model.config import EncoderConfig
from .attention import Attention
from .constants import Constants
from .embeddings import embed
from .feed_forward import feed_forward
from .inputs import Inputs, Tensor
from .ops import Ops
from .tf import tf


class Encoder:
    """Builds the ops of one encoder in the current graph. `Ops` explains `dtype` and `onednn`."""

    def __init__(
        self, config: EncoderConfig, constants: Constants, dtype: Any = tf.float32, *, onednn: bool = False
    ) -> None:
        self.ops = Ops(config, constants, dtype, onednn=onednn)
        self._config = config

    def encode(
        self,
        inputs: Inputs,
        depth: int,
        position_embeddings: bool = True,
        position: Tensor | None = None,
        *,
        is_small: bool = False,
    ) -> list[Tensor]:
        """The outputs of the `depth` lowest layers, each float32 [R, H].

        With `position`, [B], the highest layer is computed only for that position of each row, and is [B, H].
        `is_small` means that no batch has a long row.
        """
        with tf.name_scope('embeddings'):
            x = embed(self.ops, inputs, position_embeddings)  # [R, H]
        attention = Attention(self.ops, inputs, is_small=is_small, is_bounded=position_embeddings)
        layer = self._pre_norm_layer if self._config.pre_norm else self._layer
        layers = []
        for index in range(depth):
            with tf.name_scope('encoder/layer_%d' % index):
                x = layer(attention, index, x, inputs, position if index == depth - 1 else None)  # [R, H] or [B, H]
            layers.append(tf.cast(x, tf.float32))
        if self._config.pre_norm and depth == self._config.num_hidden_layers:
            layers[-1] = tf.cast(self.ops.layer_norm('encoder/LayerNorm', x), tf.float32)
        return layers

    def _layer(self, attention: Attention, index: int, x: Tensor, inputs: Inputs, position: Tensor | None) -> Tensor:
        """Build a layer that norms the sum of input and output of each half."""
        ops, scope = self.ops, 'encoder/layer_%d' % self._config.group(index)
        context = attention.attend(index, x, position)  # [R, H] or, with a position, [B, H]
        x = ops.to_stream(context) + self._residual(x, inputs, position)  # the same from here on
        x = ops.layer_norm(scope + '/attention/output/LayerNorm', x)
        x = ops.to_stream(feed_forward(ops, scope, x)) + x
        return ops.layer_norm(scope + '/output/LayerNorm', x)

    def _pre_norm_layer(
        self, attention: Attention, index: int, x: Tensor, inputs: Inputs, position: Tensor | None
    ) -> Tensor:
        """Build a layer that norms the input of each half."""
        ops, scope = self.ops, 'encoder/layer_%d' % self._config.group(index)
        normed = ops.layer_norm(scope + '/attention/output/LayerNorm', x) if index else x  # [R, H]
        context = attention.attend(index, normed, position)  # [R, H] or, with a position, [B, H]
        x = ops.to_stream(context) + self._residual(x, inputs, position)  # the same from here on
        normed = ops.layer_norm(scope + '/output/LayerNorm', x)
        return ops.to_stream(feed_forward(ops, scope, normed)) + x

    @staticmethod
    def _residual(x: Tensor, inputs: Inputs, position: Tensor | None) -> Tensor:
        """The residual: the states to which the output of the attention is added."""
        return x if position is None else inputs.layout.at(position, x)
