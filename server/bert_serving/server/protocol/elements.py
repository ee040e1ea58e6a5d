"""Cut a JSON list into shorter ones without parsing it, a slice of the text at a time. Pure.

A parser would block the one thread of the ventilator for as long as a large request takes. A scan of the brackets,
commas and quotes alone is faster, and can pause after each slice. The scan raises the errors that it finds, such as a
wrong number of elements, immediately. The workers parse the shorter lists and check the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import RequestError, TooLarge
from .unicode import decode, describe_error, detect_encoding
from .wire import Buffer

SLICE_BYTES = 1 << 18
"""Bytes to scan in a step, which takes a few milliseconds."""

MAX_TOKENS = 4_000_000
"""The maximum tokens in all rows of one message."""

MAX_LISTS = 400
"""The maximum lists that a step yields, because the caller has work with each."""

MAX_RECODED_BYTES = 16 << 20
"""The maximum size of a message in another encoding than UTF-8, because it is recoded in one step."""

Bytes: TypeAlias = NDArray[np.uint8]
Places: TypeAlias = NDArray[np.intp]
Depths: TypeAlias = NDArray[np.int64]

_OPEN, _CLOSE, _COMMA, _QUOTE, _DIGIT = (ord(character) for character in '[],"0')

_IS_BLANK = np.zeros(256, bool)
_IS_BLANK[list(b' \t\r\n')] = True

_STEP = np.zeros(256, np.int8)
_STEP[list(b'[{')] = 1
_STEP[list(b']}')] = -1

_KIND = np.arange(256, dtype=np.uint8)
_KIND[list(b'-123456789')] = _DIGIT

_TYPES = {
    **dict.fromkeys(b'"', 'str'),
    **dict.fromkeys(b'[', 'list'),
    **dict.fromkeys(b'{', 'dict'),
    **dict.fromkeys(b'tf', 'bool'),
    **dict.fromkeys(b'n', 'NoneType'),
    **dict.fromkeys(b'NI', 'float'),
}
"""The types of JSON values by their first bytes, except for numbers."""

_NUMBER = re.compile(rb'-?[0-9]+([.eE])?')


def cut_list(text: Buffer, elements: int, at_once: int, slice_bytes: int = SLICE_BYTES) -> Iterator[list[bytes]]:
    """Cut a JSON list of `elements` texts or lists into lists of `at_once` elements. The last list has the rest.

    Each step scans `slice_bytes` and yields the lists that end there, after a check of the first byte of each element.

    Raises:
        RequestError: `text` is not such a list, or has another number of elements.
        TooLarge: the lists in it have more than MAX_TOKENS tokens.
    """
    cutter = _ListCutter(_in_utf8(text), elements, at_once)
    while not cutter.is_complete:
        lists = cutter.advance(slice_bytes)
        for start in range(0, max(1, len(lists)), MAX_LISTS):
            yield lists[start : start + MAX_LISTS]
    if not cutter.has_ended:
        raise RequestError('the message is not JSON: its list does not end')


def _in_utf8(text: Buffer) -> bytes:
    encoding, mark = detect_encoding(text)
    if encoding == 'utf-8':
        return bytes(text[mark:])
    if len(text) > MAX_RECODED_BYTES:
        raise RequestError('the message is not UTF-8: send it in UTF-8, or in parts')
    try:
        return decode(text).encode('utf-8', 'surrogatepass')
    except UnicodeDecodeError as error:
        raise RequestError('the message %s' % describe_error(error)) from None


class _ListCutter:
    """The state of a scan up to a position in the text of a list.

    The *tokens* of a text are its bytes that are neither blank nor inside a string, including the opening quote.
    """

    def __init__(self, text: bytes, elements: int, at_once: int) -> None:
        self._text = text
        self._expected = elements
        self._at_once = at_once
        self._at = 0
        self._is_inside = 0  # 1 if that is in a string
        self._depth = 0
        self._previous = 0  # the last token
        self._commas = 0  # between elements
        self._inner_commas = 0
        self._start = -1  # of the elements that are not cut off yet; -1 before the list begins
        self._element_kind: int | None = None
        self._inner_kind: int | None = None
        self.has_ended = False

    @property
    def is_complete(self) -> bool:
        """Whether the whole text is scanned."""
        return self._at >= len(self._text)

    def advance(self, size: int) -> list[bytes]:
        """Scan the next bytes, and return the lists that end there."""
        base, self._at = self._at, self._end_of_slice(size)
        text = self._text[base : self._at]
        if b'\\' in text:  # escaped quotes begin and end nothing; pairs of backslashes escape each other
            text = text.replace(b'\\\\', b'__').replace(b'\\"', b'__')
        places, tokens = self._find_tokens(np.frombuffer(text, np.uint8))
        if not len(tokens):
            return []
        steps = _STEP[tokens]
        depths = np.cumsum(steps, dtype=np.int64) + self._depth  # after each token
        self._check_frame(tokens, depths)
        preceding = np.concatenate((np.array([self._previous], np.uint8), tokens[:-1]))
        commas = np.flatnonzero((tokens == _COMMA) & (depths == 1))
        self._check_kinds(base, places, tokens, preceding, depths - steps, commas)
        self._check_numbers(tokens, depths, commas)
        if self._start < 0:
            self._start = base + int(places[0]) + 1
        first = self._at_once - 1 - self._commas % self._at_once
        lists = [self._cut(comma) for comma in (base + places[commas[first :: self._at_once]]).tolist()]
        self._commas += len(commas)
        self._depth, self._previous = int(depths[-1]), int(tokens[-1])
        if self._depth == 0:
            self._end()
            lists.append(self._cut(base + int(places[-1])))
        return lists

    def _end_of_slice(self, size: int) -> int:
        """Return the end of the next slice, which does not separate a backslash from the escaped character."""
        text = self._text[self._at : self._at + size]
        is_between = (len(text) - len(text.rstrip(b'\\'))) % 2
        return min(self._at + len(text) + is_between, len(self._text))

    def _find_tokens(self, text: Bytes) -> tuple[Places, Bytes]:
        quotes = text == _QUOTE
        inside = np.add.accumulate(quotes, dtype=np.uint8)  # its lowest bit, which an overflow keeps
        inside = (inside + np.uint8(self._is_inside)) & 1
        self._is_inside = int(inside[-1])
        places = np.flatnonzero(((inside == 0) ^ quotes) & ~_IS_BLANK[text])
        return places, text[places]

    def _check_frame(self, tokens: Bytes, depths: Depths) -> None:
        """Check that the text has nothing but the list, and that the list is not too deep."""
        if self._start < 0 and tokens[0] != _OPEN:
            kind = self._type_at(self._text.find(bytes(tokens[:1])))
            raise RequestError('expected a list of texts or of lists of tokens, got %s' % kind)
        ends = np.flatnonzero(depths <= 0)
        if self.has_ended or (len(ends) and (ends[0] != len(tokens) - 1 or tokens[-1] != _CLOSE)):
            raise RequestError('the message is not JSON: something follows its list')
        if depths.max() > 2:
            raise RequestError('the message is nested too deeply: expected a list of texts or of token lists')

    def _check_kinds(
        self, base: int, places: Places, tokens: Bytes, preceding: Bytes, depths: Depths, commas: Places
    ) -> None:
        """Check the first token of each element, and of each inner list; `depths` are the depths before the tokens."""
        begins = (preceding == _COMMA) | (preceding == _OPEN)
        firsts = np.flatnonzero((depths == 1) & begins)
        wrong, self._element_kind = _find_other(tokens, firsts, self._element_kind, (_QUOTE, _OPEN))
        if wrong is not None:
            index, kind = self._commas + int(np.searchsorted(commas, wrong)), self._type_at(base + int(places[wrong]))
            if index == 0 and tokens[wrong] == _CLOSE:
                raise RequestError('expected at least one text, got an empty list')
            expected = {_QUOTE: 'a text, like element 0,', _OPEN: 'a list of tokens, like element 0,'}
            what = expected.get(self._element_kind or 0, 'a text or a list of tokens')
            raise RequestError('expected %s as element %d, got %s' % (what, index, kind))
        inner = np.flatnonzero((depths == 2) & (preceding == _OPEN) & (tokens != _CLOSE))
        wrong, self._inner_kind = _find_other(tokens, inner, self._inner_kind, (_QUOTE, _DIGIT))
        if wrong is not None:
            index, kind = self._commas + int(np.searchsorted(commas, wrong)), self._type_at(base + int(places[wrong]))
            what = 'an id' if self._inner_kind == _DIGIT else 'a string'
            raise RequestError('expected %s in element %d as token 0, got %s' % (what, index, kind))

    def _check_numbers(self, tokens: Bytes, depths: Depths, commas: Places) -> None:
        if self._commas + len(commas) >= self._expected:
            raise RequestError('the request announces %d rows, but its list has more elements' % self._expected)
        self._inner_commas += int(np.count_nonzero((tokens == _COMMA) & (depths == 2)))
        if self._inner_commas > MAX_TOKENS:
            raise TooLarge('the message has more than %d tokens: send it in parts' % MAX_TOKENS)

    def _end(self) -> None:
        self.has_ended = True
        if self._commas + 1 != self._expected:
            numbers = self._expected, self._commas + 1
            raise RequestError('the request announces %d rows, but its list has %d elements' % numbers)

    def _cut(self, end: int) -> bytes:
        start, self._start = self._start, end + 1
        if self.has_ended and self._commas < self._at_once:  # the only one
            return self._text
        return b''.join((b'[', memoryview(self._text)[start:end], b']'))

    def _type_at(self, place: int) -> str:
        number = _NUMBER.match(self._text, place)
        if number:
            return 'float' if number[1] else 'int'
        return _TYPES.get(self._text[place], 'invalid JSON')


def _find_other(
    tokens: Bytes, firsts: Places, kind: int | None, known: tuple[int, int]
) -> tuple[int | None, int | None]:
    """Return the first of `firsts` whose token is not of `kind`, and the kind. The first token sets a kind of None."""
    if not len(firsts):
        return None, kind
    kinds = _KIND[tokens[firsts]]
    if kind is None:
        if kinds[0] not in known:
            return int(firsts[0]), None
        kind = int(kinds[0])
    others = np.flatnonzero(kinds != kind)
    return (int(firsts[others[0]]) if len(others) else None), kind
