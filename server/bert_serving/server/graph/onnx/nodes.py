"""A TensorFlow graph as plain nodes, in which the following steps look for patterns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tf import tf

Array = NDArray[Any]


@dataclass(slots=True)
class Node:
    """An op. Its inputs are values, named `node:output`; the inputs of a function are values without a colon."""

    op: str
    name: str
    inputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> str:
        """Its first output, for most ops the only one."""
        return self.name + ':0'


@dataclass(slots=True)
class Function:
    """The body of a branch or a loop."""

    inputs: list[str]
    outputs: list[str]
    """Values."""
    nodes: Nodes


class Nodes:
    """The nodes of a graph or a function, in an order in which each follows its inputs."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.by_name = {node.name: node for node in nodes}

    def __iter__(self) -> Any:
        return iter(list(self.by_name.values()))

    def take(self, op: str) -> list[Node]:
        """Remove the nodes of one op, and return them."""
        taken = [node for node in self.by_name.values() if node.op == op]
        for node in taken:
            del self.by_name[node.name]
        return taken

    def maker(self, value: str) -> Node | None:
        """The node that makes a value; None for an input of a function."""
        return self.by_name.get(value.partition(':')[0])

    def constant(self, value: str) -> Array | None:
        """The elements of a value that is known, else None. Weights are not: they are placeholders here."""
        node = self.maker(value)
        if node is None:
            return None
        if node.op == 'Const':
            values: Array = node.attributes['value']
            return values
        if node.op == 'Pack':
            known = [part for part in map(self.constant, node.inputs) if part is not None]
            return np.stack(known, node.attributes['axis']) if len(known) == len(node.inputs) else None
        return None

    def users(self) -> dict[str, list[Node]]:
        """The nodes that take each value."""
        users: dict[str, list[Node]] = defaultdict(list)
        for node in self.by_name.values():
            for value in node.inputs:
                users[value].append(node)
        return users

    def prune(self, wanted: Iterable[str]) -> None:
        """Keep only what the values `wanted` need, and sort it."""
        kept: dict[str, Node] = {}
        stack = [(name.partition(':')[0], False) for name in reversed(list(wanted))]
        while stack:
            name, is_done = stack.pop()
            node = self.by_name.get(name)
            if node is None or name in kept:
                continue
            if is_done:
                kept[name] = node
            else:
                stack.append((name, True))
                stack.extend((value.partition(':')[0], False) for value in node.inputs)
        self.by_name = kept


def read_graph(graph_def: Any) -> tuple[Nodes, Mapping[str, Function]]:
    """The nodes of a GraphDef, and its functions."""
    functions = {function.signature.name: _read_function(function) for function in graph_def.library.function}
    return Nodes(_read_node(node, is_body=False) for node in graph_def.node), functions


def _read_function(function: Any) -> Function:
    nodes = Nodes(_read_node(node, is_body=True) for node in function.node_def)
    inputs = [argument.name for argument in function.signature.input_arg]
    outputs = [_value(function.ret[argument.name]) for argument in function.signature.output_arg]
    nodes.prune(outputs)
    return Function(inputs, outputs, nodes)


def _read_node(node: Any, *, is_body: bool) -> Node:
    inputs = [value for value in node.input if not value.startswith('^')]
    if is_body:
        inputs = [_value(value) for value in inputs]
    else:
        inputs = [value if ':' in value else value + ':0' for value in inputs]
    return Node(node.op, node.name, inputs, {name: _attribute(value) for name, value in node.attr.items()})


def _value(text: str) -> str:
    """The value that a function calls `node:argument:output`. All ops that we use have one argument of outputs."""
    parts = text.split(':')
    return text if len(parts) == 1 else '%s:%s' % (parts[0], parts[-1])


def _attribute(value: Any) -> Any:
    kind = value.WhichOneof('value')
    match kind:
        case 'tensor':
            return tf.make_ndarray(value.tensor)
        case 'type':
            return tf.as_dtype(value.type)
        case 'func':
            return value.func.name
        case 'shape':
            return [dim.size for dim in value.shape.dim]
        case 'list' | None:
            return None
    plain = getattr(value, kind)
    return plain.decode() if isinstance(plain, bytes) else plain


def as_int64(values: Array) -> Array:
    """Whole numbers as ONNX's shapes and indices have them."""
    return values.astype(np.int64) if values.dtype == np.int32 else values
