"""The folders of a server: private, named in errors, and gone afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bert_serving.server.errors import StartError
from bert_serving.server.parent.folders import server_folders, socket_folder


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


def test_without_a_folder_of_the_user_the_graph_gets_one_that_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server_folders(None) as folders:
        assert folders.temp_dirs == (folders.sockets, os.path.dirname(folders.graph))
        Path(folders.graph).touch()
    assert not any(os.path.exists(folder) for folder in folders.temp_dirs)


def test_the_folder_of_the_user_stays_with_all_in_it_but_an_unfinished_graph(tmp_path: Path) -> None:
    (tmp_path / 'a file of the user.part').touch()
    with server_folders(str(tmp_path)) as folders:
        assert folders.temp_dirs == (folders.sockets,)
        Path(folders.graph).touch()
        Path(folders.graph + '.4711.part').touch()
    assert {path.name for path in tmp_path.iterdir()} == {'a file of the user.part', os.path.basename(folders.graph)}
