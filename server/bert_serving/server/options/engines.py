"""The engines that compute a model, and which options each of them has.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UsageError

TENSORFLOW = 'tensorflow'
ONNX_RUNTIME = 'onnxruntime'

TITLES = {TENSORFLOW: 'TensorFlow', ONNX_RUNTIME: 'ONNX Runtime'}
"""The names of the engines for the log."""


def engine(text: str) -> str:
    if text not in TITLES:
        raise ValueError('expected one of %s, got %r' % (', '.join(TITLES), text))
    return text


def check_engine(name: str, *, bf16: bool, xla: bool, device_map: Sequence[int]) -> None:
    """Check that the engine `name` has these options.

    Raises:
        UsageError: it does not have one of them; the message says what to do.
    """
    if name == TENSORFLOW:
        return
    if bf16:
        raise UsageError('-bf16 needs the other engine: remove -bf16 or -engine onnxruntime')
    if xla:
        raise UsageError('-xla needs the other engine: remove -xla or -engine onnxruntime')
    if any(device >= 0 for device in device_map):
        raise UsageError('-engine onnxruntime computes on the CPU only: remove it, or -device_map')
