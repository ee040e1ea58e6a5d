"""The key of an export, which covers all its inputs, and the choice of kept exports to remove.

Pure: the digests of files and the facts about the machine come from `export_sources.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..model.folder import Model
from ..model.pipeline import Pipeline
from .spec import GraphSpec

KEY_DIGITS = 32


def export_key(spec: GraphSpec, weights: Iterable[str], maker: Mapping[str, Any]) -> str:
    """Return the key of the export of `spec`. Equal keys mean equal graphs.

    `weights` has the digests of the weight files in a fixed order. `maker` describes the programs and the machine.
    Every field of the spec counts, except the paths of the model, whose contents count instead.
    """
    facts = {
        'spec': {f.name: _plain(getattr(spec, f.name)) for f in fields(spec)},
        'weights': list(weights),
        'maker': maker,
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def _plain(value: Any) -> Any:
    """Convert a field of the spec to JSON without paths."""
    if isinstance(value, Model):
        return {'kind': value.kind, 'config': asdict(value.config)}
    if isinstance(value, Pipeline):
        values = value.to_json()
        for _, settings in values['modules']:
            settings.pop('weights', None)
        return values
    return asdict(value) if hasattr(value, '__dataclass_fields__') else value


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept export."""

    key: str
    bytes: int
    used: float
    """The time of its last use, in seconds since any epoch."""


def entries_to_remove(
    entries: Iterable[Entry], wanted: int, *, limit: int, free: int, least_free: int
) -> list[str] | None:
    """Return the keys of the entries to remove to make room for `wanted` bytes, least recently used first.

    All entries with the new one can have `limit` bytes, and `least_free` of the `free` bytes of the disk must stay
    free. None means that there is not enough room even without other entries.
    """
    by_use = sorted(entries, key=lambda entry: entry.used)
    total, removed = sum(entry.bytes for entry in by_use), []
    while total + wanted > limit or free - wanted < least_free:
        if not by_use:
            return None
        oldest = by_use.pop(0)
        removed.append(oldest.key)
        total, free = total - oldest.bytes, free + oldest.bytes
    return removed
