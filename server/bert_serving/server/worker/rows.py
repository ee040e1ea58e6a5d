"""Encode the texts of a job as rows of ids, and pack rows into the arrays that a graph is fed.

Pure. The intake thread of a worker calls `RowEncoder.encode`, its compute thread `pack`. A job corresponds to a
sub-batch of 1.10: when `-max_seq_len` is NONE, L, the length that rows are truncated to, is computed for each job.

A row is `[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]` for a pair. Dimensions: B rows of a batch, T positions of a batch,
L positions that 1.10 would have fed for the job of a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import RequestError
from .wordpiece import WordPiece

Text: TypeAlias = 'str | list[str] | list[int]'
"""The source of one row: a text, the tokens of a text, or the ids of its tokens."""

PAIR_MARKER = '|||'
PAD_ID = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the input of the model, without padding.

    `ids` has the ids of all tokens. The first `first_segment` of them have type id 0; the rest, which are the second text
    of a pair, have type id 1. With `specials_masked`, [CLS] and [SEP] have mask 0; all other tokens have mask 1.
    `job_length` is L.
    """

    ids: list[int]
    first_segment: int
    specials_masked: bool
    job_length: int

    def __len__(self) -> int:
        """The number of tokens, [CLS] and [SEP] included."""
        return len(self.ids)

    @property
    def depends_on_padding(self) -> bool:
        """Whether no token has mask 1, so that padding gets as much attention as the tokens.

        The vector of such a row depends on T: it equals that of 1.10 only in a batch where T is its `compute_length`.
        Any other row has the same vector in every batch that it fits in.
        """
        return not self.ids or (self.specials_masked and len(self.ids) == 2)

    @property
    def compute_length(self) -> int:
        """The smallest T of a batch that this row can join."""
        return self.job_length if self.depends_on_padding else len(self.ids)


@dataclass(frozen=True, slots=True)
class JobRows:
    """The rows of a job, in the order of its texts, and its L, `max_len`."""

    rows: list[Row]
    max_len: int


