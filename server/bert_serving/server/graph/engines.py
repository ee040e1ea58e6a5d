"""Import an engine, which loads an exported graph and runs it; a worker never imports another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..options.engines import ONNX_RUNTIME


def import_engine(name: str) -> Callable[..., Any]:
    """Import the engine, which takes seconds, and return its `load_graph`.

    That has the parameters `path`, `sha256`, `device`, `threads` and `settings`, and returns a
    `worker.device.LoadedEncoder`.
    """
    if name == ONNX_RUNTIME:
        from .onnx.runtime import load_graph as load_onnx

        return load_onnx
    from .runtime import load_graph

    return load_graph
