"""The rotary positions of a config, under the keys of transformers 4 (`rope_scaling`) and 5 (`rope_parameters`)."""

from __future__ import annotations

from ..config import Rotary
from .base import ConfigFile


def read_rotary(file: ConfigFile, base: float) -> Rotary:
    """Read the rotary positions of a model whose layers are all of one kind. The default base is `base`."""
    section = file.section('rope_scaling') or file.section('rope_parameters')
    base = file.number('rope_theta', default=base)
    return Rotary(base) if section is None else rotary_of(section, base)


def rotary_of(section: ConfigFile, base: float) -> Rotary:
    """Read rotary positions from a JSON object. The type `linear` makes all angles smaller by a factor."""
    kind = section.choice('rope_type' if section.has('rope_type') else 'type', ('default', 'linear'), default='default')
    section.only('partial_rotary_factor', 1.0, default=1.0)
    scale = section.number('factor', default=1.0) if kind == 'linear' else 1.0
    return Rotary(section.number('rope_theta', default=base), scale)
