"""The engines that a test runs a graph with; ONNX Runtime only where it is installed, which is always so in CI."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from bert_serving.server.graph.export import GraphSpec
from bert_serving.server.options.engines import ONNX_RUNTIME, TENSORFLOW

has_onnx = all(map(importlib.util.find_spec, ('onnx', 'onnxruntime')))

needs_onnx = pytest.mark.skipif(not has_onnx, reason='ONNX Runtime is not installed')

FASTEST = ONNX_RUNTIME if has_onnx else TENSORFLOW
"""The engine of servers in tests of other features: with ONNX Runtime, a start takes half the CPU time."""

ON_CPU = pytest.param({'on_cpu': True}, id='on_cpu')
ANYWHERE = pytest.param({'on_cpu': False}, id='anywhere')
BY_ONNX_RUNTIME = pytest.param({'on_cpu': True, 'engine': ONNX_RUNTIME}, id='onnxruntime', marks=needs_onnx)

GRAPHS = (ON_CPU, ANYWHERE, BY_ONNX_RUNTIME)
"""The options of a spec: of graphs in two size classes, of plain ops, and for ONNX Runtime."""


def open_graph(spec: GraphSpec, path: str, *, threads: int = 2, **options: Any) -> Any:
    """The encoder of the graph at `path`, exported by `spec`; it is not loaded yet."""
    if spec.engine == ONNX_RUNTIME:
        from bert_serving.server.graph.onnx.runtime import OnnxEncoder

        return OnnxEncoder(path, threads=threads, **options)
    from bert_serving.server.graph.runtime import GraphEncoder

    return GraphEncoder(path, threads=threads, **options)
