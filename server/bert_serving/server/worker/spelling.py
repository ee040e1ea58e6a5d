"""Tokens with their places in a text, and texts from ids: the answers to requests that want no vectors.

Pure. Unlike rows, these are never cut: a caller who counts the tokens of a text wants all of them. T tokens of the
longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import RequestError, TooLarge
from ..protocol.wire import Answer
from .tokenizer import Tokenizer

MAX_PLACES = 1 << 22
"""The most tokens of an answer, padding included: as JSON they are about a hundred bytes each."""

NOWHERE = -1
"""The place of a special token."""


def spell(tokenizer: Tokenizer, texts: Sequence[Any], first_row: int, prompt: str = '') -> Answer:
    """Answer int32 [rows, T, 3]: of each token its id, and its start and end in the text, in characters.

    `prompt` is put before each text, and counts. A special token around a text has the places `NOWHERE`; padding is 0.
    Instead of its name in the vocabulary, a token is answered as it stands in the text.

    Raises:
        RequestError: a text is a list.
        TooLarge: there are too many tokens.
    """
    template = tokenizer.template
    rows: list[list[tuple[int, int, int]]] = []
    tokens: list[list[str]] = []
    for index, text in enumerate(texts, first_row):
        if not isinstance(text, str):
            raise RequestError('offsets: expected a text as element %d, got a list' % index)
        whole = prompt + text
        if len(whole) > MAX_PLACES:
            raise TooLarge('element %d has %d characters, and at most %d are divided' % (index, len(whole), MAX_PLACES))
        places = tokenizer.spell(whole)
        before, after = ([(id_, NOWHERE, NOWHERE) for id_ in ids] for ids in (template.before, template.after))
        rows.append([*before, *places, *after])
        inner = [whole[start:end] for _, start, end in places]
        tokens.append([*tokenizer.tokens_of(template.before), *inner, *tokenizer.tokens_of(template.after)])
        longest = max(map(len, rows))
        if longest * len(texts) > MAX_PLACES:
            raise TooLarge(
                'element %d has %d tokens, which is too much with %d texts: send long texts alone'
                % (index, longest, len(texts))
            )
    counts = [len(row) for row in rows]
    array = np.zeros((len(rows), max(counts), 3), np.int32)
    for row, at in zip(rows, array, strict=True):
        at[: len(row)] = np.array(row, np.int32).reshape(-1, 3)
    return Answer('int32', list(array.shape), array.tobytes(), tokens, counts, [])


def unspell(tokenizer: Tokenizer, rows: Sequence[Any], first_row: int, keeps_special: bool) -> Answer:
    """Answer, as the only token of each row, the text that its ids stand for; the array is int32 [rows, 1], of zeros.

    Raises:
        RequestError: a row is no list of ids, or the vocabulary has no such id.
    """
    for index, row in enumerate(rows, first_row):
        if isinstance(row, str) or any(isinstance(id_, str) for id_ in row):
            raise RequestError('decode: expected a list of ids as element %d' % index)
        for id_ in row:
            if not tokenizer.has_id(id_):
                raise RequestError('element %d has the id %d, and the vocabulary has no such token' % (index, id_))
    texts = [[tokenizer.decode(row, keeps_special)] for row in rows]
    return Answer('int32', [len(rows), 1], bytes(4 * len(rows)), texts, [len(row) for row in rows], [])
