"""From the texts of one job to rows of ids, and from rows to the arrays that a graph is fed; layer L1, pure.

The intake thread of a worker calls `parse_texts` and `RowEncoder.encode`, its compute thread `pack`. A job is one of
1.10's sub-batches: it is what L, the length that rows are cut to, is computed on when `-max_seq_len` is NONE.

A row is `[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]` for a pair. Dimensions: B rows of a batch, T positions of a batch,
L positions that 1.10 would have fed for the row's job.
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
"""What one row is made from: a text, or the tokens that a client made of one, or their ids."""

PAIR_MARKER = '|||'
PAD_ID = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One row as the model is fed it, without padding.

    `ids` are those of all its tokens; the first `first_segment` of them have type id 0, the rest, the second text of a
    pair, type id 1. `specials_masked` says that [CLS] and [SEP] have mask 0, which every other token has not.
    `job_length` is L.
    """

    ids: list[int]
    first_segment: int
    specials_masked: bool
    job_length: int

    def __len__(self) -> int:
        """How many positions hold a token, [CLS] and [SEP] included."""
        return len(self.ids)

    @property
    def depends_on_padding(self) -> bool:
        """Whether no token of it has mask 1, so that attention falls on padding as much as on tokens.

        The vector of such a row changes with T: it is 1.10's only in a batch where T is its `compute_length`, neither
        less nor more. Every other row has the same vector in any batch that it fits in.
        """
        return not self.ids or (self.specials_masked and len(self.ids) == 2)

    @property
    def compute_length(self) -> int:
        """The least T of a batch that this row can take part in."""
        return self.job_length if self.depends_on_padding else len(self.ids)


@dataclass(frozen=True, slots=True)
class JobRows:
    """The rows of a job, in the order of its texts, and their L."""

    rows: list[Row]
    max_len: int


class RowEncoder:
    """Makes the rows of a job, cut and masked as the options say."""

    def __init__(
        self,
        wordpiece: WordPiece,
        max_seq_len: int | None,
        max_position_embeddings: int,
        mask_cls_sep: bool,
        no_special_token: bool,
    ) -> None:
        """The options of the same names; `max_seq_len` None is `NONE`. Both lengths are at least 4."""
        self._wordpiece = wordpiece
        self._max_seq_len = max_seq_len
        self._max_position_embeddings = max_position_embeddings
        self._mask_cls_sep = mask_cls_sep
        self._no_special_token = no_special_token
        self._most = max_seq_len or max_position_embeddings  # ids of a half: no row has more, however it is cut

    def encode(self, texts: Sequence[Text], first_row: int = 0) -> JobRows:
        """The rows of a job, one for each of its texts, of which there is at least one; `first_row` counts in errors.

        Ids are those of the tokens of a single text, without [CLS] and [SEP]. A text is a pair when `' ||| '` stands in it, and no newline does; its last one counts. A list of tokens is a
        pair at its first `'|||'`. A pair without a token on its right is a single text.

        Raises:
            RequestError: the model has no such id.
        """
        segments = [self._segments(text, index) for index, text in enumerate(texts, first_row)]
        max_len = self._job_length(segments) if self._max_seq_len is None else self._max_seq_len
        rows = [self._row(a, b, isinstance(text, list), max_len) for text, (a, b) in zip(texts, segments, strict=True)]
        return JobRows(rows, max_len)

    def tokens(self, row: Row) -> list[str]:
        """The tokens that the model is fed for a row, [CLS] and [SEP] included where it has them."""
        return self._wordpiece.tokens_of(row.ids)

    def _segments(self, text: Text, index: int) -> tuple[list[int], list[int]]:
        """The ids of the first and of the second half of text `index`, without special tokens; what no row can hold is cut."""
        if isinstance(text, list):
            if text and isinstance(text[0], int):
                return self._check_ids(text, index)[: self._most], []
            text = cast('list[str]', text)
            at = text.index(PAIR_MARKER) if PAIR_MARKER in text else len(text)
            halves = text[:at][: self._most], text[at + 1 :][: self._most]
            return self._wordpiece.tokens_to_ids(halves[0]), self._wordpiece.tokens_to_ids(halves[1])
        text = text.strip()
        first, marker, second = text.rpartition(f' {PAIR_MARKER} ')
        if not marker or '\n' in text:
            return self._wordpiece.encode(text, self._most), []
        return self._wordpiece.encode(first, self._most), self._wordpiece.encode(second, self._most)

    def _check_ids(self, ids: list[int], index: int) -> list[int]:
        for id_ in ids:
            if not self._wordpiece.has_id(id_):
                raise RequestError(f'element {index} has the id {id_}, and the vocabulary has no such token')
        return ids

    def _job_length(self, segments: Iterable[tuple[list[int], list[int]]]) -> int:
        """L where no option sets it: the longest row of the job, and three special tokens if any row is a pair."""
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
    """How many of the `a` and `b` tokens of a pair are kept, from the left, for `room` in all.

    The same as dropping the last token of the longer half, of the second if they are equally long, until they fit.
    """
    half = room // 2
    return min(a, max(room - half, room - b)), min(b, max(half, room - a))


def pack(rows: Sequence[Row], width: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """`input_ids`, `input_mask` and `input_type_ids` of a batch, each int32 [B, T] with T = `width`, 0 where no token is.

    Raises:
        ValueError: a row needs more than `width`.
    """
    needed = max((row.compute_length for row in rows), default=0)
    if needed > width:
        raise ValueError(f'a row needs {needed} positions, the batch has {width}')
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
