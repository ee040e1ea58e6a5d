"""The rule of StridedSlice, which is several ops of ONNX."""

from __future__ import annotations

import numpy as np

from ...errors import InternalError
from .lowering import Lowering
from .nodes import Node

_TOP = 2**62


def strided_slice(graph: Lowering, node: Node) -> None:
    """Lower the slice of a tensor: `x[begin:end]`, `x[index]` and `x[:, newaxis]`, on several axes."""
    masks = {name: node.attributes[name + '_mask'] for name in ('begin', 'end', 'new_axis', 'shrink_axis')}
    strides, count = graph.fixed(node, 3), len(graph.fixed(node, 3))
    if node.attributes['ellipsis_mask']:
        raise InternalError('%s: an ellipsis has no counterpart' % node.name)
    if (strides != 1).any():
        raise InternalError('%s: a step has no counterpart' % node.name)
    axes, starts, ends, shrunk, new = [], [], [], [], []
    axis = place = 0
    for index in range(count):
        bit = 1 << index
        if masks['new_axis'] & bit:
            new.append(place)
            place += 1
            continue
        first, last = bool(masks['begin'] & bit), bool(masks['end'] & bit)
        if masks['shrink_axis'] & bit:
            start = _bound(graph, node, 1, index, 0)
            axes.append(axis)
            starts.append(start)
            ends.append(_after(graph, start))
            shrunk.append(axis)
        else:
            if not (first and last):
                axes.append(axis)
                starts.append(graph.constant([0]) if first else _bound(graph, node, 1, index, 0))
                ends.append(graph.constant([_TOP]) if last else _bound(graph, node, 2, index, _TOP))
            place += 1
        axis += 1
    name = graph.input(node)
    if axes:
        name = graph.add('Slice', [name, _joined(graph, starts), _joined(graph, ends), graph.constant(axes)])
    if shrunk:
        name = graph.add('Squeeze', [name, graph.constant(shrunk)])
    if new:
        name = graph.add('Unsqueeze', [name, graph.constant(new)])
    graph.emit(node, 'Identity', [name])


def _after(graph: Lowering, start: str) -> str:
    """The end of a slice of one element."""
    fixed = graph.constants.get(start)
    if fixed is None:
        return graph.add('Add', [start, graph.constant([1])])
    return graph.constant([_TOP] if fixed[0] == -1 else fixed + 1)


def _bound(graph: Lowering, node: Node, which: int, index: int, default: int) -> str:
    """An element of the beginnings or ends of a slice, [1]."""
    value = node.inputs[which]
    fixed = graph.nodes.constant(value)
    if fixed is not None:
        return graph.constant([int(fixed[index])])
    maker = graph.nodes.maker(value)
    if maker is not None and maker.op == 'Pack':
        part = graph.nodes.constant(maker.inputs[index])
        if part is not None:
            return graph.constant([int(part)])
        return graph.add('Unsqueeze', [graph.names[maker.inputs[index]], graph.constant([0])])
    return graph.add('Gather', [graph.names[value], graph.constant([index])], axis=0)


def _joined(graph: Lowering, parts: list[str]) -> str:
    if all(part in graph.constants for part in parts):
        return graph.constant(np.concatenate([graph.constants[part] for part in parts]))
    return parts[0] if len(parts) == 1 else graph.add('Concat', parts, axis=0)
