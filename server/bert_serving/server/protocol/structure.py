"""Check JSON before parsing it: would it be much larger in memory than as text? Pure.

An empty list takes three bytes in JSON and sixty in memory: sixty megabytes can take a process seconds and gigabytes.
The check takes a time that is linear in the size of the text. The ventilator has its own, in slices (`elements.py`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

CHUNK_BYTES = 1 << 20
"""Bytes to check at a time, to save memory."""

_NOT_BRACKETS = bytes(set(range(256)) - set(b'[]{}'))


def without_strings(text: bytes) -> bytes:
    """Return JSON without its strings. A string without an end reaches to the end of the text.

    An invalid backslash outside of a string can hide the text after it, but no parser reads beyond it.
    """
    if b'"' not in text:
        return text
    if b'\\' in text:  # escaped quotes begin and end nothing; pairs of backslashes escape each other
        text = text.replace(b'\\\\', b'  ').replace(b'\\"', b'  ')
    kept: list[bytes] = []
    is_inside = 0
    for start in range(0, len(text), CHUNK_BYTES):
        chunk = np.frombuffer(text, np.uint8, min(CHUNK_BYTES, len(text) - start), start)
        inside = np.add.accumulate(chunk == ord('"'), dtype=np.uint8)  # the lowest bit, which survives an overflow
        inside = (inside + is_inside) & 1
        is_inside = int(inside[-1])
        kept.append(chunk[(inside == 0) & (chunk != ord('"'))].tobytes())
    return b''.join(kept)


def find_excess(text: bytes, max_depth: int, max_elements: int) -> Literal['depth', 'elements'] | None:
    """Return the limit that JSON exceeds, or None if it exceeds none.

    First it counts all brackets and commas, which is fast. Only if these are too many, it leaves out strings.
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
