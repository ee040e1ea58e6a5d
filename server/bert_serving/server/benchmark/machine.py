"""The processor of this machine, as the report names it."""

from __future__ import annotations

import contextlib
import os
import platform

from ..worker.cpu_flags import CPUINFO, read_flags

_UNITS = ('avx2', 'avx_vnni', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_int8', 'amx_bf16')
"""The flags of a processor that decide how fast it multiplies matrices."""


def describe_machine() -> str:
    """The processor, the number of available cores, and its instructions for matrix products."""
    flags = read_flags()
    return ', '.join(
        [describe_processor(), *(flag for flag in _UNITS if flag in flags), 'Python ' + platform.python_version()]
    )


def describe_processor() -> str:
    """The name of the processor, and the number of cores that this process may use."""
    return '%s, %d cores' % (_model_name() or platform.machine(), len(os.sched_getaffinity(0)))


def _model_name() -> str:
    with contextlib.suppress(OSError), open(CPUINFO, encoding='utf-8', errors='replace') as file:
        for line in file:
            name, _, value = line.partition(':')
            if name.strip() == 'model name':
                return value.strip()
    return platform.processor().strip()
