"""What somebody may have meant by a word that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LEAST_LIKENESS = 0.7
"""Of two words, as `difflib` measures it: below, as of gpu and cpu, a guess would mislead."""

MOST_GUESSES = 2


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`: did you mean ...?` with those of `known` that are most like `word`, or nothing; case and dashes do not count."""
    plain = {_plain(name): name for name in known}
    near = get_close_matches(_plain(word), plain, n=1, cutoff=LEAST_LIKENESS)
    if not near:  # half a name: mean for REDUCE_MEAN and REDUCE_MEAN_MAX
        near = [name for name in plain if _plain(word) in name]
    return ': did you mean %s?' % ' or '.join(plain[name] for name in near) if 0 < len(near) <= MOST_GUESSES else ''


def _plain(word: str) -> str:
    return word.lower().lstrip('-').replace('-', '_')
