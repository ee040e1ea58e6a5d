"""What the processor's flags say about the options; pure, but for the one function that reads them.

Called by a worker on the CPU when it has loaded its graph. Imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Set

CPUINFO = '/proc/cpuinfo'

_BFLOAT16 = ('amx_bf16', 'avx512_bf16')
"""The flags of units that multiply bfloat16, the fastest first."""


def read_flags(path: str = CPUINFO) -> Set[str]:
    """The flags of this machine's processor; none where there is no such file, or no such line in it."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return parse_flags(file.read())
    except OSError:
        return frozenset()


def parse_flags(cpuinfo: str) -> Set[str]:
    """The flags of the first processor in the text of `/proc/cpuinfo`."""
    for line in cpuinfo.splitlines():
        name, _, words = line.partition(':')
        if name.strip() == 'flags':
            return frozenset(words.split())
    return frozenset()


def recommendation(flags: Set[str], bf16: bool) -> str | None:
    """What to do about `-bf16` on a processor with these flags; None if it is as it should be, or they are unknown."""
    unit = next((flag for flag in _BFLOAT16 if flag in flags), None)
    if unit and not bf16:
        return 'this processor has %s: with -bf16 it is faster and takes less memory, close to the same answers' % unit
    if flags and not unit and bf16:
        return 'this processor has none of %s: without -bf16 it may well be faster' % ', '.join(_BFLOAT16)
    return None
