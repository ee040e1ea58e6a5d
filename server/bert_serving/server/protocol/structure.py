"""A look at JSON before it is parsed: whether it would be much larger in memory than as text. Pure.

An empty list takes three bytes in JSON and sixty in memory: sixty megabytes can take a process seconds and gigabytes.
The check takes a time that is linear in the size of the text. The ventilator has its own, in slices (`elements.py`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

CHUNK_BYTES = 1 << 20
"""Bytes that are looked at together, so that the look takes little memory."""

_NOT_BRACKETS = bytes(set(range(256)) - set(b'[]{}'))


def without_strings(text: bytes) -> bytes:
    """Return JSON without its strings; a string that does not end reaches to the end of the text.

    An invalid backslash outside of a string can hide what follows it, which no parser reads.
    """
    if b'"' not in text:
        return text
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
