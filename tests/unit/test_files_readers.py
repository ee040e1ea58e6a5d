"""The readers of `bert-serving-encode`: every format, wherever the reading begins, with rows that cannot be read."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from bert_serving.server.errors import UsageError
from bert_serving.server.files import readers
from bert_serving.server.files.inputs import CSV, JSONL, TEXT, Input, check_unchanged, find_inputs, format_of
from bert_serving.server.files.readers import Columns, check_columns, read_blocks
from bert_serving.server.files.rows import Unreadable

TEXT_AND_ID = Columns('text', 'id')


def read(path: Path, columns: Columns = TEXT_AND_ID, row: int = 0) -> list[tuple[object, object]]:
    """The values and the ids from the row on; checks that the blocks number the rows without a gap."""
    rows: list[tuple[object, object]] = []
    for block in read_blocks(find_inputs([str(path)], None, '/nowhere'), columns, 0, row):
        assert block.first == row + len(rows)
        assert 0 <= block.share <= 1
        values = [value.decode() if isinstance(value, bytes) else value for value in block.values]
        rows += zip(values, block.ids or [None] * len(values), strict=True)
    return rows


def test_a_text_file_has_a_row_a_line(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    path.write_bytes('\ufefffirst\r\n\né\n last'.encode())
    assert [value for value, _ in read(path)] == ['first', '', 'é', ' last']


@pytest.mark.parametrize(('end', 'compress'), [('gz', gzip.compress), ('bz2', bz2.compress), ('xz', lzma.compress)])
def test_a_compressed_file_is_read(tmp_path: Path, end: str, compress: Callable[[bytes], bytes]) -> None:
    path = tmp_path / ('a.txt.' + end)
    path.write_bytes(compress(b'one\ntwo\n'))
    assert [value for value, _ in read(path)] == ['one', 'two']
    path.write_bytes(compress(b'one\ntwo\n' * 999)[:40])
    with pytest.raises(UsageError, match='cannot read it'):
        read(path)


def test_a_line_of_json_that_cannot_be_read_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / 'a.jsonl'
    lines = ['{"text": "a", "id": 1}', '', '{"text": 5, "id": 2}', '{"id": 3}', '[1]', '{"text": "b"', '{"text": "c"}']
    path.write_text('\n'.join(lines))
    rows = read(path)
    assert [row for row in rows if isinstance(row[0], str | int)] == [('a', 1), (5, 2), ('c', None)]
    reasons = [(value.reason, row_id) for value, row_id in rows if isinstance(value, Unreadable)]
    assert reasons[:2] == [('the line has no "text"', 3), ('the line is not a JSON object', None)]
    assert reasons[2][0].startswith('the line is not JSON: ')
    assert read(path, row=3) == rows[3:]


def test_a_csv_file_has_quotes_and_lines_without_their_fields(tmp_path: Path) -> None:
    path = tmp_path / 'a.csv'
    path.write_bytes(b'id,text\n1,"two\nlines, ""quoted"""\n2\n\n3,plain\n4,\xff\n')
    rows = read(path)
    assert rows[0] == ('two\nlines, "quoted"', '1')
    assert rows[1] == (Unreadable('the line has no "text"'), '2')
    assert rows[2:] == [('plain', '3'), ('\udcff', '4')]
    assert read(path, row=2) == rows[2:]
    assert read(path, Columns('text', None))[2] == ('plain', None)


def test_a_tsv_file_has_tabs(tmp_path: Path) -> None:
    path = tmp_path / 'a.tsv.gz'
    path.write_bytes(gzip.compress(b'text\tid\na, b\t1\n'))
    assert read(path) == [('a, b', '1')]


