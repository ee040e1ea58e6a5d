"""The units of a processor that multiply matrices, and which of them an engine uses.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Set

UNITS = {
    'AVX2': ('avx2',),
    'AVX-VNNI': ('avx_vnni',),
    'AVX512F': ('avx512f',),
    'AVX512-VNNI': ('avx512_vnni',),
    'AVX512-BF16': ('avx512_bf16',),
    'AMX-INT8': ('amx_tile', 'amx_int8'),
    'AMX-BF16': ('amx_tile', 'amx_bf16'),
}
"""The units, and the flags of /proc/cpuinfo that a processor with the unit has."""

_FASTEST = {
    'float32': ('AVX512F', 'AVX2'),
    'int8': ('AMX-INT8', 'AVX512-VNNI', 'AVX-VNNI', 'AVX512F', 'AVX2'),
    'bfloat16': ('AMX-BF16', 'AVX512-BF16', 'AVX512F', 'AVX2'),
}
"""The units that an engine can use for products of each type, the fastest first."""

_CAPABILITY = re.compile(r'^torch,capability:(.+?)\s*$', re.MULTILINE)
_ISA = re.compile(r'^(?:onednn|dnnl)_verbose,.*?\binfo,cpu,isa:(.+?)\s*$', re.MULTILINE)


def units_of(flags: Set[str]) -> list[str]:
    """The units of a processor with these flags."""
    return [unit for unit, needed in UNITS.items() if flags >= set(needed)]


def describe_units(flags: Set[str]) -> str:
    """The units that a processor has, and those that it lacks."""
    present = units_of(flags)
    absent = [unit for unit in UNITS if unit not in present]
    parts = [', '.join(present)] if present else []
    return '; '.join(parts + (['without ' + ', '.join(absent)] if absent else []))


def unit_by_flags(kind: str, flags: Set[str]) -> str:
    """The unit that an engine that does not report it probably uses for products of this type."""
    present = units_of(flags)
    unit = next((unit for unit in _FASTEST[kind] if unit in present), None)
    return 'unknown' if unit is None else "%s, by the processor's flags" % unit


def complete_unit(told: str, kind: str, flags: Set[str]) -> str:
    """The unit that an engine has reported, and the probable one if the report names none."""
    if any(name in told.lower() for name in ('avx', 'amx')):
        return told
    probable = unit_by_flags(kind, flags)
    return '%s; %s' % (told, probable) if told else probable


def parse_isa(output: str) -> str | None:
    """The instruction set in the output of `runner.py isa`, by torch or by oneDNN with `ONEDNN_VERBOSE=1`, or None."""
    for pattern, teller in ((_CAPABILITY, 'torch'), (_ISA, 'oneDNN')):
        found = pattern.search(output)
        if found is not None:
            return '%s, says %s' % (found[1], teller)
    return None


def onnx_quantization(flags: Set[str]) -> str:
    """The name of sentence-transformers for the int8 model that suits this processor."""
    present = units_of(flags)
    if 'AVX512-VNNI' in present:
        return 'avx512_vnni'
    return 'avx512' if 'AVX512F' in present else 'avx2'
