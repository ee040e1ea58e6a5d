"""Cut the rows of the input files into pieces, each of which becomes one request.

Pure. The limits of pieces depend only on the rows since the beginning of a part. So a job that continues after an
interruption makes the same pieces as one that was never interrupted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

INT, STRING = 'int', 'string'
"""The kinds of ids that a job can have."""

_INT64 = range(-(2**63), 2**63)

_JSON_NAMES = {bool: 'a boolean', int: 'a number', float: 'a number', list: 'a list', dict: 'an object'}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The value of a row that a reader could not read. `reason` says why."""

    reason: str


class Block(NamedTuple):
    """A block of rows that a reader has read together.

    `source` is the index of the input, and `first` the number of the first row in it. `values` are texts or invalid
    values, and `ids` their ids, or None without an id column. `share` is the part of the input that was read, from 0 to
    1.
    """

    source: int
    first: int
    values: list[object]
    ids: list[object] | None
    share: float


class Span(NamedTuple):
    """The rows from `start` to `stop` of the input with the index `source`."""

    source: int
    start: int
    stop: int


def problem_of(value: object, max_text_bytes: int) -> str | None:
    """Return why the value of a row is not a valid text, or None if it is one."""
    if isinstance(value, str):
        size = len(value)
        if not value.isascii() and 4 * size > max_text_bytes:
            size = len(value.encode('utf-8', 'surrogatepass'))
        if size > max_text_bytes:
            return 'the text has %d bytes: the limit is %d (-max_text_bytes)' % (size, max_text_bytes)
        if not value.strip():
            return 'the text is blank'
        if not value.isascii() and _has_surrogates(value):
            return 'the text is not valid UTF-8'
        return None
    if value is None:
        return 'the text is null'
    if isinstance(value, Unreadable):
        return value.reason
    return 'expected a text, got %s' % _JSON_NAMES.get(type(value), type(value).__name__)


def _has_surrogates(text: str) -> bool:
    try:
        text.encode('utf-8')
    except UnicodeEncodeError:
        return True
    return False


def kind_of_ids(ids: list[object] | None) -> str:
    """The kind of the ids of a job, from its first rows: numbers if the first id that is not null is a number."""
    if ids is None:
        return INT
    first = next((value for value in ids if value is not None), None)
    return INT if isinstance(first, int) and not isinstance(first, bool) else STRING


def to_id(value: object, kind: str) -> tuple[int | str | None, str | None]:
    """Convert the id of a row to the kind of its column. Return the id, and the problem with it or None."""
    if value is None:
        return None, None
    if isinstance(value, Unreadable):
        return None, value.reason
    if kind == INT:
        if isinstance(value, int) and not isinstance(value, bool) and value in _INT64:
            return value, None
        return None, 'the id is not a 64-bit integer, but the first id is'
    text = value.decode('utf-8', 'surrogateescape') if isinstance(value, bytes) else str(value)
    return (None, 'the id is not valid UTF-8') if not text.isascii() and _has_surrogates(text) else (text, None)


@dataclass(slots=True)
class Piece:
    """The rows of one request, including the invalid rows between them.

    `texts` are the texts to encode, and `places` their positions among the rows. `errors` has the invalid rows by
    position. `share` is the part of the input `spans[-1].source` that was read.
    """

    ids: list[int | str | None] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    part: int = 0
    ends_part: bool = False
    digest: str | None = None
    share: float = 0.0

    def __len__(self) -> int:
        return len(self.ids)


class PieceCutter:
    """Cuts blocks into pieces of at most `request_rows` rows and about `request_bytes` of text.

    A part ends after `part_rows` rows. With `has_digests`, the last piece of each part has the digest of the part's ids
    and values. It identifies the rows of standard input, which has no file to compare.
    """

    def __init__(
        self,
        *,
        request_rows: int,
        request_bytes: int,
        part_rows: int,
        max_text_bytes: int,
        id_kind: str,
        first_row: int = 0,
        has_digests: bool = False,
    ) -> None:
        self._request_rows = request_rows
        self._request_bytes = request_bytes
        self._part_rows = part_rows
        self._max_text_bytes = max_text_bytes
        self._id_kind = id_kind
        self._row = first_row
        self._digest = hashlib.sha256() if has_digests else None
        self._piece = Piece(part=first_row // part_rows)
        self._bytes = 0

    def cut(self, block: Block) -> Iterator[Piece]:
        """Yield the pieces that the rows of `block` complete."""
        start = block.first
        for row, value in enumerate(block.values, block.first):
            if self._is_full:  # only now, because the last piece of all ends its part
                start = self._note(block, start, row)
                yield self._finished(ends_part=False)
            self._take(value, self._row if block.ids is None else block.ids[row - block.first])
            if self._row % self._part_rows == 0:
                start = self._note(block, start, row + 1)
                yield self._finished(ends_part=True)
        self._note(block, start, block.first + len(block.values))

    def end(self) -> Piece | None:
        """Return the last piece, which ends its part, or None if no rows are left."""
        return self._finished(ends_part=True) if len(self._piece) else None

    def _take(self, value: object, raw_id: object) -> None:
        piece = self._piece
        if isinstance(value, bytes):
            value = value.decode('utf-8', 'surrogateescape')
        problem = problem_of(value, self._max_text_bytes)
        row_id, problem_of_id = to_id(raw_id, self._id_kind)
        problem = problem or problem_of_id
        if problem is None:
            text = str(value)
            piece.places.append(len(piece.ids))
            piece.texts.append(text)
            self._bytes += len(text) if text.isascii() else len(text.encode('utf-8'))
        else:
            piece.errors[len(piece.ids)] = problem
        piece.ids.append(row_id)
        self._row += 1
        if self._digest is not None:
            self._digest.update(repr((row_id, problem or value)).encode('utf-8', 'surrogatepass'))

    @property
    def _is_full(self) -> bool:
        return len(self._piece) >= self._request_rows or self._bytes >= self._request_bytes

    def _note(self, block: Block, start: int, stop: int) -> int:
        """Record the source of the rows from `start` to `stop`, and return `stop`."""
        if start < stop:
            self._piece.spans = joined(self._piece.spans, [Span(block.source, start, stop)])
            self._piece.share = block.share
        return stop

    def _finished(self, ends_part: bool) -> Piece:
        piece, self._bytes = self._piece, 0
        piece.ends_part = ends_part
        if ends_part and self._digest is not None:
            piece.digest, self._digest = self._digest.hexdigest(), hashlib.sha256()
        self._piece = Piece(part=piece.part + ends_part)
        return piece


def joined(spans: list[Span], more: list[Span]) -> list[Span]:
    """Join the spans of two neighboring pieces into as few spans as possible."""
    result = list(spans)
    for span in more:
        if result and result[-1].source == span.source and result[-1].stop == span.start:
            result[-1] = Span(span.source, result[-1].start, span.stop)
        else:
            result.append(span)
    return result