@pytest.mark.parametrize('end', ['txt', 'jsonl', 'csv'])
def test_a_line_that_is_too_long_is_not_read_and_its_row_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(readers, 'MAX_LINE_BYTES', 100)
    path = tmp_path / ('a.' + end)
    long = 'x' * 3_000_000
    lines = {
        'txt': ['a', long, 'b'],
        'jsonl': [json.dumps({'text': text}) for text in ('a', long, 'b')],
        'csv': ['text,more', 'a,', '"' + 'x' * 60, 'y' * 60 + '",', 'b,'],
    }[end]
    path.write_text('\n'.join(lines))
    values = [value for value, _ in read(path, Columns('text', None))]
    assert values[0] == 'a'
    assert isinstance(values[1], Unreadable)
    assert values[-1] == 'b'


def test_rows_come_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('row\n' * 3000)
    sizes = [
        len(block.values) for block in read_blocks(find_inputs([str(path)], None, '/nowhere'), Columns(None, None))
    ]
    assert max(sizes) <= readers.BLOCK_ROWS
    assert sum(sizes) == 3000


def test_the_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'stdin', SimpleNamespace(buffer=io.BytesIO(b'a\nb\n')))
    inputs = find_inputs(['-'], None, '/nowhere')
    assert [block.values for block in read_blocks(inputs, Columns(None, None))] == [[b'a', b'b']]


@pytest.mark.parametrize(('content', 'end'), [('{"text": "a"}\n', 'jsonl'), ('text\na\n', 'csv')])
def test_a_column_that_is_not_named_is_asked_for(tmp_path: Path, content: str, end: str) -> None:
    path = tmp_path / ('a.' + end)
    path.write_text(content)
    with pytest.raises(UsageError, match='-column is missing: give the column'):
        read(path, Columns(None, None))


def test_a_column_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / 'a.csv'
    path.write_text('texts,number\n')
    with pytest.raises(UsageError, match=r'-column: .* has no column text.*texts.*number'):
        read(path)


# ---- parquet


