"""Translate a TensorFlow graph into an ONNX model and its weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import onnx
from onnx import TensorProto, helper

from ..names import COMPUTE_NAME, MOST_TOKENS_NAME, OUTPUT_NAME, UNUSUAL_IDS_NAME, WORDS_NAME
from .control_flow import control_flow_rules
from .fusing import fuse
from .lowering import MICROSOFT, Lowering
from .nodes import Array, Node, read_graph
from .quantizing import quantize
from .rules import RULES

OPSET = 20
IR_VERSION = 10
LEAST_APART = 1024
"""The least size in bytes of a constant that is among the weights."""


def translate(
    graph_def: Any, arrays: dict[str, Array], *, int8: bool = False
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Return an ONNX model of a graph, and its weights by name. `arrays` has the values of placeholders.

    With `int8`, the products with weights of layers multiply bytes, which take the place of the weights in `arrays`.

    The model names the weights as external data, at no place.
    """
    nodes, functions = read_graph(graph_def)
    facts = {name: nodes.by_name[name].attributes['value'].tolist() for name in (MOST_TOKENS_NAME, UNUSUAL_IDS_NAME)}
    facts[COMPUTE_NAME] = 'int8' if int8 else 'float32'
    nodes.prune([OUTPUT_NAME + ':0'])
    for each in (nodes, *(function.nodes for function in functions.values())):
        fuse(each)
    if int8:
        quantize(nodes, arrays)
    nodes.prune([OUTPUT_NAME + ':0'])
    lowering = Lowering(nodes, {**RULES, **control_flow_rules(functions)})
    inputs = [_input(lowering, node) for node in nodes.take('Placeholder') if not lowering.give(node, arrays)]
    lowering.lower_all()
    output = lowering.add('Identity', [lowering.names[OUTPUT_NAME + ':0']], 'answer')
    graph = helper.make_graph(lowering.made, 'graph', inputs, [onnx.ValueInfoProto(name=output)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET), helper.make_opsetid(MICROSOFT, 1)])
    model.ir_version = IR_VERSION
    helper.set_model_props(model, {name: json.dumps(value) for name, value in facts.items()})
    return model, _add_constants(model.graph, lowering.constants)


def _input(lowering: Lowering, node: Node) -> onnx.ValueInfoProto:
    """An input of the model. Whole numbers come as int32, like those of TensorFlow."""
    if node.name == WORDS_NAME:
        lowering.names[node.output] = node.name
        return helper.make_tensor_value_info(node.name, TensorProto.FLOAT, ['B', 'T', node.attributes['shape'][2]])
    lowering.names[node.output] = lowering.add('Cast', [node.name], to=TensorProto.INT64)
    return helper.make_tensor_value_info(node.name, TensorProto.INT32, ['B', 'T'])


def _add_constants(graph: onnx.GraphProto, constants: Mapping[str, Array]) -> dict[str, Array]:
    """Add the small constants that are used; return the large ones, of which the graph gets the names only."""
    weights, used = {}, set(_used_names(graph))
    for name, values in constants.items():
        if name not in used:
            continue
        if values.nbytes < LEAST_APART:
            graph.initializer.append(onnx.numpy_helper.from_array(values, name))
            continue
        weights[name] = values
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        tensor = TensorProto(name=name, data_type=kind, dims=values.shape, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key='location', value='weights')
        graph.initializer.append(tensor)
    return weights


def _used_names(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            if attribute.HasField('g'):
                yield from _used_names(attribute.g)
