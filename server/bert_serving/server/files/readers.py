"""Read the rows of an input in blocks, so that files can have any size.

Each reader yields blocks of at most `BLOCK_ROWS` rows and about `BLOCK_BYTES` bytes. A row that cannot be read becomes
an `Unreadable`. The Parquet reader uses pyarrow page by page, because pyarrow's datasets read whole row groups ahead.
"""

from __future__ import annotations

import bz2
import contextlib
import csv
import gzip
import lzma
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

import orjson

from ..console.suggestions import did_you_mean
from ..errors import UsageError
from .inputs import CSV, JSONL, PARQUET, STDIN, Input
from .rows import Block, Unreadable

BLOCK_ROWS = 1024
BLOCK_BYTES = 1 << 20

MAX_LINE_BYTES = 16 << 20
"""The maximum length of a line in a text, JSONL or CSV file. A longer line becomes an error of its row."""

PAGE_BUFFER_BYTES = 256 << 10
"""Bytes to read ahead in each column of a Parquet file."""

_TEXT_TYPES = ('string', 'large_string', 'string_view', 'binary', 'large_binary', 'binary_view', 'null')

_TOO_LONG = Unreadable('the line exceeds %d bytes' % MAX_LINE_BYTES)


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns with texts (None if all inputs are text files) and ids (None without ids)."""

    text: str | None
    row_id: str | None


def read_blocks(inputs: Sequence[Input], columns: Columns, source: int = 0, row: int = 0) -> Iterator[Block]:
    """Yield the rows of the inputs, from row `row` of the input `source` on.

    Raises:
        UsageError: a file lacks a column or cannot be read.
    """
    for index in range(source, len(inputs)):
        each = inputs[index]
        read = {PARQUET: _read_parquet, JSONL: _read_jsonl, CSV: _read_csv}.get(each.format, _read_text)
        try:
            yield from read(each, columns, index, row if index == source else 0)
        except (OSError, EOFError, lzma.LZMAError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise UsageError('%s: cannot read it: %s' % (each.path, reason)) from error


def check_columns(inputs: Sequence[Input], columns: Columns) -> None:
    """Check that all regular files have the columns, because the last of a thousand would end a job after hours.

    Raises:
        UsageError: as in `read_blocks`.
    """
    for each in inputs:
        if each.is_regular and each.format in (PARQUET, CSV):
            next(read_blocks([each], columns), None)


# ---- text, JSONL and CSV


class _Lines:
    """The lines of a file, as bytes without line ends. A line that is too long is `Unreadable`. A context manager."""

    def __init__(self, source: Input) -> None:
        self._source = source
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> _Lines:
        if self._source.path == STDIN:
            self._raw: BinaryIO = sys.stdin.buffer
            self._file: IO[bytes] = self._raw
            return self
        self._raw = self._stack.enter_context(open(self._source.path, 'rb'))
        opened: Any = {'gz': gzip.open, 'bz2': bz2.open, 'xz': lzma.open}.get(self._source.compression or '')
        self._file = self._raw if opened is None else self._stack.enter_context(opened(self._raw, 'rb'))
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    @property
    def share(self) -> float:
        return min(1.0, self._raw.tell() / self._source.size) if self._source.size else 0.0

    def __iter__(self) -> Iterator[bytes | Unreadable]:
        read = self._file.readline
        line = read(MAX_LINE_BYTES + 1)
        if line[:3] == b'\xef\xbb\xbf':
            line = line[3:]
        while line:
            if len(line) > MAX_LINE_BYTES and not line.endswith(b'\n'):
                while line and not line.endswith(b'\n'):
                    line = read(1 << 20)
                yield _TOO_LONG
            else:
                yield line.rstrip(b'\r\n')
            line = read(MAX_LINE_BYTES + 1)


class _Collector:
    """Collects the rows of a file into blocks."""

    def __init__(self, source: int, row: int, has_ids: bool, share: Callable[[], float]) -> None:
        self._source = source
        self._first = row
        self._has_ids = has_ids
        self._share = share
        self._values: list[object] = []
        self._ids: list[object] = []
        self._bytes = 0

    def add(self, value: object, row_id: object, size: int) -> Block | None:
        """Add a row of `size` bytes in the file. Return a block if the row completes it."""
        self._values.append(value)
        if self._has_ids:
            self._ids.append(row_id)
        self._bytes += size
        return self.end() if len(self._values) >= BLOCK_ROWS or self._bytes >= BLOCK_BYTES else None

    def end(self) -> Block | None:
        if not self._values:
            return None
        block = Block(self._source, self._first, self._values, self._ids if self._has_ids else None, self._share())
        self._first += len(self._values)
        self._values, self._ids, self._bytes = [], [], 0
        return block


def _read_text(source: Input, columns: Columns, index: int, row: int) -> Iterator[Block]:
    with _Lines(source) as lines:
        collector = _Collector(index, row, False, lambda: lines.share)
        for number, line in enumerate(lines):
            if number >= row:
                block = collector.add(line, None, 64 if isinstance(line, Unreadable) else len(line))
                if block is not None:
                    yield block
        if (block := collector.end()) is not None:
            yield block


def _read_jsonl(source: Input, columns: Columns, index: int, row: int) -> Iterator[Block]:
    name = _needed(source, columns)
    with _Lines(source) as lines:
        collector = _Collector(index, row, columns.row_id is not None, lambda: lines.share)
        number = 0
        for line in lines:
            if isinstance(line, bytes) and not line.strip():
                continue
            number += 1
            if number <= row:
                continue
            size = 64 if isinstance(line, Unreadable) else len(line)
            value, row_id = _fields_of(line, name, columns.row_id)
            if (block := collector.add(value, row_id, size)) is not None:
                yield block
        if (block := collector.end()) is not None:
            yield block


def _fields_of(line: bytes | Unreadable, name: str, id_name: str | None) -> tuple[object, object]:
    """The text and id in a line of JSON. If the line is invalid, `Unreadable` replaces the text."""
    if isinstance(line, Unreadable):
        return line, None
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Unreadable('the line is not JSON: %s' % error), None
    if not isinstance(record, dict):
        return Unreadable('the line is not a JSON object'), None
    row_id = None if id_name is None else record.get(id_name)
    if name not in record:
        return Unreadable('the line has no "%s"' % name), row_id
    return record[name], row_id


def _read_csv(source: Input, columns: Columns, index: int, row: int) -> Iterator[Block]:
    name = _needed(source, columns)
    csv.field_size_limit(MAX_LINE_BYTES)
    sizes = [0]

    def texts(lines: _Lines) -> Iterator[str]:
        for line in lines:
            text = '' if isinstance(line, Unreadable) else line.decode('utf-8', 'surrogateescape')
            sizes[0] += len(text)
            yield text + '\n'

    with _Lines(source) as lines:
        records = csv.reader(texts(lines), delimiter=source.delimiter)
        header = next(records, [])
        place = _place_of(source, '-column', name, header)
        id_place = None if columns.row_id is None else _place_of(source, '-id_column', columns.row_id, header)
        collector = _Collector(index, row, id_place is not None, lambda: lines.share)
        number = 0
        while True:
            value: object
            row_id: object = None
            try:
                record = next(records)
            except StopIteration:
                break
            except csv.Error as error:
                value = Unreadable('the line is not CSV: %s' % error)
            else:
                if not record:
                    continue
                value = record[place] if place < len(record) else Unreadable('the line has no "%s"' % name)
                row_id = record[id_place] if id_place is not None and id_place < len(record) else None
            number += 1
            size, sizes[0] = sizes[0], 0
            if number > row and (block := collector.add(value, row_id, size)) is not None:
                yield block
        if (block := collector.end()) is not None:
            yield block


def _needed(source: Input, columns: Columns) -> str:
    if columns.text is None:
        raise UsageError('-column is missing: give the column of %s that has the texts' % source.path)
    return columns.text


def _place_of(source: Input, option: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        known = ', '.join(names) or 'none'
        raise UsageError(
            '%s: %s has no column %s%s (its columns: %s)'
            % (option, source.path, name, did_you_mean(name, names), known)
        )
    return list(names).index(name)


# ---- parquet


def _read_parquet(source: Input, columns: Columns, index: int, row: int) -> Iterator[Block]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(source.path, buffer_size=PAGE_BUFFER_BYTES, pre_buffer=False) as file:
            yield from _read_row_groups(file, source, columns, index, row)
    except pyarrow.ArrowException as error:
        raise UsageError('%s: cannot read it: %s' % (source.path, error)) from error


def _read_row_groups(file: Any, source: Input, columns: Columns, index: int, row: int) -> Iterator[Block]:
    name = _needed(source, columns)
    check_parquet_columns(file.schema_arrow, source, columns)
    wanted = [name] if columns.row_id in (None, name) else [name, columns.row_id]
    total = file.metadata.num_rows
    first = 0
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        if first + group.num_rows <= row:
            first += group.num_rows
            continue
        for batch in file.iter_batches(_rows_of_a_batch(group), [number], wanted, use_threads=False):
            rows = batch.num_rows
            if first + rows > row:
                batch = batch.slice(max(0, row - first))
                begin = max(first, row)
                values = batch.column(wanted.index(name)).to_pylist()
                ids = None if columns.row_id is None else batch.column(len(wanted) - 1).to_pylist()
                yield Block(index, begin, values, ids, (first + rows) / total)
            first += rows


def _rows_of_a_batch(group: Any) -> int:
    """The number of rows to decode together, about `BLOCK_BYTES`."""
    mean_bytes = int(group.total_byte_size // max(1, group.num_rows))
    return max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, mean_bytes)))


def check_parquet_columns(schema: Any, source: Input, columns: Columns) -> None:
    """Check that a Parquet file has the columns, with types for texts and ids.

    Raises:
        UsageError: a column is missing or has another type.
    """
    name = _needed(source, columns)
    _place_of(source, '-column', name, schema.names)
    if columns.row_id is not None:
        _place_of(source, '-id_column', columns.row_id, schema.names)
    kind = schema.field(name).type
    kind = cast(Any, kind.value_type if str(kind).startswith('dictionary') else kind)
    if str(kind) not in _TEXT_TYPES:
        raise UsageError(
            '-column: the column %s of %s has the type %s: choose a column of strings' % (name, source.path, kind)
        )
