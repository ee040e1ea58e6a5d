"""The files of a server on a node: one copy for all, gone with the last."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from bert_serving.server.cluster.luggage import Luggage, PackedFile
from bert_serving.server.cluster.node_files import held_files, relocate
from bert_serving.server.errors import StartError
from support.fake_cluster import FakeCluster

Pack = Callable[..., list[PackedFile]]


@pytest.fixture
def packed(tmp_path: Path) -> list[PackedFile]:
    """A graph and its words, as they come to a node."""
    folder = tmp_path / 'server'
    folder.mkdir()
    (folder / 'graph.pb').write_bytes(b'graph')
    (folder / 'graph.pb.words').write_bytes(b'')
    return Luggage(FakeCluster()).pack([str(folder / 'graph.pb'), str(folder / 'graph.pb.words')])


def test_a_file_goes_to_the_cluster_once(tmp_path: Path) -> None:
    (tmp_path / 'graph.pb').write_bytes(b'graph')
    cluster = FakeCluster()
    luggage = Luggage(cluster)
    for _ in range(2):
        luggage.pack([str(tmp_path / 'graph.pb')])
    assert cluster.num_put == 1
    cluster.is_connected = False
    luggage.pack([str(tmp_path / 'graph.pb')])
    assert cluster.num_put == 2, 'the cluster has forgotten what it got over the connection that was lost'


def test_all_workers_of_a_node_have_one_copy_and_the_last_removes_it(packed: list[PackedFile], tmp_path: Path) -> None:
    node, fetched = tmp_path / 'node', []
    node.mkdir()

    def fetch(content: bytes) -> bytes:
        fetched.append(content)
        return content

    with held_files(packed, fetch, str(node)) as first:
        with held_files(packed, fetch, str(node)) as second:
            assert first == second
            assert fetched == [b'graph', b'']
        (graph, words) = (Path(path) for path in first.values())
        assert (graph.read_bytes(), words.read_bytes()) == (b'graph', b'')
        assert words.name == graph.name + '.words', 'the engine looks for it there'
        assert stat.S_IMODE(graph.stat().st_mode) == 0o600
        assert stat.S_IMODE(graph.parent.stat().st_mode) == 0o700
    assert not os.listdir(node)


def test_what_killed_hosts_have_left_is_removed_by_the_next(packed: list[PackedFile], tmp_path: Path) -> None:
    node = tmp_path / 'node'
    node.mkdir()
    left = node / ('bert-serving-files-%d-left' % os.geteuid())
    left.mkdir(mode=0o700)
    (left / 'lock').touch()
    with held_files(packed, bytes, str(node)):
        assert not left.exists()
        assert len(os.listdir(node)) == 1


def test_a_file_that_has_changed_on_its_way_is_not_used(packed: list[PackedFile], tmp_path: Path) -> None:
    with (
        pytest.raises(StartError, match=r'graph\.pb was changed on its way to this node'),
        held_files(packed, lambda _content: b'another', str(tmp_path)),
    ):
        pass


def test_a_folder_of_others_is_not_used(packed: list[PackedFile], tmp_path: Path) -> None:
    with held_files(packed, bytes, str(tmp_path)) as places:
        folder = Path(places[packed[0].path]).parent
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with pytest.raises(StartError, match='can be changed by other users'), held_files(packed, bytes, str(tmp_path)):
        pass


def test_a_node_without_room_for_the_files_says_where(packed: list[PackedFile], tmp_path: Path) -> None:
    with (
        pytest.raises(StartError, match=r'cannot keep files in .*: No such file or directory'),
        held_files(packed, bytes, str(tmp_path / 'nowhere')),
    ):
        pass


def test_paths_of_the_server_become_those_of_the_node() -> None:
    config = {'graph': '/a', 'tokenizer': {'path': '/b', 'vocab': None}, 'list': ['/a', 1], 'other': '/c'}
    assert relocate(config, {'/a': '/x', '/b': '/y'}) == {
        'graph': '/x',
        'tokenizer': {'path': '/y', 'vocab': None},
        'list': ['/x', 1],
        'other': '/c',
    }
