"""A job of `bert-serving-encode` in this process, killed at every step that it takes with the disk, and its formats.

The server is a `FakeServer`.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bert_serving.server import BertServer
from bert_serving.server.errors import StartError, UsageError
from bert_serving.server.files import folder as folder_module
from bert_serving.server.files import parts as parts_module
from bert_serving.server.files.job import run_encode
from bert_serving.server.files.requests import describe_server, probe
from bert_serving.server.helper import get_encode_parser
from support.serving import SMALL_MODEL, FakeServer, fake_path, serve

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def server() -> Iterator[BertServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', fake_path())
        with serve('-model_dir', SMALL_MODEL, server_class=FakeServer) as server:
            yield server


Encode = Callable[..., str]


@pytest.fixture
def encode(server: BertServer) -> Encode:
    """Run a job with these words of the command line."""

    def encode(*words: object) -> str:
        address = '127.0.0.1:%d,%d' % (server.port, server.port_out)
        return run_encode(get_encode_parser().parse_args([*map(str, words), '-server', address]))

    return encode


def write_rows(path: Path, count: int = 100, long: int = 10_000_000) -> list[dict[str, Any]]:
    """JSON lines in which some texts are none."""
    odd: dict[int, object] = {3: None, 4: ' ', 5: 42, 6: 'x' * long, 50: ['a']}
    rows = [{'id': 'r%d' % number, 'text': odd.get(number, 'row %d' % number)} for number in range(count)]
    path.write_text('\n'.join(map(json.dumps, rows)))
    return rows


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class KilledError(BaseException):
    """Stands for kill -9: nothing that the job does after it has an effect."""


class Disk:
    """`os` for a job that is killed before its step number `last` with the disk."""

    def __init__(self, last: int) -> None:
        self.steps = 0
        self._last = last

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in ('fsync', 'rename', 'write', 'unlink', 'truncate'):
            return real

        def step(*args: Any) -> Any:
            self.steps += 1
            if self.steps > self._last:
                raise KilledError
            if self.steps == self._last and name == 'write':
                return real(args[0], args[1][: len(args[1]) // 2]) and (_ for _ in ()).throw(KilledError)
            return real(*args)

        return step


@pytest.mark.parametrize('output_format', ['jsonl', 'npy'])
def test_killed_at_any_step_it_goes_on_and_writes_the_bytes_of_a_job_that_was_not(
    encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output_format: str
) -> None:
    source = tmp_path / 'in.jsonl'
    write_rows(source, long=2_000)
    rows = ('-column', 'text', '-id_column', 'id', '-part_rows', 40, '-request_rows', 40)
    words = (source, *rows, '-max_text_bytes', 1000, '-concurrency', 2, '-output_format', output_format, '-output')
    encode(*words, tmp_path / 'whole')
    kills = 0
    while True:
        with monkeypatch.context() as patch:
            disk = Disk(kills + 1)
            patch.setattr(folder_module, 'os', disk)
            patch.setattr(parts_module, 'os', disk)
            folder = tmp_path / ('killed%d' % kills)
            try:
                encode(*words, folder)
            except KilledError:
                kills += 1
            else:
                break
        encode(*words, folder)
        assert contents(folder) == contents(tmp_path / 'whole')
    assert kills > 12


def test_each_row_is_there_once_in_order_with_its_vector_or_what_was_wrong(encode: Encode, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / 'in.jsonl')
    line = encode(
        *(tmp_path / 'in.jsonl', '-column', 'text', '-id_column', 'id', '-output', tmp_path / 'out'),
        *('-output_format', 'jsonl', '-part_rows', 30),
    )
    assert line.startswith('rows=100 errors=5 tokens=404 time=')
    written = [
        json.loads(row)
        for path in sorted((tmp_path / 'out').glob('part-*.jsonl'))
        for row in path.read_text().splitlines()
    ]
    assert [row['id'] for row in written] == [row['id'] for row in rows]
    errors = {row['id']: row['error'] for row in written if row['error'] is not None}
    assert errors == {
        'r3': 'the text is null',
        'r4': 'the text is blank',
        'r5': 'expected a text, got a number',
        'r6': 'the text has 10000000 bytes: the limit is 1048576 (-max_text_bytes)',
        'r50': 'expected a text, got a list',
    }
    for row in written:
        assert (row['vector'] is None) == (row['error'] is not None)
        assert row['vector'] is None or row['vector'][1] >= 4.0


def test_a_row_that_the_server_refuses_is_an_error_of_that_row_alone(encode: Encode, tmp_path: Path) -> None:
    (tmp_path / 'in.txt').write_text('short\n' + 'long ' * 100 + '\nshort\n')
    words = (tmp_path / 'in.txt', '-output', tmp_path / 'out', '-output_format', 'jsonl', '-truncate', 'error')
    assert encode(*words).startswith('rows=3 errors=1 tokens=6 ')
    row = json.loads((tmp_path / 'out' / 'part-000000.jsonl').read_text().splitlines()[1])
    assert row['id'] == 1
    assert row['error'].startswith('TooLong: ')


@pytest.mark.parametrize(
    ('dtype', 'expected'), [('float32', 'float32'), ('float16', 'float16'), ('int8', 'int8'), ('binary', 'uint8')]
)
def test_npy_has_zeros_where_there_is_an_error_and_the_ids_next_to_it(
    encode: Encode, tmp_path: Path, dtype: str, expected: str
) -> None:
    (tmp_path / 'in.txt').write_text('one\n\nthree\n')
    encode(tmp_path / 'in.txt', '-output', tmp_path / 'out', '-output_format', 'npy', '-dtype', dtype)
    array = np.load(tmp_path / 'out' / 'part-000000.npy')
    assert array.dtype == expected
    assert array.any(axis=1).tolist() == [True, False, True]
    lines = (tmp_path / 'out' / 'part-000000.ids.jsonl').read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {'id': 0, 'error': None},
        {'id': 1, 'error': 'the text is blank'},
        {'id': 2, 'error': None},
    ]


@pytest.mark.parametrize('dtype', ['float32', 'float16', 'int8', 'binary'])
def test_parquet_has_vectors_nulls_errors_and_the_model(encode: Encode, tmp_path: Path, dtype: str) -> None:
    arrow, parquet = pytest.importorskip('pyarrow'), pytest.importorskip('pyarrow.parquet')
    table = arrow.table({'key': [7, 8, 9], 'text': ['one', None, 'three']})
    parquet.write_table(table, tmp_path / 'in.parquet')
    words = (tmp_path / 'in.parquet', '-column', 'text', '-id_column', 'key', '-output', tmp_path / 'out')
    encode(*words, '-dtype', dtype)
    result = parquet.read_table(tmp_path / 'out')
    types = {'float32': arrow.float32(), 'float16': arrow.float16(), 'int8': arrow.int8()}
    expected = arrow.binary(1) if dtype == 'binary' else arrow.list_(types[dtype], 3)
    assert result.schema.types == [arrow.int64(), expected, arrow.string()]
    rows = result.to_pylist()
    assert [row['id'] for row in rows] == [7, 8, 9]
    assert [row['error'] for row in rows] == [None, 'the text is null', None]
    assert [row['vector'] is None for row in rows] == [False, True, False]
    about = json.loads(result.schema.metadata[b'bert_serving'])
    assert about['name'] == 'uncased_L-4_H-32_A-4'
    assert (about['dtype'], about['pooling']) == (dtype, 'REDUCE_MEAN')
    assert set(about) == {
        *('name', 'digest', 'pooling', 'max_seq_len', 'normalize', 'prompt', 'release', 'dtype', 'dimensions')
    }


def test_a_job_that_is_done_is_not_done_again(encode: Encode, tmp_path: Path) -> None:
    (tmp_path / 'in.txt').write_text('one\ntwo\n')
    words = (tmp_path / 'in.txt', '-output', tmp_path / 'out', '-output_format', 'jsonl')
    encode(*words)
    before = contents(tmp_path / 'out')
    assert encode(*words).endswith('(all from earlier runs)')
    assert contents(tmp_path / 'out') == before


def test_another_job_is_refused_until_overwrite_is_given(encode: Encode, tmp_path: Path) -> None:
    source = tmp_path / 'in.txt'
    source.write_text('one\ntwo\nthree\n')
    words = (source, '-output', tmp_path / 'out', '-output_format', 'jsonl', '-part_rows', 1)
    encode(*words)
    with pytest.raises(UsageError, match='-dtype was "float32", and is "int8": choose another -output'):
        encode(*words, '-dtype', 'int8')
    source.write_text('one\ntwo\nfour\n')
    with pytest.raises(UsageError, match='has changed since'):
        encode(*words)
    source.write_text('one\n')
    encode(*words, '-overwrite')
    assert sorted(contents(tmp_path / 'out')) == ['_manifest.jsonl', 'part-000000.jsonl']
    (tmp_path / 'out' / 'part-000000.jsonl').write_text('')
    with pytest.raises(UsageError, match='is missing or has changed since it was written'):
        encode(*words)
    (tmp_path / 'out' / '_manifest.jsonl').unlink()
    with pytest.raises(UsageError, match='has parts, but no manifest'):
        encode(*words)


def test_a_server_with_another_model_is_refused(
    encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'in.txt').write_text('one\ntwo\nthree\n')
    words = (tmp_path / 'in.txt', '-output', tmp_path / 'out', '-output_format', 'jsonl', '-part_rows', 1)
    encode(*words)
    real = describe_server

    def other(client: Any) -> Any:
        model, release = real(client)
        return {**model, 'digest': 'another'}, release

    monkeypatch.setattr('bert_serving.server.files.job.describe_server', other)
    with pytest.raises(UsageError, match=r'the digest of the model was .*, and is "another"'):
        encode(*words)
    calls = iter([real, *[other] * 9])
    monkeypatch.setattr('bert_serving.server.files.job.describe_server', lambda client: next(calls)(client))
    with pytest.raises(StartError, match='another server has replaced the first'):
        encode(*words, '-overwrite')


def test_one_job_at_a_time_writes_into_a_folder(encode: Encode, tmp_path: Path) -> None:
    (tmp_path / 'in.txt').write_text('one\n')
    with (
        folder_module.OutputFolder(str(tmp_path / 'out'), False),
        pytest.raises(UsageError, match='another bert-serving-encode is writing to'),
    ):
        encode(tmp_path / 'in.txt', '-output', tmp_path / 'out', '-output_format', 'jsonl')


def test_the_standard_input_goes_on_where_it_has_the_same_rows(
    encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ('-', '-output', tmp_path / 'out', '-output_format', 'jsonl', '-part_rows', 2)
    give = lambda content: monkeypatch.setattr(sys, 'stdin', SimpleNamespace(buffer=io.BytesIO(content)))  # noqa: E731
    give(b'a\nb\nc\nd\ne\n')
    encode(*words)
    whole = contents(tmp_path / 'out')
    manifest = tmp_path / 'out' / '_manifest.jsonl'
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b''.join(lines[:2]) + lines[2][:9])
    give(b'a\nB\nc\nd\ne\n')
    with pytest.raises(UsageError, match='differs from the earlier run in part 0'):
        encode(*words)
    give(b'')
    with pytest.raises(UsageError, match='ended before the rows that are already done'):
        encode(*words)
    give(b'a\nb\nc\nd\ne\n')
    encode(*words)
    assert contents(tmp_path / 'out') == whole


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ((), '-output is missing: give the folder'),
        (('-prompt', 'a', '-prompt_name', 'b', '-output', 'out'), 'mutually exclusive'),
        (('-prompt_name', 'nobody', '-output', 'out', '-output_format', 'jsonl'), 'has no prompt'),
        (('-dimensions', '9999', '-output', 'out', '-output_format', 'jsonl'), 'dimensions: expected at most 3'),
    ],
)
def test_options_that_cannot_work_are_refused(
    encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'in.txt').write_text('one\n')
    with pytest.raises(UsageError, match=message):
        encode('in.txt', *words)


def test_without_pyarrow_the_error_says_what_to_install(
    encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'in.txt').write_text('one\n')
    monkeypatch.setattr('importlib.util.find_spec', lambda _name: None)
    with pytest.raises(UsageError, match=r"pip install 'bert-serving-server\[encode\]>=2'"):
        encode(tmp_path / 'in.txt', '-output', tmp_path / 'out')


def test_a_file_that_grows_while_it_is_read_ends_the_job_before_the_part_is_complete(
    encode: Encode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'rows.txt'
    path.write_text('a row\n' * 50)

    def probe_and_write(*arguments: Any) -> Any:
        with path.open('a') as file:
            file.write('another\n')
        return probe(*arguments)

    monkeypatch.setattr('bert_serving.server.files.job.probe', probe_and_write)
    with pytest.raises(UsageError, match='changed while the command was reading it'):
        encode(path, '-output', tmp_path / 'out', '-output_format', 'jsonl')
    assert [*contents(tmp_path / 'out')] == ['.part-000000.jsonl.unfinished', '_manifest.jsonl']


def test_a_pipe_with_a_name_is_read_like_standard_input(encode: Encode, tmp_path: Path) -> None:
    path = tmp_path / 'rows.txt'
    os.mkfifo(path)
    with ThreadPoolExecutor(1) as writer:
        written = writer.submit(path.write_text, 'a row\n' * 50)
        line = encode(path, '-output', tmp_path / 'out', '-output_format', 'jsonl')
        assert written.result() == 300
    assert line.startswith('rows=50 errors=0 ')


def test_an_empty_input_has_no_part(encode: Encode, tmp_path: Path) -> None:
    (tmp_path / 'in.txt').write_text('')
    words = (tmp_path / 'in.txt', '-output', tmp_path / 'out', '-output_format', 'jsonl')
    line = encode(*words)
    assert line.startswith('rows=0 errors=0 tokens=0 ')
    assert line.endswith(' rows_per_s=0')
    assert list(contents(tmp_path / 'out')) == ['_manifest.jsonl']
