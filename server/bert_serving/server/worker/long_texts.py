"""Where a very long text can be cut, so that no more of it is tokenized than a row can hold. Pure.

A text of sixty megabytes would keep a worker busy for minutes, and take gigabytes, for the few hundred tokens of a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ..errors import TooLarge

MOST_CHARS = 1 << 22
"""A text is tokenized so far at most. Four million characters with fewer tokens than a row has are no text."""

GROWTH = 8
"""How many times more of a text is tried next, if a part has too few tokens."""

Ids = list[int]
Encode = Callable[[str], Ids]

# White space, ASCII punctuation and ideographs; of these, only those that end a word for `str.lower`, too: a final
# sigma looks past an apostrophe, a colon, a full stop, a caret and a grave accent.
_BEFORE_WORD = re.compile('[\\s!"#$%&()*+,/;<=>?@\\[\\\\\\]{|}~_\u3000-\u3002\u3400-\u4dbf\u4e00-\u9fff-]')


def slices(text: str, size: int) -> Iterator[str]:
    """Yield a text in slices of at least `size` characters but the last, each of which begins where a word ends.

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
    """Return at least `most` ids from the beginning of a text longer than `chars`, or all if it has fewer.

    The last `margin` ids of a part are not relied on, because they can depend on what follows.

    Raises:
        TooLarge: MOST_CHARS characters have too few.
    """
    while chars < min(len(text), MOST_CHARS):
        found = _BEFORE_WORD.search(text, chars, chars + chars // 2)
        ids = encode(text[: found.start() if found else chars])
        if len(ids) >= most + margin:
            return ids[: len(ids) - margin]
        chars *= GROWTH
    return encode(_no_longer_than_most(text))


def ids_of_end(text: str, chars: int, most: int, margin: int, encode: Encode) -> Ids:
    """Return at least `most` ids from the end of a text, or all if it has fewer.

    The first `margin` ids of a part are not relied on, because they can depend on what comes before.

    Raises:
        TooLarge: MOST_CHARS characters have too few.
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
