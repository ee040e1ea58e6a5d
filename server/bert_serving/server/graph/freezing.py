"""Serialize a graph and the arrays of its constants, one constant at a time."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .tf import tf, tf1


def freeze(graph: Any, arrays: dict[str, NDArray[Any]]) -> list[bytes]:
    """Return a GraphDef in consecutive parts: `graph` with constants instead of placeholders.

    `arrays` has the constants by placeholder name, and is empty afterwards, because bytes replace each array. The same
    graph results in the same bytes.
    """
    frame = graph.as_graph_def()
    nodes = [node for node in frame.node if node.name not in arrays]
    del frame.node[:]
    frame.node.extend(nodes)
    parts = [frame.SerializeToString(deterministic=True)]
    for name in sorted(arrays):
        parts.append(_constant(name, arrays.pop(name)).SerializeToString(deterministic=True))
    return parts


def _constant(name: str, values: NDArray[Any]) -> Any:
    """A GraphDef with one constant; protobuf joins the nodes of messages that follow each other."""
    graph_def = tf1.GraphDef()
    node = graph_def.node.add(name=name, op='Const')
    dtype = tf.as_dtype(values.dtype)
    node.attr['dtype'].type = dtype.as_datatype_enum
    tensor = node.attr['value'].tensor
    tensor.dtype = dtype.as_datatype_enum
    tensor.tensor_shape.CopyFrom(tf.TensorShape(values.shape).as_proto())
    tensor.tensor_content = values.tobytes()
    return graph_def
