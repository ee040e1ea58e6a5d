"""Suggest known names close to a misspelled one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MIN_SIMILARITY = 0.7
"""The minimum similarity of two words, by `difflib`. Less similar words, such as gpu and cpu, would mislead."""

MAX_SUGGESTIONS = 2


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `: did you mean ...?` with the names of `known` closest to `word`, or ''. Case and dashes do not count."""
    plain = {_plain(name): name for name in known}
    near = get_close_matches(_plain(word), plain, n=1, cutoff=MIN_SIMILARITY)
    if not near:  # a part of a name: mean for REDUCE_MEAN and REDUCE_MEAN_MAX
        near = [name for name in plain if _plain(word) in name]
    return ': did you mean %s?' % ' or '.join(plain[name] for name in near) if 0 < len(near) <= MAX_SUGGESTIONS else ''


def _plain(word: str) -> str:
    return word.lower().lstrip('-').replace('-', '_')
