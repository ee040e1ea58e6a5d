"""Cut very long texts, to tokenize no more than fits into a row. Pure.

Tokenizing a text of sixty megabytes would take minutes and gigabytes, for the few hundred tokens of a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ..errors import TooLarge

MOST_CHARS = 1 << 22
"""The maximum characters to tokenize. Four million characters with fewer tokens than a row are not a real text."""

GROWTH = 8
"""The factor by which the tokenized part of a text grows if it has too few tokens."""

Ids = list[int]
Encode = Callable[[str], Ids]

# White space, ASCII punctuation and ideographs, but only those that also end a word for `str.lower`: its rule for a
# final sigma looks past an apostrophe, a colon, a full stop, a caret and a grave accent.
_BEFORE_WORD = re.compile('[\\s!"#$%&()*+,/;<=>?@\\[\\\\\\]{|}~_\u3000-\u3002\u3400-\u4dbf\u4e00-\u9fff-]')


def slices(text: str, size: int) -> Iterator[str]:
    """Yield a text in slices of at least `size` characters (except the last), cut at the ends of words.

    Raises:
        TooLarge: a slice would have more than MOST_CHARS.
    """
    start = 0
    while len(text) - start > size:
        found = _BEFORE_WORD.search(text, start + size, start + MOST_CHARS)
        if found is None:
            break
        yield text[start : found.start()]
        start = found.start()
    if len(text) - start > MOST_CHARS:
        raise TooLarge('a text has more than %d characters without white space: shorten it' % MOST_CHARS)
    yield text[start:] if start else text


def ids_of_beginning(text: str, chars: int, most: int, margin: int, encode: Encode) -> Ids:
    """Return at least `most` ids from the beginning of a text longer than `chars`, or all its ids if it has fewer.

    It discards the last `margin` ids of a part, because they can depend on the text after it.

    Raises:
        TooLarge: MOST_CHARS characters have too few ids.
    """
    while chars < min(len(text), MOST_CHARS):
        found = _BEFORE_WORD.search(text, chars, chars + chars // 2)
        ids = encode(text[: found.start() if found else chars])
        if len(ids) >= most + margin:
            return ids[: len(ids) - margin]
        chars *= GROWTH
    return encode(_no_longer_than_most(text))


def ids_of_end(text: str, chars: int, most: int, margin: int, encode: Encode) -> Ids:
    """Return at least `most` ids from the end of a text, or all its ids if it has fewer.

    It discards the first `margin` ids of a part, because they can depend on the text before it.

    Raises:
        TooLarge: MOST_CHARS characters have too few ids.
    """
    while chars < min(len(text), MOST_CHARS):
        found = _BEFORE_WORD.search(text, len(text) - chars - chars // 2, len(text) - chars)
        ids = encode(text[found.start() if found else len(text) - chars :])
        if len(ids) >= most + margin:
            return ids[margin:]
        chars *= GROWTH
    return encode(_no_longer_than_most(text))


def _no_longer_than_most(text: str) -> str:
    if len(text) > MOST_CHARS:
        raise TooLarge(
            'a text has %d characters, of which %d have fewer tokens than a row: shorten it' % (len(text), MOST_CHARS)
        )
    return text