class RowEncoder:
    """Encodes the texts of a job as rows, truncated and masked as the options say."""

    def __init__(
        self,
        wordpiece: WordPiece,
        max_seq_len: int | None,
        max_position_embeddings: int,
        mask_cls_sep: bool,
        no_special_token: bool,
    ) -> None:
        """Take the options of the same names; `max_seq_len` is None for `NONE`. Both lengths are at least 4."""
        self._wordpiece = wordpiece
        self._max_seq_len = max_seq_len
        self._max_position_embeddings = max_position_embeddings
        self._mask_cls_sep = mask_cls_sep
        self._no_special_token = no_special_token
        self._most = max_seq_len or max_position_embeddings  # no row keeps more ids of a text, however it is truncated

    def encode(self, texts: Sequence[Text], first_row: int = 0) -> JobRows:
        """Encode the texts of a job, at least one, as one row each; errors count the texts from `first_row`.

        A list of ids is a single text, without [CLS] and [SEP]. A text is a pair if it contains `' ||| '` and no newline;
        the last `' ||| '` divides it. A list of tokens is a pair if it contains `'|||'`; the first one divides it. A pair
        without a token in its second text is a single text.

        Raises:
            RequestError: the vocabulary has no such id.
        """
        segments = [self._segments(text, index) for index, text in enumerate(texts, first_row)]
        max_len = self._job_length(segments) if self._max_seq_len is None else self._max_seq_len
        rows = [self._row(a, b, isinstance(text, list), max_len) for text, (a, b) in zip(texts, segments, strict=True)]
        return JobRows(rows, max_len)

    def tokens(self, row: Row) -> list[str]:
        """The tokens of a row, including [CLS] and [SEP] if it has them."""
        return self._wordpiece.tokens_of(row.ids)

    def _segments(self, text: Text, index: int) -> tuple[list[int], list[int]]:
        """The ids of both texts of a pair, or of a single text and [], truncated to what a row can hold at most."""
        if isinstance(text, list):
            if text and isinstance(text[0], int):
                return self._check_ids(text, index)[: self._most], []
            text = cast('list[str]', text)
            at = text.index(PAIR_MARKER) if PAIR_MARKER in text else len(text)
            halves = text[:at][: self._most], text[at + 1 :][: self._most]
            return self._wordpiece.tokens_to_ids(halves[0]), self._wordpiece.tokens_to_ids(halves[1])
        text = text.strip()
        first, marker, second = text.rpartition(' %s ' % PAIR_MARKER)
        if not marker or '\n' in text:
            return self._wordpiece.encode(text, self._most), []
        return self._wordpiece.encode(first, self._most), self._wordpiece.encode(second, self._most)

    def _check_ids(self, ids: list[int], index: int) -> list[int]:
        for id_ in ids:
            if not self._wordpiece.has_id(id_):
                raise RequestError('element %d has the id %d, and the vocabulary has no such token' % (index, id_))
        return ids

    def _job_length(self, segments: Iterable[tuple[list[int], list[int]]]) -> int:
        """L if no option sets it: that of the longest row, with three special tokens if any row of the job is a pair."""
        longest = max(len(a) + len(b) for a, b in segments)
        specials = 3 if any(b for _, b in segments) else 2
        return min(longest + specials, self._max_position_embeddings)

    def _row(self, a: list[int], b: list[int], is_tokenized: bool, max_len: int) -> Row:
        if b:
            kept_a, kept_b = fit_pair(len(a), len(b), max_len - 3)
            a, b = a[:kept_a], b[:kept_b]
        classify, separate = self._wordpiece.classify_id, self._wordpiece.separate_id
        if b:
            ids = [classify, *a, separate, *b, separate]
            return Row(ids, len(a) + 2, self._mask_cls_sep, max_len)
        if is_tokenized and self._no_special_token:
            ids = a[:max_len]
            return Row(ids, len(ids), False, max_len)
        ids = [classify, *a[: max_len - 2], separate]
        return Row(ids, len(ids), self._mask_cls_sep, max_len)


def fit_pair(a: int, b: int, room: int) -> tuple[int, int]:
    """How many of the `a` and `b` tokens of a pair are kept, from the left, if `room` are allowed in total.

    The result is that of dropping the last token of the longer text, or of the second if both are equally long, until the
    pair fits.
    """
    half = room // 2
    return min(a, max(room - half, room - b)), min(b, max(half, room - a))


def pack(rows: Sequence[Row], width: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Make `input_ids`, `input_mask` and `input_type_ids`, each int32 [B, T] with T = `width`, and 0 for padding.

    Raises:
        ValueError: a row needs more than `width` positions.
    """
    needed = max((row.compute_length for row in rows), default=0)
    if needed > width:
        raise ValueError('a row needs %d positions, the batch has %d' % (needed, width))
    lengths = np.fromiter(map(len, rows), np.intp, len(rows))  # [B]
    firsts = np.fromiter((row.first_segment for row in rows), np.intp, len(rows))  # [B]
    positions = np.arange(width)  # [T]
    is_token = positions < lengths[:, np.newaxis]  # [B, T]

    input_ids = np.full(is_token.shape, PAD_ID, np.int32)  # [B, T]
    input_ids[is_token] = np.fromiter(chain.from_iterable(row.ids for row in rows), np.int32, int(lengths.sum()))

    input_type_ids = is_token & (positions >= firsts[:, np.newaxis])  # [B, T]

    masked = np.flatnonzero([row.specials_masked for row in rows])  # [rows whose [CLS] and [SEP] have mask 0]
    input_mask = is_token.astype(np.int32)  # [B, T]
    for special in (0, firsts[masked] - 1, lengths[masked] - 1):
        input_mask[masked, special] = 0
    return input_ids, input_mask, input_type_ids.astype(np.int32)
