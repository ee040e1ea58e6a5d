"""Canonical decomposition (NFD) of any text in linear time. Pure.

`unicodedata.normalize` sorts the combining marks after a letter by insertion, in quadratic time: 80 KB of two
alternating marks take seconds, and a megabyte takes an hour.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

from .character_table import CharacterTable

FEW_CHARS = 256
"""The maximum characters of a text that is always fast."""

STRIDE, IN_A_ROW = 16, 4
"""Checking every sixteenth character finds any run of more than `STRIDE * IN_A_ROW` marks."""


def decompose(text: str) -> str:
    """Return `unicodedata.normalize('NFD', text)`."""
    if len(text) > FEW_CHARS and not text.isascii() and _long_runs().search(text[::STRIDE]):
        return _decompose_slowly(text)
    return unicodedata.normalize('NFD', text)


def _decompose_slowly(text: str) -> str:
    """Decompose each character, then sort each run of marks by class with a stable sort."""
    return _runs().sub(lambda run: ''.join(sorted(run[0], key=unicodedata.combining)), text.translate(_DECOMPOSED))


def _decomposed(char: str) -> str:
    return unicodedata.normalize('NFD', char)


_DECOMPOSED = CharacterTable(_decomposed)


@cache
def _marks() -> str:
    """The regular expression's character class of all marks that can be reordered."""
    marks = [code for code in range(sys.maxunicode + 1) if unicodedata.combining(chr(code))]
    return '[%s]' % ''.join(map(chr, marks))


@cache
def _long_runs() -> re.Pattern[str]:
    return re.compile('%s{%d}' % (_marks(), IN_A_ROW))


@cache
def _runs() -> re.Pattern[str]:
    return re.compile('%s{2,}' % _marks())
