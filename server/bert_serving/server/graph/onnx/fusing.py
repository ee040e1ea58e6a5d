"""Find in a graph what ONNX Runtime computes in one kernel: LayerNorm and GELU.

The patterns are those of `layer_norm.plain_layer_norm`, `ops.gelu` and `ops.gelu_tanh`. A pattern that is not found
costs time, not accuracy; the tests count what is found.
"""

from __future__ import annotations

import math

from .nodes import Node, Nodes


def fuse(nodes: Nodes) -> None:
    """Replace the last node of each pattern; the others lose their users and are pruned later."""
    users = nodes.users()
    for node in nodes:
        fused = _layer_norm(nodes, users, node) or _gelu(nodes, node)
        if fused is not None:
            nodes.by_name[fused.name] = fused


def _one_user(users: dict[str, list[Node]], node: Node, op: str) -> Node | None:
    found = users[node.output]
    return found[0] if len(found) == 1 and found[0].op == op else None


def _other(node: Node, value: str) -> str:
    first, second = node.inputs
    return second if first == value else first


def _layer_norm(nodes: Nodes, users: dict[str, list[Node]], node: Node) -> Node | None:
    """(x - mean) * rsqrt(variance + epsilon) * gamma + beta, from its Rsqrt."""
    if node.op != 'Rsqrt':
        return None
    total = nodes.maker(node.inputs[0])
    variance = total and nodes.maker(total.inputs[0])
    square = variance and nodes.maker(variance.inputs[0])
    if total is None or square is None or square.op != 'SquaredDifference':
        return None
    x = square.inputs[0]
    epsilon = nodes.constant(total.inputs[1])
    normed = _one_user(users, node, 'Mul')
    scaled = normed and _one_user(users, normed, 'Mul')
    if epsilon is None or normed is None or scaled is None:
        return None
    gamma = _other(scaled, normed.output)
    shifted = _one_user(users, scaled, 'AddV2')
    if shifted is None:
        return Node('LayerNormalization', scaled.name, [x, gamma], {'epsilon': float(epsilon)})
    beta = _other(shifted, scaled.output)
    if not _is_parameter(nodes, beta):
        return Node('LayerNormalization', scaled.name, [x, gamma], {'epsilon': float(epsilon)})
    return Node('LayerNormalization', shifted.name, [x, gamma, beta], {'epsilon': float(epsilon)})


def _is_parameter(nodes: Nodes, value: str) -> bool:
    maker = nodes.maker(value)
    return maker is not None and maker.op in ('Const', 'Placeholder') and maker.name.endswith(('beta', 'bias'))


def _gelu(nodes: Nodes, node: Node) -> Node | None:
    """GELU, from its last product: 0.5 * (erf(x / sqrt 2) + 1) * x, or (0.5 * x) * (1 + tanh(...))."""
    if node.op != 'Mul':
        return None
    half = _product(nodes, node.inputs[0], 0.5)
    if half is None:
        return None
    x = node.inputs[1]
    total = nodes.maker(half)
    if total is not None and total.op == 'AddV2' and _product(nodes, total.inputs[0], None, 'Erf') is not None:
        return Node('Gelu', node.name, [x])
    x, total = half, nodes.maker(x)
    if total is None or total.op != 'AddV2':
        return None
    inner = _product(nodes, total.inputs[1], None, 'Tanh')
    cubic = inner and _product(nodes, inner, math.sqrt(2 / math.pi))
    maker = cubic and nodes.maker(cubic)
    if not isinstance(maker, Node) or maker.op != 'AddV2' or maker.inputs[0] != x:
        return None
    return Node('FastGelu', node.name, [x])


def _product(nodes: Nodes, value: str, factor: float | None, op: str = 'Mul') -> str | None:
    """The value whose product with the constant `factor` this one is; or, of a value made by another op, its input."""
    maker = nodes.maker(value)
    if maker is None or maker.op != op:
        return None
    if factor is None:
        return maker.inputs[0]
    constant = nodes.constant(maker.inputs[0])
    if constant is None or constant.shape != () or not math.isclose(float(constant), factor, rel_tol=1e-6):
        return None
    return maker.inputs[1]
