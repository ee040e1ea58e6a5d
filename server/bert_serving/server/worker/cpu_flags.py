"""Recommend an engine and a type by the flags of the processor.

Pure, except that `read_flags` reads a file. Imports no engine. A worker on the CPU calls it after loading its graph.
"""

from __future__ import annotations

from collections.abc import Set

from ..options.engines import ONNX_RUNTIME, TENSORFLOW

CPUINFO = '/proc/cpuinfo'

_BFLOAT16 = ('amx_bf16', 'avx512_bf16')
"""The flags of instructions that multiply bfloat16, fastest first."""


def read_flags(path: str = CPUINFO) -> Set[str]:
    """The flags of this machine's processor. Empty if the file cannot be read or has no flags."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return parse_flags(file.read())
    except OSError:
        return frozenset()


def parse_flags(cpuinfo: str) -> Set[str]:
    """The flags of the first processor in the text of `/proc/cpuinfo`, or empty."""
    for line in cpuinfo.splitlines():
        name, _, words = line.partition(':')
        if name.strip() == 'flags':
            return frozenset(words.split())
    return frozenset()


def recommendation(
    flags: Set[str], *, engine: str = TENSORFLOW, bf16: bool = False, int8: bool = False, has_onnx: bool = False
) -> str | None:
    """Advice on the engine and type for a processor with these flags, or None if there is nothing to improve.

    `has_onnx` says that ONNX Runtime is installed. The advice follows measurements (docs/benchmark.md).
    """
    unit = next((flag for flag in _BFLOAT16 if flag in flags), None)
    if engine == ONNX_RUNTIME:
        return None if int8 else '-int8 would be faster and take less memory, with nearly the same vectors'
    if unit and not bf16:
        return 'this processor has %s: -bf16 would be faster and take less memory, with nearly the same vectors' % unit
    if not flags or unit:
        return None
    other = '-engine onnxruntime -int8 would be faster and take less memory, with nearly the same vectors'
    if bf16:
        slow = 'this processor has none of %s: ' % ', '.join(_BFLOAT16)
        return slow + (other if has_onnx else 'it is probably faster without -bf16')
    return other if has_onnx else None
