"""What somebody may have meant by a word that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LEAST_LIKENESS = 0.7
"""Of two words, as `difflib` measures it: below, as of gpu and cpu, a guess would mislead."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`: did you mean ...?` with the one of `known` that is most like `word`, or nothing; case and dashes do not count."""
    plain = {_plain(name): name for name in known}
    near = get_close_matches(_plain(word), plain, n=1, cutoff=LEAST_LIKENESS)
    if not near:  # half a name, and only of one: MEAN_MAX for REDUCE_MEAN_MAX
        near = [name for name in plain if _plain(word) in name]
    return ': did you mean %s?' % plain[near[0]] if len(near) == 1 else ''


def _plain(word: str) -> str:
    return word.lower().lstrip('-').replace('-', '_')
