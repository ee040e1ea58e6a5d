"""Quantize the products of the encoder to int8: weights by channel, activations by their range in the batch.

Only the products with weights of the layers, which take nine tenths of the time, are computed in int8. Embeddings,
LayerNorm, scores, softmax, pooling, heads and answers stay float32.

All activations that enter a product share one scale, so a few large ones cost the others their digits. The output of a
LayerNorm is large in the channels whose gamma and beta are: it is divided by them, and the rows of the kernel are
multiplied. The output of an activation function is large in some tokens: each token is divided by its largest value,
and its product multiplied by it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .nodes import Array, Node, Nodes

_LARGEST = 127
_SMALLEST_SCALE = np.float32(1e-12)

_LEAST_OF_TOKEN = np.float32(0.2)
"""A token is divided by this if its largest value is less. The values of a GELU are at least -0.17."""


def quantize(nodes: Nodes, arrays: dict[str, Array]) -> None:
    """Replace products with kernels of layers, and the biases that follow; the `arrays` get what they need instead."""
    quantizer = _Quantizer(nodes, arrays)
    for node in nodes:
        if node.op == 'MatMul' and not node.attributes['transpose_b']:
            kernel = nodes.maker(node.inputs[1])
            if kernel is not None and _is_kernel_of_layer(kernel):
                quantizer.replace(node, kernel.name)


def _is_kernel_of_layer(node: Node) -> bool:
    return node.op == 'Placeholder' and node.name.startswith('encoder/') and node.name.endswith('/kernel')


class _Quantizer:
    def __init__(self, nodes: Nodes, arrays: dict[str, Array]) -> None:
        self._nodes = nodes
        self._arrays = arrays
        self._users = nodes.users()
        self._smoothings: dict[str, str | None] = {}
        """The values by which the inputs of a kernel are multiplied. Layers can share a kernel, but then no norm."""

    def replace(self, product: Node, kernel: str) -> None:
        x, bias = product.inputs[0], self._bias_of(product)
        source = self._nodes.maker(x)
        if kernel not in self._smoothings:
            self._smoothings[kernel] = self._smooth(source, kernel)
            self._put(kernel, *quantize_by_channel(self._arrays.pop(kernel)))
        smoothing = self._smoothings[kernel]
        if smoothing is not None:
            x = self._add('Mul', product.name + '/smoothed', [x, smoothing])
        weights = [kernel + '/int8:0', kernel + '/scale:0']
        if smoothing is None and source is not None and source.op in _MAKERS_OF_TOKENS:
            self._replace_by_token(product, x, weights, is_positive=source.op != 'Mul')
        elif bias is not None:
            self._add('QuantizedMatMul', bias.name, [x, *weights, bias.inputs[1]])
        else:
            self._add('QuantizedMatMul', product.name, [x, *weights])

    def _bias_of(self, product: Node) -> Node | None:
        users = self._users[product.output]
        return users[0] if len(users) == 1 and users[0].op == 'BiasAdd' else None

    def _smooth(self, source: Node | None, kernel: str) -> str | None:
        """Multiply the rows of a kernel by the sizes of its inputs; return the value that the inputs take."""
        if source is None or source.op != 'LayerNormalization' or self._is_shared(kernel):
            return None
        gamma, *beta = (self._arrays[value.partition(':')[0]] for value in source.inputs[1:])
        sizes = channel_sizes(gamma, beta[0] if beta else None)
        self._arrays[kernel] = self._arrays[kernel] * sizes[:, np.newaxis]
        return self._constant(kernel + '/smoothing', 1 / sizes)

    def _is_shared(self, kernel: str) -> bool:
        return len({user.inputs[0] for user in self._users[kernel + ':0']}) > 1

    def _replace_by_token(self, product: Node, x: str, weights: list[str], *, is_positive: bool) -> None:
        """The product of each token divided by its largest value, times that value."""
        name = product.name
        size = x if is_positive else self._add('Abs', name + '/abs', [x])
        last_axis = self._add('Const', 'quantizing/last_axis', [], value=np.array([-1], np.int32))
        least = self._add('Const', 'quantizing/least', [], value=_LEAST_OF_TOKEN)
        largest = self._add('Max', name + '/largest', [size, last_axis], keep_dims=True)  # [R, 1]
        scale = self._add('Maximum', name + '/token_scale', [largest, least])
        inputs = [self._add('RealDiv', name + '/divided', [x, scale]), *weights]
        self._add('Mul', name, [self._add('QuantizedMatMul', name + '/quantized', inputs), scale])

    def _put(self, kernel: str, quantized: Array, scale: Array) -> None:
        self._constant(kernel + '/int8', quantized)
        self._constant(kernel + '/scale', scale)

    def _constant(self, name: str, values: Array) -> str:
        self._arrays[name] = values
        return self._add('Placeholder', name, [])

    def _add(self, op: str, name: str, inputs: list[str], **attributes: object) -> str:
        self._nodes.by_name[name] = Node(op, name, inputs, attributes)
        return name + ':0'


_MAKERS_OF_TOKENS = ('Gelu', 'FastGelu', 'Relu', 'Mul')
"""The ops that make the units of a feed-forward layer; a Mul makes those that have a gate, or of another activation."""


def channel_sizes(gamma: NDArray[np.float32], beta: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """How large the outputs of a LayerNorm are in each channel, [H], relative to each other."""
    sizes = np.abs(gamma) + (0 if beta is None else np.abs(beta))
    sizes = np.maximum(sizes, sizes.max() / 1000 + _SMALLEST_SCALE)
    relative: NDArray[np.float32] = (sizes / np.exp(np.log(sizes).mean())).astype(np.float32)
    return relative


def quantize_by_channel(kernel: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A kernel [K, N] as int8, with one scale for each of its N columns: kernel = int8 * scale, nearly."""
    scale = np.maximum(np.abs(kernel).max(axis=0) / np.float32(_LARGEST), _SMALLEST_SCALE)
    quantized: NDArray[np.int8] = np.rint(kernel / scale).clip(-_LARGEST, _LARGEST).astype(np.int8)
    return quantized, scale.astype(np.float32)
