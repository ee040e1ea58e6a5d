"""Parsers of option values: each parses one word, or raises a ValueError that says what it expected."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..console.logs import FORMATS
from ..console.suggestions import did_you_mean
from ..model.pooling import PoolingStrategy


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """Make a parser of whole numbers from `least` to `most`."""
    wanted = 'a whole number of at least %d' % least if most is None else 'a number from %d to %d' % (least, most)

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError('expected %s, got %r' % (wanted, text)) from None
        if value < least or (most is not None and value > most):
            raise ValueError('expected %s, got %d' % (wanted, value))
        return value

    return parse


def one_of(words: Collection[str]) -> Callable[[str], str]:
    """Make a parser that accepts only these words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError('expected one of %s, got %r%s' % (', '.join(words), text, did_you_mean(text, words)))
        return text

    return parse


def host(text: str) -> str:
    """Parse an address or a name. It rejects empty text, which sockets would take for every address."""
    if not text.strip():
        raise ValueError('expected an address or a name, got %r' % text)
    return text.strip()


def integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError('expected an integer, got %r' % text) from None


def fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float('nan')
    if not 0.0 < value <= 1.0:
        raise ValueError('expected a fraction above 0 and up to 1, got %r' % text)
    return value


def sequence_length(text: str) -> int | None:
    """Parse `-max_seq_len`: at least 4, for [CLS], [SEP] and a token or two, or NONE for the longest of each batch."""
    if text in ('NONE', 'none', 'None'):
        return None
    try:
        value = int(text)
    except ValueError:
        raise ValueError('expected a number above 3, or NONE; got %r' % text) from None
    if value <= 3:
        raise ValueError('expected a number above 3, or NONE; got %d' % value)
    return value


def log_format(text: str) -> str:
    if text not in FORMATS:
        raise ValueError('expected one of %s; got %r%s' % (', '.join(FORMATS), text, did_you_mean(text, FORMATS)))
    return text


NO_FOLDER = 'NONE'
"""The value NONE of a folder option, for no folder. A folder of this name is `./NONE`."""


def folder_or_none(text: str) -> str:
    """Parse the name of a folder, or NONE for no folder."""
    if not text.strip():
        raise ValueError('expected a folder or NONE, got %r' % text)
    return NO_FOLDER if text in ('none', 'None') else text


def pooling_strategy(text: str) -> PoolingStrategy:
    try:
        return PoolingStrategy.from_string(text)
    except KeyError as error:
        raise ValueError(error.args[0] + did_you_mean(text, PoolingStrategy.__members__)) from None


port_number = whole_number(0, 65535)
