"""The sources of an export: a changed file is never taken for the old one."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bert_serving.server.console.progress import ignore_progress
from bert_serving.server.graph import export_sources
from bert_serving.server.graph.export_cache import ExportCache
from bert_serving.server.graph.export_sources import SourceDigests, maker_facts, weight_files
from bert_serving.server.graph.exporter import find_or_make, spec_of
from bert_serving.server.graph.spec import GraphSpec
from bert_serving.server.model.folder import find_model
from bert_serving.server.model.pipeline import Dense, Normalize, Pipeline
from bert_serving.server.options.settings import Settings
from support.serving import DATA, SMALL_MODEL

LATER = 3600.0
"""Seconds after which nobody doubts that a file has settled."""


@pytest.fixture
def digests(tmp_path: Path) -> SourceDigests:
    return SourceDigests(str(tmp_path / 'digests'), clock=lambda: time.time() + LATER)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / 'weights'
    path.write_bytes(b'0123456789')
    return path


def reads(digests: SourceDigests, path: Path) -> int:
    """How many bytes are read to tell the digest, which must be right."""
    counts: list[int] = []
    assert digests.digest(str(path), counts.append) == hashlib.sha256(path.read_bytes()).hexdigest()
    return sum(counts)


def test_a_file_is_read_once(digests: SourceDigests, file: Path, tmp_path: Path) -> None:
    assert [reads(digests, file), reads(digests, file)] == [10, 0]
    (tmp_path / 'link').symlink_to(file)
    assert reads(digests, tmp_path / 'link') == 0, 'the hub keeps links to files'


def test_a_file_that_was_changed_is_read_again_even_if_size_and_time_are_the_same(
    digests: SourceDigests, file: Path
) -> None:
    reads(digests, file)
    before = file.stat()
    file.write_bytes(b'9876543210')
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert [reads(digests, file), reads(digests, file)] == [10, 0]


def test_a_file_that_was_replaced_is_read_again(digests: SourceDigests, file: Path, tmp_path: Path) -> None:
    reads(digests, file)
    other = tmp_path / 'other'
    other.write_bytes(b'9876543210')
    os.replace(other, file)
    assert reads(digests, file) == 10


def test_the_digest_of_a_file_that_was_just_written_is_not_remembered(tmp_path: Path, file: Path) -> None:
    digests = SourceDigests(str(tmp_path / 'digests'))
    assert [reads(digests, file), reads(digests, file)] == [10, 10]


def test_a_file_that_changes_while_it_is_read_has_no_digest(digests: SourceDigests, file: Path) -> None:
    with pytest.raises(OSError, match='changes while it is read'):
        digests.digest(str(file), lambda _count: os.utime(file, (0, 0)))
    assert reads(digests, file) == 10


@pytest.mark.parametrize('note', [b'', b'[]', b'{"identity": []}', b'\xff'])
def test_a_damaged_note_is_no_hindrance(note: bytes, digests: SourceDigests, file: Path, tmp_path: Path) -> None:
    reads(digests, file)
    (only,) = (tmp_path / 'digests').iterdir()
    only.write_bytes(note)
    assert [reads(digests, file), reads(digests, file)] == [10, 0]


def test_a_folder_that_cannot_be_written_is_no_hindrance(file: Path) -> None:
    digests = SourceDigests('/proc/digests', clock=lambda: time.time() + LATER)
    assert [reads(digests, file), reads(digests, file)] == [10, 10]


def test_only_the_last_notes_are_kept(digests: SourceDigests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_sources, 'MOST_REMEMBERED', 3)
    for number in range(5):
        path = tmp_path / str(number)
        path.write_bytes(b'1')
        reads(digests, path)
    assert len(list((tmp_path / 'digests').iterdir())) == 3


def test_all_files_with_weights_count() -> None:
    google = find_model(SMALL_MODEL)
    assert [os.path.basename(path).partition('.')[0] for path in weight_files(google)] == ['bert_model'] * 2
    huggingface = DATA / 'published' / 'models' / 'ce-bert-one'
    model = find_model(str(huggingface))
    dense = Dense(2, 2, True, 'tanh', '/a/dense.safetensors')
    model = replace(model, pipeline=Pipeline(modules=(dense, Normalize())))
    assert weight_files(model) == [str(huggingface / 'model.safetensors'), '/a/dense.safetensors']


def test_programs_and_the_machine_are_described_the_same_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = maker_facts()
    assert maker_facts() == facts
    assert facts['packages']['tensorflow-cpu'] or facts['packages']['tensorflow']
    assert len(facts['modules']['numpy']) == 3
    monkeypatch.setenv('TF_CPP_MIN_LOG_LEVEL', '0')
    assert maker_facts() == facts, 'it changes the log only'
    monkeypatch.setenv('TF_ENABLE_ONEDNN_OPTS', '0')
    assert maker_facts() != facts
    monkeypatch.setattr('builtins.open', no_file)
    monkeypatch.setattr(export_sources, '_digest_of_code', str)
    assert maker_facts()['processor'] == []
    assert export_sources._place('no_such_module') == []


def no_file(*_args: object, **_options: object) -> None:
    raise FileNotFoundError


class Maker:
    """Makes what the exporter would, without TensorFlow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def __call__(self) -> dict[str, Any]:
        self.count += 1
        path = self.folder / ('graph-%d' % self.count)
        path.write_bytes(b'graph %d' % self.count)
        path.chmod(0o600)
        return {'path': str(path), 'bytes': 7, 'sha256': str(self.count)}