def test_parquet_is_read_from_any_row_on(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip('pyarrow'), pytest.importorskip('pyarrow.parquet')
    path = tmp_path / 'a.parquet'
    texts = [None if number % 7 == 0 else 'text %d' % number for number in range(100)]
    table = arrow.table({'text': texts, 'other': range(100), 'id': range(1000, 1100)})
    parquet.write_table(table, path, row_group_size=30)
    expected = [(text, 1000 + number) for number, text in enumerate(texts)]
    for row in (0, 1, 29, 30, 31, 75, 100):
        assert read(path, row=row) == expected[row:]
    assert read(path, Columns('text', 'text'))[:2] == [(None, None), ('text 1', 'text 1')]


@pytest.mark.parametrize('kind', ['string', 'large_string', 'binary', 'dictionary', 'null'])
def test_the_columns_of_text_that_parquet_has(tmp_path: Path, kind: str) -> None:
    arrow, parquet = pytest.importorskip('pyarrow'), pytest.importorskip('pyarrow.parquet')
    types = {'dictionary': arrow.dictionary(arrow.int32(), arrow.string())}
    values = [None, None] if kind == 'null' else ['a', 'b']
    column = (
        arrow.nulls(2) if kind == 'null' else arrow.array(values).cast(types.get(kind) or arrow.type_for_alias(kind))
    )
    parquet.write_table(arrow.table({'text': column}), tmp_path / 'a.parquet')
    assert [value for value, _ in read(tmp_path / 'a.parquet', Columns('text', None))] == values


def test_parquet_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip('pyarrow'), pytest.importorskip('pyarrow.parquet')
    path = tmp_path / 'a.parquet'
    parquet.write_table(arrow.table({'text': [1, 2]}), path)
    for columns, message in (
        (Columns('text', None), 'has the type int64'),
        (Columns('txt', None), 'has no column txt'),
        (Columns(None, None), '-column is missing'),
    ):
        with pytest.raises(UsageError, match=message):
            read(path, columns)
    path.write_bytes(b'PAR1 and then nothing')
    with pytest.raises(UsageError, match='cannot read it'):
        read(path, Columns('text', None))


# ---- inputs


def test_the_name_of_a_file_says_its_format() -> None:
    assert format_of('a.txt') == format_of('/b/A.TXT.GZ') == TEXT
    assert format_of('a.ndjson.xz') == JSONL
    assert format_of('a.tsv') == CSV
    assert format_of('a.parquet') == 'parquet'
    assert format_of('a.parquet.gz') is format_of('txt') is format_of('a.gz') is format_of('a.doc') is None


def test_folders_and_globs_are_the_files_in_them_in_order(tmp_path: Path) -> None:
    for name in (
        'b/2.txt',
        'b/1.jsonl',
        'b/_skipped.txt',
        'b/.skipped.txt',
        'b/_x/3.txt',
        'b/c/4.csv',
        'a.txt',
        'b/5.doc',
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('x')
    found = find_inputs([str(tmp_path / 'b'), str(tmp_path / '*.txt')], None, '/nowhere')
    assert [os.path.relpath(each.path, tmp_path) for each in found] == ['b/1.jsonl', 'b/2.txt', 'b/c/4.csv', 'a.txt']
    assert [each.size for each in found] == [1, 1, 1, 1]
    assert find_inputs([str(tmp_path / 'b' / '5.doc')], 'text', '/nowhere')[0].format == TEXT


@pytest.mark.parametrize(
    ('names', 'input_format', 'message'),
    [
        (['missing.txt'], None, 'no such file or folder'),
        (['a.tx'], None, r'no such file or folder.*a\.txt'),
        (['*.parquet'], None, 'no such file or folder'),
        (['empty'], None, 'has no file with the extension'),
        (['a.jsonl.zst'], 'jsonl', r'cannot decompress the file: compress it as \.gz, \.bz2, \.xz, or pipe'),
        (['loop.txt'], None, 'no such file or folder$'),
        (['a.doc'], None, 'give -input_format, one of parquet, jsonl, csv, text'),
        (['a.txt', './a.txt'], None, 'given twice'),
        (['out/part-000000.jsonl'], None, 'in the output folder'),
        (['-', 'a.txt'], None, 'cannot be combined with files'),
        (['-'], 'parquet', 'cannot be read from standard input'),
    ],
)
def test_inputs_that_cannot_be_used_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], input_format: str | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ('empty', 'out'):
        (tmp_path / folder).mkdir()
    os.symlink('loop.txt', 'loop.txt')
    for name in ('a.txt', 'a.doc', 'a.jsonl.zst', 'out/part-000000.jsonl'):
        (tmp_path / name).write_text('x')
    with pytest.raises(UsageError, match=message):
        find_inputs(names, input_format, 'out')


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a.txt'
    path.write_text('x')
    found = [*find_inputs([str(path)], None, '/nowhere'), Input('-', TEXT)]
    check_unchanged(found)
    path.write_text('x\ny')
    with pytest.raises(UsageError, match='changed while the command was reading it'):
        check_unchanged(found)
    path.unlink()
    with pytest.raises(UsageError, match='cannot read it: No such file'):
        check_unchanged(found)


def test_a_pipe_is_read_once_and_what_others_write_to_it_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / 'pipe.csv'
    os.mkfifo(path)
    found = find_inputs([str(path)], None, '/nowhere')
    check_columns(found, Columns('text', None))  # it would wait for a writer
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.utime(path, ns=(0, 0))  # as each writing gives it a new time
    check_unchanged(found)
    os.close(reader)


def test_the_columns_of_all_files_are_checked_before_the_first_row(tmp_path: Path) -> None:
    for name, text in (('a.csv', 'text\nx\n'), ('b.jsonl', 'not JSON\n'), ('c.csv', 'words\nx\n')):
        (tmp_path / name).write_text(text)
    found = find_inputs([str(tmp_path)], None, '/nowhere')
    check_columns([*found[:2], Input('-', CSV)], Columns('text', None))
    with pytest.raises(UsageError, match=r'c\.csv has no column text'):
        check_columns(found, Columns('text', None))


def test_an_input_has_a_delimiter_and_a_compression() -> None:
    assert (Input('a.tsv.gz', CSV).delimiter, Input('a.tsv.gz', CSV).compression) == ('\t', 'gz')
    assert (Input('tsv.csv', CSV).delimiter, Input('a.csv', CSV).compression) == (',', None)
