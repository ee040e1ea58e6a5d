"""Lower the nodes of a TensorFlow graph to those of ONNX: names, constants and bodies; `rules.py` has the ops.

Whole numbers are int64 throughout, as ONNX wants shapes and indices; the int32 inputs are cast once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper

from ...errors import InternalError
from .nodes import Array, Node, Nodes

MICROSOFT = 'com.microsoft'
"""The domain of the ops that only ONNX Runtime has."""


class Lowering:
    """The nodes of a graph as ONNX nodes, with their constants; a branch or a loop body is a graph, too."""

    def __init__(self, nodes: Nodes, rules: Mapping[str, Rule]) -> None:
        """`rules` has a function for each op."""
        self.nodes = nodes
        self.names: dict[str, str] = {}
        """The ONNX names of the values."""
        self.prefix = ''
        """The prefix that makes the names of a body unique."""
        self.made: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self._rules = rules
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._numbers = count()

    def body(self, nodes: Nodes, names: Mapping[str, str], prefix: str) -> Lowering:
        """The nodes of a function, lowered; `names` are those of its inputs, which are values of this graph."""
        body = Lowering(nodes, self._rules)
        body.names.update(names)
        body.prefix = self.prefix + prefix
        body.constants, body._shared, body._numbers = self.constants, self._shared, self._numbers
        body.lower_all()
        return body

    def finish(self, outputs: Iterable[str], inputs: Sequence[onnx.ValueInfoProto] = ()) -> onnx.GraphProto:
        """The nodes as a graph with these values as outputs, which only its own nodes make."""
        infos = []
        for index, value in enumerate(outputs):
            name = self.add('Identity', [self.names[value]], '%soutput_%d' % (self.prefix, index))
            infos.append(onnx.ValueInfoProto(name=name))
        return helper.make_graph(self.made, self.prefix.strip('/') or 'graph', inputs, infos)

    def lower_all(self) -> None:
        """Lower every node, in order.

        Raises:
            InternalError: an op has no rule.
        """
        for node in self.nodes:
            rule = self._rules.get(node.op)
            if rule is None:
                raise InternalError('the op %s (%s) has no counterpart in ONNX' % (node.op, node.name))
            rule(self, node)

    def give(self, node: Node, arrays: Mapping[str, Array]) -> bool:
        """Name the weight that takes the place of a placeholder; return whether `arrays` has it."""
        if node.name not in arrays:
            return False
        self.constants[node.name] = arrays[node.name]
        self.names[node.output] = node.name
        return True

    # ---- making nodes

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        output: str | None = None,
        *,
        domain: str = '',
        outputs: Sequence[str] = (),
        **attributes: Any,
    ) -> str:
        """Add a node, and return its first output, whose name is `output` if that is given."""
        names = list(outputs) or [output or self._new_name(op)]
        self.made.append(helper.make_node(op, list(inputs), names, name=names[0], domain=domain, **attributes))
        return names[0]

    def constant(self, values: Any, dtype: Any = np.int64) -> str:
        """The name of a small constant; equal ones share it."""
        array = np.asarray(values, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._shared:
            self._shared[key] = 'constant_%d' % len(self._shared)
            self.constants[self._shared[key]] = array
        return self._shared[key]

    def _new_name(self, op: str) -> str:
        return '%s%s_%d' % (self.prefix, op, next(self._numbers))

    def input(self, node: Node, index: int = 0) -> str:
        """The ONNX name of an input."""
        return self.names[node.inputs[index]]

    def inputs(self, node: Node, count: int | None = None) -> list[str]:
        """The ONNX names of the first `count` inputs, by default all."""
        return [self.names[value] for value in node.inputs[:count]]

    def emit(self, node: Node, op: str, inputs: Sequence[str], *, domain: str = '', **attributes: Any) -> None:
        """Add the node that makes the only output of `node`."""
        name = self.prefix + node.name
        self.names[node.output] = self.add(op, inputs, name, domain=domain, **attributes)

    def fixed(self, node: Node, index: int) -> Array:
        """The elements of an input that has to be a constant."""
        values = self.nodes.constant(node.inputs[index])
        if values is None:
            raise InternalError('%s: input %d of %s is not a constant' % (node.op, index, node.name))
        return values

    def alias(self, node: Node, name: str) -> None:
        """Let `name` be the only output of `node`."""
        self.names[node.output] = name


Rule: TypeAlias = Callable[[Lowering, Node], None]
"""Adds the counterpart of a node, and names its outputs."""
