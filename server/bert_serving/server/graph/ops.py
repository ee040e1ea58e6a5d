"""Products and norms: the ops that the parts of an encoder consist of."""

from __future__ import annotations

from typing import Any

from ..model.config import EncoderConfig
from .constants import FLOAT16_MAX, Constants
from .inputs import Tensor
from .layer_norm import fused_layer_norm, plain_layer_norm
from .tf import tf


class Ops:
    """The ops of one encoder.

    With `dtype` float16, the kernels and their products are float16, which is fast on a GPU. Sums over many numbers
    (LayerNorm, softmax, the residual stream) stay float32, and the operands and results of products are clipped to the
    range of float16. Thus no infinity or NaN arises, however large the weights are.

    With `dtype` bfloat16, which has the range of float32, the residual stream is bfloat16 too. Its sums can then be
    fused into the preceding products, and nothing is cast between the layers. LayerNorm and softmax are computed in
    float32, by explicit casts or inside the kernels of oneDNN.

    `onednn` is for large batches on a CPU: it uses kernels that only oneDNN has.
    """

    def __init__(self, config: EncoderConfig, constants: Constants, dtype: Any, *, onednn: bool = False) -> None:
        self.config = config
        self.constants = constants
        self.dtype = dtype
        """The type of kernels and products."""
        self.stream_dtype = tf.bfloat16 if dtype == tf.bfloat16 else tf.float32
        """The type of the states between the layers."""
        self.softmax_dtype = self.stream_dtype if onednn else tf.float32
        self._onednn = onednn

    def to_stream(self, x: Tensor) -> Tensor:
        return tf.cast(x, self.stream_dtype)

    def layer_norm(self, name: str, x: Tensor) -> Tensor:
        """Apply the LayerNorm of the scope `name` to x, [R, any width]; the result has the type of x."""
        epsilon, dtype, has_bias = self.config.layer_norm_eps, x.dtype, self.config.biases.norm
        if self._onednn:
            gamma = self.constants.get(name + '/gamma', dtype)
            beta = self.constants.get(name + '/beta', dtype, None if has_bias else lambda v: 0 * v[name + '/gamma'])
            return fused_layer_norm(x, gamma, beta, epsilon)
        gamma, beta = self.constants.get(name + '/gamma'), self.constants.get(name + '/beta') if has_bias else None
        return tf.cast(plain_layer_norm(tf.cast(x, tf.float32), gamma, beta, epsilon), dtype)

    def dense(self, name: str, x: Tensor, has_bias: bool = True) -> Tensor:
        """Apply the dense layer of the scope `name` to a matrix of any type."""
        kernel = self.constants.get(name + '/kernel', self.dtype)
        return self.product(x, kernel, self.constants.get(name + '/bias', self.dtype) if has_bias else None)

    def product(self, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        """A matrix of any type times the kernel, plus the bias if there is one, computed in `dtype`."""
        product = tf.matmul(tf.cast(self.clipped(x), self.dtype), kernel)
        return self.clipped(product if bias is None else tf.nn.bias_add(product, bias))

    def clipped(self, x: Tensor) -> Tensor:
        """Clip x to the range of float16 if `dtype` is float16."""
        return tf.clip_by_value(x, -FLOAT16_MAX, FLOAT16_MAX) if self.dtype == tf.float16 else x
