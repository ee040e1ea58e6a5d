"""Tokens with their positions in a text, and texts from ids, for requests without vectors.

Pure. Unlike rows, these are never truncated, because callers that count tokens want all of them. T is the number of
tokens in the longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import RequestError, TooLarge
from ..protocol.wire import Answer
from .tokenizer import Tokenizer

MAX_PLACES = 1 << 22
"""The maximum tokens of a result, padding included, because each takes about a hundred bytes of JSON."""

NOWHERE = -1
"""The position of a special token."""


def spell(tokenizer: Tokenizer, texts: Sequence[Any], first_row: int, prompt: str = '') -> Answer:
    """Return int32 [rows, T, 3] with the id, start and end (in characters of the text) of each token.

    `prompt` comes before each text, and positions count from its start. Special tokens around a text have the position
    `NOWHERE`; padding is 0. The tokens are given as they stand in the text, not as in the vocabulary.

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
            raise TooLarge(
                'element %d has %d characters, but the limit for offsets is %d: shorten it'
                % (index, len(whole), MAX_PLACES)
            )
        places = tokenizer.spell(whole)
        before, after = ([(id_, NOWHERE, NOWHERE) for id_ in ids] for ids in (template.before, template.after))
        rows.append([*before, *places, *after])
        inner = [whole[start:end] for _, start, end in places]
        tokens.append([*tokenizer.tokens_of(template.before), *inner, *tokenizer.tokens_of(template.after)])
        longest = max(map(len, rows))
        if longest * len(texts) > MAX_PLACES:
            raise TooLarge(
                'element %d has %d tokens, too many for a request of %d texts: send long texts alone'
                % (index, longest, len(texts))
            )
    counts = [len(row) for row in rows]
    array = np.zeros((len(rows), max(counts), 3), np.int32)
    for row, at in zip(rows, array, strict=True):
        at[: len(row)] = np.array(row, np.int32).reshape(-1, 3)
    return Answer('int32', list(array.shape), array.tobytes(), tokens, counts, [])


def unspell(tokenizer: Tokenizer, rows: Sequence[Any], first_row: int, keeps_special: bool) -> Answer:
    """Decode each row of ids to a text, returned as the only token of its row. The array is int32 [rows, 1] of zeros.

    Raises:
        RequestError: a row is not a list of ids, or an id is not in the vocabulary.
    """
    for index, row in enumerate(rows, first_row):
        if isinstance(row, str) or any(isinstance(id_, str) for id_ in row):
            raise RequestError('decode: expected a list of ids as element %d' % index)
        for id_ in row:
            if not tokenizer.has_id(id_):
                raise RequestError('element %d has the id %d, which is not in the vocabulary' % (index, id_))
    texts = [[tokenizer.decode(row, keeps_special)] for row in rows]
    return Answer('int32', [len(rows), 1], bytes(4 * len(rows)), texts, [len(row) for row in rows], [])
