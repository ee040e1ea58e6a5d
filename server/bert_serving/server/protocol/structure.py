"""A look at JSON before it is parsed: whether it would be much larger in memory than as text. Pure.

An empty list takes three bytes in JSON and sixty in memory: sixty megabytes can take a process seconds and gigabytes.
Each check takes a time that is linear in the size of the text.
"""

from __future__ import annotations

from typing import Literal

from ..errors import RequestError, TooLarge
from .wire import Buffer

SMALL_BYTES = 1 << 20
"""A message of that size is harmless with any content: it has at most a third of a million elements."""

SPARE_ELEMENTS = 1_000_000
"""Elements beyond the rows that are harmless, too. Texts of that many commas are not looked at more closely."""

SPARE_LISTS = 100_000
"""The same for lists; texts can have brackets."""

MAX_TOKENS = 4_000_000
"""Most tokens of all rows of one message."""

CHUNK_BYTES = 1 << 20
"""Bytes that are looked at together, so that the look takes little memory."""

_NOT_BRACKETS = bytes(set(range(256)) - set(b'[]{}'))


def without_strings(text: bytes) -> bytes:
    """Return JSON without its strings; a string that does not end reaches to the end of the text.

    An invalid backslash outside of a string can hide what follows it, which no parser reads.
    """
    if b'"' not in text:
        return text
    import numpy as np  # the ventilator needs it for large and odd messages alone

    if b'\\' in text:  # escaped quotes begin and end nothing; pairs of backslashes escape each other
        text = text.replace(b'\\\\', b'  ').replace(b'\\"', b'  ')
    kept: list[bytes] = []
    is_inside = 0
    for start in range(0, len(text), CHUNK_BYTES):
        chunk = np.frombuffer(text, np.uint8, min(CHUNK_BYTES, len(text) - start), start)
        inside = np.add.accumulate(chunk == ord('"'), dtype=np.uint8)  # its lowest bit, which an overflow keeps
        inside = (inside + is_inside) & 1
        is_inside = int(inside[-1])
        kept.append(chunk[(inside == 0) & (chunk != ord('"'))].tobytes())
    return b''.join(kept)


def find_excess(text: bytes, max_depth: int, max_elements: int) -> Literal['depth', 'elements'] | None:
    """Return in what JSON exceeds a limit; None if it does not.

    Counts brackets and commas with those inside the strings first, which is fast, and without them only if that is
    too many.
    """
    if text.count(b'[') + text.count(b'{') <= max_depth and text.count(b',') < max_elements:
        return None
    bare = without_strings(text)
    if bare.count(b',') + bare.count(b'[') + bare.count(b'{') > max_elements:
        return 'elements'
    brackets = bare.translate(None, _NOT_BRACKETS)
    for _ in range(max_depth):
        brackets = brackets.replace(b'[]', b'').replace(b'{}', b'')
    return 'depth' if brackets else None


def check_rows(payload: Buffer, rows: int) -> None:
    """Check that the JSON of a request has about as many elements as `rows` texts, pairs or lists of tokens have.

    Raises:
        RequestError: it has many more lists or texts than rows.
        TooLarge: it has more than MAX_TOKENS tokens.
    """
    if len(payload) <= SMALL_BYTES:
        return
    text = bytes(payload)
    lists, commas = text.count(b'[') + text.count(b'{'), text.count(b',')
    if lists <= rows + SPARE_LISTS and commas <= rows + SPARE_ELEMENTS:
        return
    bare = without_strings(text)
    lists, commas = bare.count(b'[') + bare.count(b'{'), bare.count(b',')
    if lists > rows + 1:
        raise RequestError('the request announces %d rows, but its JSON has %d lists' % (rows, lists))
    if lists <= 1 and commas > rows:
        raise RequestError('the request announces %d rows, but its list has %d elements' % (rows, commas + 1))
    if commas > rows + MAX_TOKENS:
        raise TooLarge('the message has more than %d tokens: send it in parts' % MAX_TOKENS)
