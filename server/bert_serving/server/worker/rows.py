"""Encode the texts of a job as rows of ids, and pack rows into the input arrays of a graph.

Pure. The intake thread of a worker calls `RowEncoder.encode`, and its compute thread calls `pack`. A job corresponds to
a sub-batch of 1.10: with `-max_seq_len NONE`, each job has its own L, the length to which rows are truncated.

A row is `[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]` for a pair, or follows the template of another tokenizer.
Dimensions: B rows of a batch, T positions of a batch, L positions that 1.10 would have fed for the job of a row.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import RequestError, TooLong
from ..protocol.options import EncodingOptions, Truncation
from .long_texts import ids_of_end
from .tokenizer import Tokenizer

Text: TypeAlias = 'str | list[str] | list[int]'
"""The source of one row: a text, the tokens of a text, or the ids of its tokens."""

Ids: TypeAlias = 'list[int]'

T = TypeVar('T')

PLAIN = EncodingOptions()

PAIR_MARKER = '|||'
PAD_ID = 0

MAX_COUNTED = 1 << 16
"""The maximum token count in the error for a text that is too long."""

LONG_TEXT_CHARS = 1 << 16
"""Of a longer text, only the end is tokenized if truncation keeps the end and it has enough ids."""

MARGIN = 64
"""The number of ids at the beginning of a part of a text that can differ from those of the whole text."""


@dataclass(frozen=True, slots=True)
class Row:
    """One input row of the model, without padding.

    `ids` has the ids of all tokens. The first `first_segment` of them have type id 0. The rest, the second text of a
    pair, has type id 1. The tokens at the positions `masked` have mask 0, all others mask 1. The first `prompt_length`
    tokens belong to a prompt that is excluded from pooling. `job_length` is L.
    """

    ids: list[int]
    first_segment: int
    masked: tuple[int, ...]
    job_length: int
    prompt_length: int = 0

    def __len__(self) -> int:
        """The number of tokens, special tokens included."""
        return len(self.ids)

    @property
    def depends_on_padding(self) -> bool:
        """Whether no token has mask 1, so that the attention includes padding.

        The vector of such a row depends on T: it equals 1.10's only in a batch where T is its `compute_length`. Any
        other row has the same vector in every batch.
        """
        return len(self.masked) == len(self.ids)

    @property
    def compute_length(self) -> int:
        """The smallest T of a batch with this row."""
        return self.job_length if self.depends_on_padding else len(self.ids)


@dataclass(frozen=True, slots=True)
class JobRows:
    """The rows of a job, in the order of its texts, and its L in `max_len`.

    `truncated` are the rows with more tokens than that, as positions in the request.
    """

    rows: list[Row]
    max_len: int
    truncated: list[int]


@dataclass(slots=True)
class _Source:
    """The source of one row: the ids of its text, or of both texts of a pair, before truncation."""

    first: Ids
    second: Ids | None = None
    is_tokenized: bool = False
    prompt_length: int = 0
    is_pair: bool = False
    """Whether the row is a pair, even if truncation leaves nothing of the second text."""


class RowEncoder:
    """Encodes the texts of a job as rows, truncated and masked according to the options."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        max_seq_len: int | None,
        max_position_embeddings: int,
        mask_cls_sep: bool,
        no_special_token: bool,
        prompt: str = '',
        pools_prompt: bool = True,
    ) -> None:
        """Take the options of the same names. `max_seq_len` is None for `NONE`. Both lengths are at least 4.

        `prompt` comes before every text. Unless `pools_prompt`, pooling excludes its tokens.
        """
        self._tokenizer = tokenizer
        self._template = tokenizer.template
        self._max_seq_len = max_seq_len
        self._max_position_embeddings = max_position_embeddings
        self._mask_cls_sep = mask_cls_sep
        self._no_special_token = no_special_token
        self._prompt = prompt
        self._pools_prompt = pools_prompt
        self._most = max_seq_len or max_position_embeddings  # any truncation keeps at most this many ids of a text

    def encode(self, texts: Sequence[Text], first_row: int = 0, options: EncodingOptions = PLAIN) -> JobRows:
        """Encode the texts of a job, at least one, as one row each; errors count the texts from `first_row`.

        A list of ids is a single text, without special tokens. Unless `options.pairs` is False, a text with `' ||| '`
        and without a newline is a pair, divided at the last `' ||| '`. A list of tokens with `'|||'` is a pair, divided
        at the first one. A pair without tokens in its second text is a single text.

        Raises:
            RequestError: the vocabulary lacks an id, a prompt is combined with tokens, or a text is too long and must
                not be truncated.
        """
        whole = iter(self._of_texts([text for text in texts if isinstance(text, str)], options))
        sources = [
            next(whole) if isinstance(text, str) else self._of_list(text, index, options)
            for index, text in enumerate(texts, first_row)
        ]
        return self._rows_of(sources, first_row, options.truncate)

    def encode_pairs(
        self, pairs: Sequence[Sequence[str]], first_row: int = 0, options: EncodingOptions = PLAIN
    ) -> JobRows:
        """Encode pairs of texts, at least one, as one row each. The texts can be anything, including `' ||| '`.

        Raises:
            RequestError: a pair is too long and must not be truncated.
        """
        prompt = self.prompt_of(options)
        left_out = self._left_out(prompt)
        halves = [half for first, second in pairs for half in (prompt + self._strip(first), self._strip(second))]
        ids = iter(self._encode_texts(halves, options.truncate))
        sources = [
            _Source(first, second, prompt_length=left_out, is_pair=True) for first, second in zip(ids, ids, strict=True)
        ]
        return self._rows_of(sources, first_row, options.truncate)

    def _rows_of(self, sources: list[_Source], first_row: int, truncate: Truncation) -> JobRows:
        max_len = self._job_length(sources) if self._max_seq_len is None else self._max_seq_len
        if truncate == 'error':
            for index, source in enumerate(sources, first_row):
                self._check_length(source, max_len, index)
        keeps_end = truncate == 'left'
        rows = [self._row(source, max_len, keeps_end) for source in sources]
        truncated = [index for index, source in enumerate(sources, first_row) if self._length_of(source) > max_len]
        return JobRows(rows, max_len, truncated)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the model."""
        return self._tokenizer

    def prompt_of(self, options: EncodingOptions) -> str:
        """The prompt before each text."""
        return self._prompt if options.prompt is None else options.prompt

    def tokens(self, row: Row) -> list[str]:
        """The tokens of a row, including special tokens."""
        return self._tokenizer.tokens_of(row.ids)

    def prompt_length(self, prompt: str) -> int:
        """The number of tokens at the beginning of a row for `prompt`, including special tokens before it.

        As in sentence-transformers, it is the length of the prompt's own row without a final special token. If the
        prompt fills a row, only that token remains for pooling.
        """
        (ids,) = self._tokenizer.encode_texts([prompt], self._most)
        return min(len(ids) + self._template.single_specials, self._most) - bool(self._template.after)

    def _of_texts(self, texts: Sequence[str], options: EncodingOptions) -> list[_Source]:
        """The sources of texts, tokenized in one call."""
        prompt = self.prompt_of(options)
        halves: list[str] = []
        is_pair: list[bool] = []
        strips, divides_texts = self._tokenizer.strips, options.pairs is None
        for text in texts:
            whole = text.strip() if strips else text
            first, marker, second = whole.rpartition(' %s ' % PAIR_MARKER)
            divides = bool(marker) and divides_texts and '\n' not in whole
            is_pair.append(divides)
            halves += [prompt + first, second] if divides else [prompt + whole]
        ids = iter(self._encode_texts(halves, options.truncate))
        left_out = self._left_out(prompt) if prompt else 0
        return [_Source(next(ids), (next(ids) or None) if pair else None, prompt_length=left_out) for pair in is_pair]

    def _strip(self, text: str) -> str:
        return text.strip() if self._tokenizer.strips else text

    def _left_out(self, prompt: str) -> int:
        """The number of prompt tokens to exclude from pooling."""
        return self.prompt_length(prompt) if prompt and not self._pools_prompt else 0

    def _encode_texts(self, texts: Sequence[str], truncate: Truncation) -> list[Ids]:
        """The ids of texts. For a very long text, it is possibly only as many as fit into a row, from the kept side.

        They are not yet truncated, because `fit_pair` must know the longer text of a pair.
        """
        if truncate == 'left':
            return self._ends(texts)
        return self._tokenizer.encode_texts(texts, self._most + 1 if truncate == 'right' else MAX_COUNTED)

    def _ends(self, texts: Sequence[str]) -> list[Ids]:
        """The last ids of texts. Of a very long text, only the end is tokenized if it has enough ids."""
        chars = max(LONG_TEXT_CHARS, 16 * self._most)
        rest = iter(self._tokenizer.encode_texts([text for text in texts if len(text) <= chars], sys.maxsize))
        return [
            next(rest) if len(text) <= chars else ids_of_end(text, chars, self._most, MARGIN, self._all_ids)
            for text in texts
        ]

    def _all_ids(self, text: str) -> Ids:
        (ids,) = self._tokenizer.encode_texts([text], sys.maxsize)
        return ids

    def _of_list(self, text: list[str] | list[int], index: int, options: EncodingOptions) -> _Source:
        """The source of a list of tokens or of ids."""
        if options.prompt:
            raise RequestError('prompt: expected texts, got a list of tokens or ids as element %d' % index)
        if text and isinstance(text[0], int):
            return _Source(self._cut(self._check_ids(text, index), options.truncate), is_tokenized=True)
        tokens = cast('list[str]', text)
        at = tokens.index(PAIR_MARKER) if PAIR_MARKER in tokens else len(tokens)
        halves = tokens[:at], tokens[at + 1 :]
        one_more = len(halves[0]) > len(halves[1])  # to keep it the longer one
        first = self._tokenizer.tokens_to_ids(self._cut(halves[0], options.truncate, one_more))
        second = self._tokenizer.tokens_to_ids(self._cut(halves[1], options.truncate))
        return _Source(first, second or None, is_tokenized=True)

    def _cut(self, tokens: list[T], truncate: Truncation, one_more: bool = False) -> list[T]:
        most = self._most + 1 + one_more  # one more than fits, to show that there were more
        if truncate == 'right':
            return tokens[:most]
        return tokens[-most:] if truncate == 'left' else tokens

    def _check_length(self, source: _Source, most: int, index: int) -> None:
        """Raise TooLong if a row would be longer than `most`."""
        length = self._length_of(source)
        if length > most:
            raise TooLong(
                'element %d has %s%d tokens, including special tokens, but the limit is %d: shorten it, or use '
                'truncate right or left' % (index, 'at least ' if length >= MAX_COUNTED else '', length, most)
            )

    def _length_of(self, source: _Source) -> int:
        """The number of tokens of the row without truncation. Above the limit it can be an overestimate."""
        return len(source.first) + len(source.second or ()) + self._specials_of(source)

    def _specials_of(self, source: _Source) -> int:
        if source.second is not None:
            return self._template.pair_specials
        return 0 if source.is_tokenized and self._no_special_token else self._template.single_specials

    def _check_ids(self, ids: Ids, index: int) -> Ids:
        for id_ in ids:
            if not self._tokenizer.has_id(id_):
                raise RequestError('element %d has the id %d, which is not in the vocabulary' % (index, id_))
        return ids

    def _job_length(self, sources: Iterable[_Source]) -> int:
        """The L of a job without an option: the longest row, with the special tokens of a pair if any row is a pair.

        It is at least 1, even if no text has a token and the tokenizer adds no special tokens.
        """
        sources = list(sources)
        longest = max(len(source.first) + len(source.second or ()) for source in sources)
        is_pair = any(source.second is not None for source in sources)
        specials = self._template.pair_specials if is_pair else self._template.single_specials
        return max(1, min(longest + specials, self._max_position_embeddings))  # a batch needs a position

    def _row(self, source: _Source, max_len: int, keeps_end: bool) -> Row:
        template, first, second = self._template, source.first, source.second
        if second is not None:
            room = max(0, max_len - template.pair_specials)
            kept, kept_second = self._tokenizer.fit_pair(len(first), len(second), room)
            first = _end(first, kept) if keeps_end else first[:kept]
            second = _end(second, kept_second) if keeps_end else second[:kept_second]
        if second or source.is_pair:
            second = second or []
            start = len(template.before_first) + len(first)
            ids = [*template.before_first, *first, *template.between, *second, *template.after_second]
            segment = start + template.first_of_between if template.has_types else len(ids)
            end = start + len(template.between) + len(second)
            specials = chain(
                range(len(template.before_first)), range(start, start + len(template.between)), range(end, len(ids))
            )
        elif source.is_tokenized and self._no_special_token:
            ids = _end(first, max_len) if keeps_end else first[:max_len]
            return Row(ids, len(ids), (), max_len)
        else:
            room = max(0, max_len - template.single_specials)
            first = _end(first, room) if keeps_end else first[:room]
            ids = [*template.before, *first, *template.after]
            segment = len(ids)
            specials = chain(range(len(template.before)), range(len(template.before) + len(first), len(ids)))
        masked = tuple(specials) if self._mask_cls_sep else ()
        job_length = max_len if ids else 1  # a row without tokens is one position of padding
        return Row(ids, segment, masked, job_length, min(source.prompt_length, len(ids)))


def _end(ids: Ids, number: int) -> Ids:
    """Return the last `number` ids, or all if there are fewer."""
    return ids[max(0, len(ids) - number) :]


def pack(rows: Sequence[Row], width: int, *, pooling_mask: bool = False) -> tuple[NDArray[np.int32], ...]:
    """Make `input_ids`, `input_mask` and `input_type_ids`, each int32 [B, T] with T = `width` and 0 for padding.

    With `pooling_mask` there is a fourth array, the mask without the tokens of prompts.

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

    input_mask = is_token.astype(np.int32)  # [B, T]
    for index, row in enumerate(rows):
        if row.masked:
            input_mask[index, row.masked] = 0
    arrays = input_ids, input_mask, input_type_ids.astype(np.int32)
    if not pooling_mask:
        return arrays
    prompts = np.fromiter((row.prompt_length for row in rows), np.intp, len(rows))  # [B]
    return *arrays, np.where(positions < prompts[:, np.newaxis], 0, input_mask).astype(np.int32)
