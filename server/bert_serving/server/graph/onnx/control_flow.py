"""The rules of branches and loops, which have bodies.

A body takes the values of the graph around it by their names, as ONNX allows, so only the variables of a loop are its
inputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import TensorProto, helper

from .lowering import Lowering, Rule
from .nodes import Function, Node


def control_flow_rules(functions: Mapping[str, Function]) -> dict[str, Rule]:
    """The rules of a graph that has these functions."""

    def lower_if(graph: Lowering, node: Node) -> None:
        _lower_if(graph, node, functions)

    def lower_while(graph: Lowering, node: Node) -> None:
        _lower_while(graph, node, functions)

    return {
        'If': lower_if,
        'StatelessIf': lower_if,
        'While': lower_while,
        'StatelessWhile': lower_while,
        'TensorListReserve': lambda graph, node: graph.alias(node, ''),  # the loop stacks what it makes
        'TensorListStack': lambda graph, node: graph.alias(node, graph.input(node)),
        'TensorListSetItem': lambda graph, node: graph.alias(node, graph.input(node, 2)),
    }


def _lower_if(graph: Lowering, node: Node, functions: Mapping[str, Function]) -> None:
    def branch(kind: str) -> onnx.GraphProto:
        function = functions[node.attributes[kind]]
        given = dict(zip(function.inputs, graph.inputs(node)[1:], strict=True))
        return graph.body(function.nodes, given, '%s/%s/' % (node.name, kind)).finish(function.outputs)

    then = branch('then_branch')
    outputs = ['%s%s_%d' % (graph.prefix, node.name, index) for index in range(len(then.output))]
    graph.add('If', [graph.input(node)], outputs=outputs, then_branch=then, else_branch=branch('else_branch'))
    for index, name in enumerate(outputs):
        graph.names['%s:%d' % (node.name, index)] = name


def _lower_while(graph: Lowering, node: Node, functions: Mapping[str, Function]) -> None:
    """A loop whose variables are numbers, values that it does not change, and a list with an element a turn."""
    condition, body = (functions[node.attributes[kind]] for kind in ('cond', 'body'))
    given = graph.inputs(node)
    changed = [index for index, value in enumerate(body.outputs) if not _is_input(body, value, index)]
    numbers = [index for index in changed if given[index] != '']
    lists = [index for index in changed if given[index] == '']

    prefix = '%s%s/' % (graph.prefix, node.name)
    inputs = [helper.make_tensor_value_info(prefix + 'turn', TensorProto.INT64, [])]
    inputs.append(helper.make_tensor_value_info(prefix + 'goes_on', TensorProto.BOOL, []))
    names = list(given)
    for index in numbers:
        names[index] = '%svariable_%d' % (prefix, index)
        inputs.append(helper.make_tensor_value_info(names[index], TensorProto.INT64, []))

    turn = graph.body(body.nodes, dict(zip(body.inputs, names, strict=True)), node.name + '/turn/')
    after = [turn.names[value] for value in body.outputs]
    turn.names['goes on'] = _ask(turn, condition, after, 'again/')
    outputs = ['goes on', *(body.outputs[index] for index in numbers + lists)]
    results = ['%s%s_%d' % (graph.prefix, node.name, index) for index in numbers + lists]
    begins = _ask(graph, condition, given, node.name + '/before/')
    initial = [given[index] for index in numbers]
    graph.add('Loop', ['', begins, *initial], outputs=results, body=turn.finish(outputs, inputs))
    made = dict(zip(numbers + lists, results, strict=True))
    for index, name in enumerate(given):
        graph.names['%s:%d' % (node.name, index)] = made.get(index, name)


def _ask(graph: Lowering, condition: Function, given: list[str], prefix: str) -> str:
    """Add the ops of a condition; return the name of its answer."""
    asked = graph.body(condition.nodes, dict(zip(condition.inputs, given, strict=True)), prefix)
    graph.made.extend(asked.made)
    return asked.names[condition.outputs[0]]


def _is_input(body: Function, value: str, index: int) -> bool:
    """Whether a loop hands on a variable as it is."""
    while (maker := body.nodes.maker(value)) is not None and maker.op == 'Identity':
        value = maker.inputs[0]
    return value == body.inputs[index]