@pytest.fixture
def start(tmp_path: Path) -> Any:
    """Start, with these weights and options; return what the exporter reports, and how often it has exported so far."""
    (tmp_path / 'exports').mkdir(mode=0o700)
    (tmp_path / 'work').mkdir(mode=0o700)
    weights, maker = tmp_path / 'dense.safetensors', Maker(tmp_path)
    cache = ExportCache(str(tmp_path / 'exports'), str(tmp_path / 'work'), least_free=0)

    def start(content: bytes, make: Any = maker, **options: Any) -> tuple[Mapping[str, Any], int]:
        if not weights.exists() or weights.read_bytes() != content:
            weights.write_bytes(content)
        spec = spec_with(str(weights), options)
        return find_or_make(cache, str(tmp_path / 'exports'), spec, make, ignore_progress), maker.count

    start.weights, start.maker = weights, maker  # type: ignore[attr-defined]
    return start


def spec_with(weights: str, options: dict[str, Any]) -> GraphSpec:
    model = replace(find_model(SMALL_MODEL), pipeline=Pipeline(modules=(Dense(2, 2, True, 'tanh', weights),)))
    return spec_of(Settings.from_dict(options), model, on_gpu=False)


def test_a_start_finds_the_export_of_the_same_weights_and_options(start: Any) -> None:
    first, _ = start(b'one')
    again, count = start(b'one')
    assert count == 1
    assert again['path'] != first['path']
    assert (again['bytes'], again['sha256']) == (first['bytes'], first['sha256'])
    assert start(b'one', pooling_layer=(-1,))[1] == 2
    assert start(b'one', port=1234)[1] == 2, 'a port changes no graph'
    assert start(b'two')[1] == 3
    assert start(b'one')[0]['sha256'] == '1'


def test_weights_that_change_during_the_export_are_not_kept(start: Any) -> None:
    def make() -> dict[str, Any]:
        report: dict[str, Any] = start.maker()
        start.weights.write_bytes(b'two')
        return report

    assert start(b'one', make)[0]['sha256'] == '1'
    assert start(b'two')[0]['sha256'] == '2'
    assert start(b'one')[0]['sha256'] == '3'


def test_an_export_that_fails_keeps_nothing(start: Any) -> None:
    def fail() -> dict[str, Any]:
        raise ValueError('the weights are damaged')

    with pytest.raises(ValueError, match='damaged'):
        start(b'one', fail)
    assert start(b'one')[1] == 1


def test_weights_that_cannot_be_read_are_left_to_the_export(tmp_path: Path, start: Any) -> None:
    start.weights.mkdir()
    spec, cache = spec_with(str(start.weights), {}), ExportCache(str(tmp_path / 'exports'), str(tmp_path / 'work'))
    for count in (1, 2):
        assert find_or_make(cache, str(tmp_path / 'exports'), spec, start.maker, ignore_progress)['bytes'] == 7
        assert start.maker.count == count
