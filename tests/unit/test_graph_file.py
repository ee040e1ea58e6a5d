"""The file of the graph: for its user alone, and loaded only as it was written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from bert_serving.server.errors import StartError
from bert_serving.server.graph.files import (
    check_private,
    digest_of,
    new_graph_path,
    read_graph,
    write_graph,
)

PARTS = (b'a graph', b' in parts')
CONTENT = b''.join(PARTS)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def write(folder: Path) -> Path:
    path = new_graph_path(str(folder))
    write_graph(path, PARTS, len(CONTENT))
    assert digest_of(PARTS) == DIGEST
    return Path(path)


def test_no_other_user_can_write_or_read_the_graph_whatever_the_umask_is(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        path = write(tmp_path)
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_graph(str(path), DIGEST) == CONTENT
    assert list(tmp_path.iterdir()) == [path]


def test_a_graph_that_was_changed_is_not_loaded(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(StartError, match='has changed since its export'):
        read_graph(str(path), DIGEST)
    assert read_graph(str(path)) == CONTENT[::-1], 'the caller of a script knows what it asks for'


def test_a_graph_that_others_can_change_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    path.chmod(0o620)
    with pytest.raises(StartError, match='can be changed by other users'):
        read_graph(str(path), DIGEST)
    path.chmod(0o600)
    check_private(str(path))
    monkeypatch.setattr(os, 'geteuid', lambda: os.getuid() + 1)
    with pytest.raises(StartError, match='can be changed by other users'):
        check_private(str(path))
    with pytest.raises(StartError, match='can be changed by other users'):
        read_graph(str(path), DIGEST)


def test_a_link_that_waits_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    path = new_graph_path(str(tmp_path))
    target = tmp_path / 'a file of the user'
    Path('%s.%d.part' % (path, os.getpid())).symlink_to(target)
    with pytest.raises(StartError, match='cannot be written'):
        write_graph(path, PARTS, len(CONTENT))
    assert not target.exists()


def test_a_graph_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = new_graph_path(str(tmp_path))
    with pytest.raises(StartError, match='cannot be read: No such file'):
        read_graph(path)
    with pytest.raises(StartError, match='cannot be read: No such file'):
        check_private(path)
