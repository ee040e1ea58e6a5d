"""Recommend `-bf16` or advise against it, by the flags of the processor.

Pure, except that `read_flags` reads a file; imports no TensorFlow. A worker on the CPU asks when its graph is loaded.
"""

from __future__ import annotations

from collections.abc import Set

CPUINFO = '/proc/cpuinfo'

_BFLOAT16 = ('amx_bf16', 'avx512_bf16')
"""The flags of instructions that multiply bfloat16, the fastest first."""


def read_flags(path: str = CPUINFO) -> Set[str]:
    """The flags of the processor of this machine; empty if the file cannot be read or has no line of flags."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return parse_flags(file.read())
    except OSError:
        return frozenset()


def parse_flags(cpuinfo: str) -> Set[str]:
    """The flags of the first processor in the text of `/proc/cpuinfo`; empty if it has none."""
    for line in cpuinfo.splitlines():
        name, _, words = line.partition(':')
        if name.strip() == 'flags':
            return frozenset(words.split())
    return frozenset()


def recommendation(flags: Set[str], bf16: bool) -> str | None:
    """Advice on `-bf16` for a processor with these flags; None if the option is right or the flags are unknown."""
    unit = next((flag for flag in _BFLOAT16 if flag in flags), None)
    if unit and not bf16:
        return 'this processor has %s: -bf16 would be faster and take less memory, with nearly the same vectors' % unit
    if flags and not unit and bf16:
        return 'this processor has none of %s: it is probably faster without -bf16' % ', '.join(_BFLOAT16)
    return None
