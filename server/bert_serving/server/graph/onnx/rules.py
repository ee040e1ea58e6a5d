"""The counterpart of each TensorFlow op in ONNX.

Where ONNX has no op, or ONNX Runtime has a better one, it is one of the domain `com.microsoft`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto, helper

from .lowering import MICROSOFT, Lowering, Rule
from .nodes import Node, as_int64
from .slicing import strided_slice

_TYPES = {
    'float32': TensorProto.FLOAT,
    'float16': TensorProto.FLOAT16,
    'int32': TensorProto.INT64,
    'int64': TensorProto.INT64,
    'bool': TensorProto.BOOL,
}

_SAME = {
    'AddV2': 'Add',
    'BiasAdd': 'Add',
    'Sub': 'Sub',
    'Mul': 'Mul',
    'RealDiv': 'Div',
    'Minimum': 'Min',
    'Maximum': 'Max',
    'AddN': 'Sum',
    'Erf': 'Erf',
    'Tanh': 'Tanh',
    'Sigmoid': 'Sigmoid',
    'Relu': 'Relu',
    'Softplus': 'Softplus',
    'Sqrt': 'Sqrt',
    'Abs': 'Abs',
    'Neg': 'Neg',
    'Exp': 'Exp',
    'Greater': 'Greater',
    'Less': 'Less',
    'LessEqual': 'LessOrEqual',
    'Equal': 'Equal',
    'LogicalAnd': 'And',
    'Range': 'Range',
    'Tile': 'Tile',
    'Identity': 'Identity',
}
"""The ops that ONNX has, too, with other names at most."""

_REDUCTIONS = {'Mean': 'ReduceMean', 'Sum': 'ReduceSum', 'Max': 'ReduceMax'}

RULES: dict[str, Rule] = {'StridedSlice': strided_slice}


def rule(op: str) -> Callable[[Rule], Rule]:
    """Make a function the rule of an op."""

    def register(function: Rule) -> Rule:
        RULES[op] = function
        return function

    return register


def _same(op: str) -> Rule:
    return lambda graph, node: graph.emit(node, op, graph.inputs(node))


def _reduction(op: str) -> Rule:
    def lower(graph: Lowering, node: Node) -> None:
        axes = graph.constant(np.atleast_1d(graph.fixed(node, 1)))
        graph.emit(node, op, [graph.input(node), axes], keepdims=int(node.attributes['keep_dims']))

    return lower


RULES.update((name, _same(op)) for name, op in _SAME.items())
RULES.update((name, _reduction(op)) for name, op in _REDUCTIONS.items())


@rule('Const')
def _const(graph: Lowering, node: Node) -> None:
    values = as_int64(node.attributes['value'])
    graph.alias(node, graph.constant(values, values.dtype))


@rule('IdentityN')
def _identity_n(graph: Lowering, node: Node) -> None:
    for index, value in enumerate(node.inputs):
        graph.names['%s:%d' % (node.name, index)] = graph.names[value]


@rule('Square')
def _square(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'Mul', [graph.input(node)] * 2)


@rule('SquaredDifference')
def _squared_difference(graph: Lowering, node: Node) -> None:
    difference = graph.add('Sub', graph.inputs(node))
    graph.emit(node, 'Mul', [difference, difference])


@rule('Rsqrt')
def _rsqrt(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'Reciprocal', [graph.add('Sqrt', graph.inputs(node))])


@rule('FloorDiv')
def _floor_div(graph: Lowering, node: Node) -> None:
    """Of whole numbers; ONNX rounds a quotient to 0, and a Mod has the sign of the divisor."""
    x, y = graph.inputs(node)
    graph.emit(node, 'Div', [graph.add('Sub', [x, graph.add('Mod', [x, y])]), y])


@rule('Relu6')
def _relu6(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'Clip', [graph.input(node), graph.constant(0, np.float32), graph.constant(6, np.float32)])


@rule('LeakyRelu')
def _leaky_relu(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'LeakyRelu', graph.inputs(node), alpha=node.attributes['alpha'])


@rule('Cast')
def _cast(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'Cast', graph.inputs(node), to=_TYPES[node.attributes['DstT'].name])


@rule('NotEqual')
def _not_equal(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'Not', [graph.add('Equal', graph.inputs(node))])


@rule('Softmax')
def _softmax(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'Softmax', graph.inputs(node), axis=-1)


@rule('Shape')
def _shape(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'Shape', graph.inputs(node))


@rule('Size')
def _size(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'Size', graph.inputs(node))


@rule('ZerosLike')
def _zeros_like(graph: Lowering, node: Node) -> None:
    zero = helper.make_tensor('value', TensorProto.INT64, [1], [0])
    graph.emit(node, 'ConstantOfShape', [graph.add('Shape', graph.inputs(node))], value=zero)


@rule('Reshape')
def _reshape(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'Reshape', graph.inputs(node))


@rule('Transpose')
def _transpose(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'Transpose', [graph.input(node)], perm=graph.fixed(node, 1).tolist())


@rule('ExpandDims')
def _expand_dims(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'Unsqueeze', [graph.input(node), graph.constant(np.atleast_1d(graph.fixed(node, 1)))])


@rule('Pack')
def _pack(graph: Lowering, node: Node) -> None:
    axis = graph.constant([node.attributes['axis']])
    parts = []
    for value in node.inputs:
        fixed = graph.nodes.constant(value)
        if fixed is None:
            parts.append(graph.add('Unsqueeze', [graph.names[value], axis]))
        else:
            parts.append(graph.constant(as_int64(fixed[np.newaxis]), as_int64(fixed).dtype))
    graph.emit(node, 'Concat', parts, axis=node.attributes['axis'])


@rule('Unpack')
def _unpack(graph: Lowering, node: Node) -> None:
    axis = node.attributes['axis']
    for index in range(node.attributes['num']):
        name = '%s%s_%d' % (graph.prefix, node.name, index)
        graph.names['%s:%d' % (node.name, index)] = graph.add(
            'Gather', [graph.input(node), graph.constant(index)], name, axis=axis
        )


@rule('ConcatV2')
def _concat_(graph: Lowering, node: Node) -> None:
    axis = int(graph.fixed(node, len(node.inputs) - 1))
    graph.emit(node, 'Concat', graph.inputs(node, len(node.inputs) - 1), axis=axis)


@rule('Split')
def _split(graph: Lowering, node: Node) -> None:
    count = node.attributes['num_split']
    outputs = ['%s%s_%d' % (graph.prefix, node.name, index) for index in range(count)]
    graph.add('Split', [graph.input(node, 1)], outputs=outputs, axis=int(graph.fixed(node, 0)), num_outputs=count)
    for index, name in enumerate(outputs):
        graph.names['%s:%d' % (node.name, index)] = name


@rule('MatMul')
def _mat_mul(graph: Lowering, node: Node) -> None:
    x, y = graph.inputs(node)
    if node.attributes['transpose_b']:
        y = graph.add('Transpose', [y], perm=[1, 0])
    graph.emit(node, 'MatMul', [x, y])


@rule('BatchMatMulV2')
def _batch_mat_mul_(graph: Lowering, node: Node) -> None:
    if node.attributes['adj_y']:
        graph.emit(node, 'FusedMatMul', graph.inputs(node), domain=MICROSOFT, transB=1)
    else:
        graph.emit(node, 'MatMul', graph.inputs(node))


@rule('ArgMax')
def _arg_max(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'ArgMax', [graph.input(node)], axis=int(graph.fixed(node, 1)), keepdims=0)


@rule('Cumsum')
def _cumsum(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'CumSum', [graph.input(node), graph.constant(graph.fixed(node, 1))])


@rule('Where')
def _where(graph: Lowering, node: Node) -> None:
    """The places where a condition is true."""
    places = graph.add('NonZero', graph.inputs(node))  # [axes, places]
    graph.emit(node, 'Transpose', [places], perm=[1, 0])


@rule('OneHot')
def _one_hot(graph: Lowering, node: Node) -> None:
    off, on = graph.fixed(node, 3), graph.fixed(node, 2)
    depth = graph.constant([int(graph.fixed(node, 1))])
    # ONNX counts negative indices from the end, TensorFlow gives them a row of zeros; types are never negative.
    graph.emit(node, 'OneHot', [graph.input(node), depth, graph.constant([off, on], np.float32)], axis=-1)


@rule('Pad')
def _pad(graph: Lowering, node: Node) -> None:
    begins_ends = graph.add('Transpose', [graph.input(node, 1)], perm=[1, 0])
    graph.emit(node, 'Pad', [graph.input(node), graph.add('Reshape', [begins_ends, graph.constant([-1])])])


@rule('GatherV2')
def _gather_(graph: Lowering, node: Node) -> None:
    values, indices = graph.inputs(node, 2)
    axis = int(graph.fixed(node, 2))
    if not node.attributes['batch_dims']:
        graph.emit(node, 'Gather', [values, indices], axis=axis)
        return
    places = graph.add('Unsqueeze', [indices, graph.constant([-1])])
    if axis == 1:  # x [B, T, D] by [B]: [B, D]
        graph.emit(node, 'GatherND', [values, places], batch_dims=1)
        return
    by_query = graph.add('Transpose', [values], perm=[0, 2, 1, 3])  # [B, Q, N, K]
    gathered = graph.add('GatherND', [by_query, places], batch_dims=1)  # [B, 1, N, K]
    graph.emit(node, 'Transpose', [gathered], perm=[0, 2, 1, 3])


# The ops that `fusing.py` and `quantizing.py` make.


@rule('QuantizedMatMul')
def _quantized_mat_mul(graph: Lowering, node: Node) -> None:
    x, kernel, scale, *bias = graph.inputs(node)
    zeros = graph.constant(np.zeros(graph.constants[scale].shape), np.int8)
    graph.emit(node, 'DynamicQuantizeMatMul', [x, kernel, scale, zeros, *bias], domain=MICROSOFT)


@rule('LayerNormalization')
def _layer_normalization(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'LayerNormalization', graph.inputs(node), axis=-1, epsilon=node.attributes['epsilon'])


@rule('Gelu')
def _gelu(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'Gelu', graph.inputs(node), domain=MICROSOFT)


@rule('FastGelu')
def _fast_gelu(graph: Lowering, node: Node) -> None:
    graph.emit(node, 'FastGelu', graph.inputs(node), domain=MICROSOFT)
