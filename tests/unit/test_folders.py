"""The folders of a server: private, named in errors, and gone afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bert_serving.server.errors import StartError
from bert_serving.server.parent.folders import remove_leftovers, server_folders, socket_folder


def test_the_socket_folder_is_private_and_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path('/tmp') / ('bss%d' % os.getpid())
    short.mkdir()
    monkeypatch.setenv('ZEROMQ_SOCK_TMP_DIR', str(short))
    try:
        with socket_folder() as folder:
            assert Path(folder).parent == short
            assert Path(folder).stat().st_mode & 0o777 == 0o700
            Path(folder, 'socket').touch()
        assert list(short.iterdir()) == []
    finally:
        short.rmdir()


def test_a_folder_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ZEROMQ_SOCK_TMP_DIR', '/no/such/folder')
    with pytest.raises(StartError, match=r'/no/such/folder.*ZEROMQ_SOCK_TMP_DIR'), socket_folder():
        pass


def test_a_path_too_long_for_a_socket_is_refused_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ('x' * 100)
    long.mkdir()
    monkeypatch.setenv('ZEROMQ_SOCK_TMP_DIR', str(long))
    with pytest.raises(StartError, match='too long'), socket_folder():
        pass
    assert list(long.iterdir()) == []


def test_a_path_that_is_not_utf_8_is_refused_for_sockets_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Path('/tmp') / os.fsdecode(b'bss\xe9%d' % os.getpid())
    short.mkdir()
    monkeypatch.setenv('ZEROMQ_SOCK_TMP_DIR', str(short))
    try:
        with pytest.raises(StartError, match='is not UTF-8: set ZEROMQ_SOCK_TMP_DIR'), socket_folder():
            pass
        assert list(short.iterdir()) == []
    finally:
        short.rmdir()


def test_without_a_folder_of_the_user_the_graph_gets_one_that_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server_folders(None) as folders:
        assert folders.temp_dirs == (folders.sockets, os.path.dirname(folders.graph))
        Path(folders.graph).touch()
    assert not any(os.path.exists(folder) for folder in folders.temp_dirs)


def test_the_folder_of_the_user_stays_without_the_graph_or_what_an_exporter_left(tmp_path: Path) -> None:
    (tmp_path / 'a file of the user.part').touch()
    leave_a_folder(tmp_path, 'killed')
    with server_folders(str(tmp_path)) as folders:
        assert folders.temp_dirs == (folders.sockets, os.path.dirname(folders.graph))
        assert Path(folders.graph).parent.parent == tmp_path
        Path(folders.graph).touch()
        Path(folders.graph + '.4711.part').touch()
    assert [path.name for path in tmp_path.iterdir()] == ['a file of the user.part']


def test_a_server_has_a_folder_of_its_own_among_the_kept_exports(tmp_path: Path) -> None:
    (tmp_path / 'an export').mkdir()
    with server_folders(None, str(tmp_path)) as folders:
        assert folders.cache is not None
        assert (folders.cache.folder, Path(folders.cache.work).parent) == (str(tmp_path), tmp_path)
        assert folders.temp_dirs[2:] == (folders.cache.work,)
    assert [path.name for path in tmp_path.iterdir()] == ['an export']


def test_a_server_starts_where_no_exports_can_be_kept(tmp_path: Path) -> None:
    with server_folders(None, str(tmp_path / 'gone')) as folders:
        assert folders.cache is None


def leave_a_folder(parent: Path, name: str) -> Path:
    """A folder with a lock that nobody holds, as a server leaves it whose processes are all killed at once."""
    folder = parent / ('bert-serving-' + name)
    folder.mkdir(mode=0o700)
    (folder / 'lock').touch()
    (folder / 'graph-0.pb').touch()
    return folder


def test_the_next_start_removes_what_a_killed_server_has_left_and_not_what_a_living_one_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Path('/tmp') / ('bss%d' % os.getpid())
    short.mkdir()
    monkeypatch.setenv('ZEROMQ_SOCK_TMP_DIR', str(short))
    try:
        left = leave_a_folder(short, 'left')
        with socket_folder() as living:
            assert not left.exists()
            again = leave_a_folder(short, 'again')
            with socket_folder() as other:
                assert not again.exists()
                assert sorted(map(str, short.iterdir())) == sorted([living, other])
        assert list(short.iterdir()) == []
    finally:
        short.rmdir()


def test_only_folders_that_are_ours_for_certain_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_a_folder(tmp_path, 'open').chmod(0o755)
    (leave_a_folder(tmp_path, 'no-lock') / 'lock').unlink()
    other = leave_a_folder(tmp_path, 'other')
    linked = tmp_path / 'linked'
    leave_a_folder(tmp_path, 'target').rename(linked)
    (tmp_path / 'bert-serving-link').symlink_to(linked)
    named = tmp_path / 'another-program'
    leave_a_folder(tmp_path, 'named').rename(named)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(os, 'geteuid', lambda: os.getuid() + 1)
    remove_leftovers(str(tmp_path))
    assert sorted(tmp_path.iterdir()) == before
    monkeypatch.undo()
    remove_leftovers(str(tmp_path))
    assert [path for path in before if not path.exists()] == [other]
    remove_leftovers(str(tmp_path / 'no such folder'))


def test_a_folder_that_cannot_be_removed_does_not_keep_the_server_from_starting(tmp_path: Path) -> None:
    folder = leave_a_folder(tmp_path, 'odd')
    (folder / 'lock').unlink()
    (folder / 'lock').symlink_to(tmp_path)
    remove_leftovers(str(tmp_path))
    assert folder.exists()
