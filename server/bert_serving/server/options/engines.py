"""The engines that compute a model, and the options that each supports.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..errors import UsageError

TENSORFLOW = 'tensorflow'
ONNX_RUNTIME = 'onnxruntime'

TITLES = {TENSORFLOW: 'TensorFlow', ONNX_RUNTIME: 'ONNX Runtime'}
"""The display names of the engines."""


class EngineOptions(Protocol):
    """The options that matter for the choice of an engine. `Settings` implements it."""

    @property
    def engine(self) -> str: ...
    @property
    def int8(self) -> bool: ...
    @property
    def bf16(self) -> bool: ...
    @property
    def xla(self) -> bool: ...
    @property
    def cpu(self) -> bool: ...
    @property
    def device_map(self) -> Sequence[int]: ...


def engine(text: str) -> str:
    if text not in TITLES:
        raise ValueError('expected one of %s, got %r' % (', '.join(TITLES), text))
    return text


def product_type(options: EngineOptions) -> str:
    """The type of an engine's products: int8, bfloat16 or float32. On GPUs, -fp16 also computes in float16."""
    return 'int8' if options.int8 else 'bfloat16' if options.bf16 else 'float32'


def describe_engine(options: EngineOptions) -> str:
    """Describe the engine and the type of its products, for the log."""
    return '%s, %s' % (TITLES[options.engine], product_type(options))


def check_engine(options: EngineOptions) -> None:
    """Check that the engine supports the other options.

    Raises:
        UsageError: an option is not supported; the message says what to do.
    """
    if options.engine == TENSORFLOW:
        if options.int8:
            raise UsageError('-int8 needs ONNX Runtime: add -engine onnxruntime')
        return
    if options.bf16:
        raise UsageError('-bf16 needs TensorFlow: remove -engine onnxruntime, or use -int8 instead of -bf16')
    if options.xla:
        raise UsageError('-xla needs TensorFlow: remove -xla or -engine onnxruntime')
    if not options.cpu and any(device >= 0 for device in options.device_map):
        raise UsageError('-engine onnxruntime runs on the CPU only: remove it, or remove -device_map')
