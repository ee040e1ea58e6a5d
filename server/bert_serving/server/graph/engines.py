"""Import the engine that loads and runs an exported graph. A worker imports only one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from ..options.engines import ONNX_RUNTIME, TENSORFLOW

_PACKAGES = {TENSORFLOW: ('tensorflow',), ONNX_RUNTIME: ('onnxruntime', 'onnx')}


def is_installed(name: str) -> bool:
    """Whether the packages of an engine can be imported."""
    return all(importlib.util.find_spec(package) is not None for package in _PACKAGES[name])


def import_engine(name: str) -> Callable[..., Any]:
    """Import the engine, which takes seconds, and return its function `load_graph`.

    It has the parameters `path`, `sha256`, `device`, `threads` and `settings`, and returns a
    `worker.device.LoadedEncoder`.
    """
    if name == ONNX_RUNTIME:
        from .onnx.runtime import load_graph as load_onnx

        return load_onnx
    from .runtime import load_graph

    return load_graph
