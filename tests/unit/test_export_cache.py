"""Kept exports: found complete or not at all, made once, bounded, and never in the way of a start."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bert_serving.server.graph import export_cache
from bert_serving.server.graph.export_cache import ExportCache, Kept
from bert_serving.server.graph.files import note_tried

KEY, OTHER = 'ab' * 16, 'cd' * 16
FILES = {'': b'a graph', '.words': b'and its words'}
REPORT = {'bytes': 20, 'sha256': '12'}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'exports'
    folder.mkdir(mode=0o700)
    return folder


MakeCache = Callable[..., ExportCache]


@pytest.fixture
def cache_of(folder: Path) -> MakeCache:
    """Make the cache of a server with this name; its folder is `bert-serving-NAME`."""

    def make(name: str = 'one', **limits: Any) -> ExportCache:
        work = folder / ('bert-serving-' + name)
        work.mkdir(mode=0o700)
        return ExportCache(str(folder), str(work), **{'least_free': 0, **limits})

    return make


def export(folder: Path, name: str = 'graph-1.pb') -> str:
    """Write the files of an export, for this user alone; return the path of the first."""
    folder.mkdir(exist_ok=True)
    for suffix, content in FILES.items():
        path = folder / (name + suffix)
        path.write_bytes(content)
        path.chmod(0o600)
    (folder / (name + '.4711.part')).touch()
    return str(folder / name)


def entries(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob('*/entry.json')}


def is_whole(kept: Kept | None) -> bool:
    return kept is not None and kept.report == REPORT and {s: Path(kept.path + s).read_bytes() for s in FILES} == FILES


def test_what_was_kept_is_found_by_the_next_server(tmp_path: Path, cache_of: MakeCache) -> None:
    first, second = cache_of(), cache_of('two')
    assert first.find(KEY) is None
    assert first.keep(KEY, export(tmp_path / 'tmp'), REPORT)
    kept = second.find(KEY)
    assert is_whole(kept)
    assert kept is not None
    assert Path(kept.path).parent.name == 'bert-serving-two'
    assert len(list(Path(kept.path).parent.iterdir())) == len(FILES), 'no unfinished file'
    assert second.find(OTHER) is None


def test_an_export_that_was_tried_is_not_tried_again(tmp_path: Path, cache_of: MakeCache) -> None:
    cache = cache_of()
    entry = cache.keep(KEY, export(tmp_path / 'tmp'), REPORT)
    assert entry is not None
    kept = cache.find(KEY)
    assert kept is not None
    assert (kept.entry, kept.tried) == (entry, False)
    note_tried(entry)
    note_tried(entry)
    kept = cache.find(KEY)
    assert kept is not None
    assert kept.tried
    note_tried('/no/such/entry')


def test_a_server_keeps_what_it_uses_when_the_entry_goes(tmp_path: Path, folder: Path, cache_of: MakeCache) -> None:
    cache = cache_of(limit=30)
    assert cache.keep(KEY, export(tmp_path / 'tmp'), REPORT)
    kept = cache_of('two').find(KEY)
    assert cache.keep(OTHER, export(tmp_path / 'tmp'), REPORT)
    assert entries(folder) == {OTHER}
    assert is_whole(kept)


def test_files_on_another_disk_are_copied(tmp_path: Path, cache_of: MakeCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_disk(*_args: object, **_options: object) -> None:
        raise OSError(18, 'Invalid cross-device link')

    monkeypatch.setattr(os, 'link', other_disk)
    cache = cache_of()
    assert cache.keep(KEY, export(tmp_path / 'tmp'), REPORT)
    kept = cache_of('two').find(KEY)
    assert is_whole(kept)
    assert kept is not None
    assert os.stat(kept.path).st_mode & 0o777 == 0o600


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def replace_by_link(path: Path) -> None:
    path.rename(path.with_name('moved'))
    path.symlink_to(path.with_name('moved'))


def open_to_others(path: Path) -> None:
    path.chmod(0o620)


DAMAGES = (change, cut, replace_by_link, open_to_others, Path.unlink)


@pytest.mark.parametrize('damage', DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize('name', ['graph', 'graph.words', 'entry.json'])
def test_a_damaged_entry_is_never_served_and_makes_place(
    damage: Callable[[Path], None],
    name: str,
    tmp_path: Path,
    folder: Path,
    cache_of: MakeCache,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = cache_of()
    assert cache.keep(KEY, export(tmp_path / 'tmp'), REPORT)
    damage(folder / KEY / name)
    assert cache.find(KEY) is None
    assert 'is damaged, so the graph is exported again' in caplog.text
    assert not (folder / KEY).exists()
    assert list((folder / 'bert-serving-one').iterdir()) == []
    assert cache.keep(KEY, export(tmp_path / 'again'), REPORT)
    assert is_whole(cache.find(KEY))


@pytest.mark.parametrize(
    'manifest',
    ['[]', '{}', '{"files": {"": 1}}', '{"files": {"": {"bytes": "7", "sha256": 3}}}', '\udcff', '[' * 99999],
)
def test_an_entry_that_makes_no_sense_is_never_served(
    manifest: str, tmp_path: Path, folder: Path, cache_of: MakeCache
) -> None:
    cache = cache_of()
    assert cache.keep(KEY, export(tmp_path / 'tmp'), REPORT)
    (folder / KEY / 'entry.json').write_bytes(manifest.encode(errors='surrogateescape'))
    assert cache.find(KEY) is None
    assert not (folder / KEY).exists()


def test_an_entry_of_another_user_is_never_served(
    tmp_path: Path, cache_of: MakeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cache_of()
    assert cache.keep(KEY, export(tmp_path / 'tmp'), REPORT)
    monkeypatch.setattr(os, 'geteuid', lambda: os.getuid() + 1)
    assert cache.find(KEY) is None


def test_of_two_servers_that_start_at_once_one_exports_and_the_other_finds(
    tmp_path: Path, folder: Path, cache_of: MakeCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('INFO')
    made: list[str] = []
    found: list[Kept | None] = []
    waits = threading.Event()

    def start(name: str, cache: ExportCache) -> None:
        with cache.turn(KEY, sleep=lambda _seconds: (waits.set(), time.sleep(0.001))[1]):
            kept = cache.find(KEY)
            if kept is None:
                made.append(name)
                assert waits.wait(10)
                cache.keep(KEY, export(tmp_path / name), REPORT)
            found.append(kept)

    threads = [threading.Thread(target=start, args=(name, cache_of(name))) for name in ('one', 'two')]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(made) == 1
    assert sorted(map(is_whole, found)) == [False, True]
    assert 'wait for another server' in caplog.text


def test_whoever_waits_for_too_long_exports_too(cache_of: MakeCache) -> None:
    naps: list[float] = []
    with cache_of().turn(KEY), cache_of('two').turn(KEY, sleep=naps.append), cache_of('three').turn(OTHER):
        assert sum(naps) == pytest.approx(export_cache.MOST_WAIT_S, rel=0.01)


def test_two_that_could_not_lock_keep_one_entry(tmp_path: Path, folder: Path, cache_of: MakeCache) -> None:
    (folder / 'locks').touch()
    first, second = cache_of(), cache_of('two')
    with first.turn(KEY), second.turn(KEY):
        assert first.keep(KEY, export(tmp_path / 'tmp'), REPORT)
        assert second.keep(KEY, export(tmp_path / 'tmp'), REPORT)
    assert is_whole(first.find(KEY))
    assert list((folder / 'bert-serving-two').iterdir()) == []


def test_a_file_system_without_locks_is_no_hindrance(cache_of: MakeCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(37, 'No locks available')

    monkeypatch.setattr(fcntl, 'flock', no_locks)
    with cache_of().turn(KEY):
        pass


def test_an_entry_that_was_used_stays_longer(tmp_path: Path, folder: Path, cache_of: MakeCache) -> None:
    cache = cache_of()
    old, new = ('%02d' % number * 16 for number in (1, 2))
    for age, key in ((20, old), (10, new)):
        cache.keep(key, export(tmp_path / 'tmp'), REPORT)
        os.utime(folder / key / 'entry.json', (time.time() - age,) * 2)
    assert is_whole(cache.find(old))
    size = sum(path.stat().st_size for path in (folder / old).iterdir())
    assert cache_of('two', limit=2 * size).keep(KEY, export(tmp_path / 'tmp'), REPORT)
    assert entries(folder) == {old, KEY}


@pytest.mark.parametrize('limits', [{'limit': 10}, {'least_free': 1 << 62}])
def test_what_has_no_room_is_not_kept(
    limits: dict[str, int], tmp_path: Path, folder: Path, cache_of: MakeCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('INFO')
    assert not cache_of(**limits).keep(KEY, export(tmp_path / 'tmp'), REPORT)
    assert entries(folder) == set()
    assert 'no room' in caplog.text


def test_a_folder_that_has_become_read_only_is_no_hindrance(tmp_path: Path, folder: Path, cache_of: MakeCache) -> None:
    cache = cache_of()
    (folder / 'bert-serving-one').rmdir()
    assert not cache.keep(KEY, export(tmp_path / 'tmp'), REPORT)
    with cache.turn(KEY):
        assert cache.find(KEY) is None


def test_an_entry_says_what_is_in_it(tmp_path: Path, folder: Path, cache_of: MakeCache) -> None:
    cache_of().keep(KEY, export(tmp_path / 'tmp'), REPORT)
    manifest = json.loads((folder / KEY / 'entry.json').read_text())
    assert {suffix: file['bytes'] for suffix, file in manifest['files'].items()} == {
        s: len(c) for s, c in FILES.items()
    }
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (folder / KEY).iterdir())
