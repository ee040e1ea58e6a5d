"""The children of a server get what they need: secrets only the one that checks them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bert_serving.server.options.settings import Settings
from bert_serving.server.parent.child_factory import ChildFactory, ChildModules, ExportedGraph
from bert_serving.server.parent.endpoints import Endpoints, Ports
from bert_serving.server.parent.placement import ClusterPlan
from bert_serving.server.process.child_process import ChildProcess
from bert_serving.server.process.launcher import ChildSpec

SECRET = 'a secret of the test'


def make_plan(vocab: str = '', devices: Sequence[int] = (-1,)) -> Any:
    model = SimpleNamespace(
        to_json=dict,
        pipeline=None,
        tokenizer_files=None,
        vocab=vocab,
        lower_case=True,
        config=SimpleNamespace(vocab_size=1, max_position_embeddings=1, head=None),
    )
    return SimpleNamespace(
        settings=Settings(http_api_key=SECRET),
        model=model,
        address='127.0.0.1',
        security=None,
        devices=SimpleNamespace(devices=devices),
    )


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> dict[str, ChildProcess]:
    """One child of each kind, of a server that has a key in its options and secrets in its environment."""
    monkeypatch.setenv('BERT_SERVING_HTTP_API_KEY', SECRET)
    monkeypatch.setenv('HF_TOKEN', SECRET)
    plan = make_plan()
    endpoints = Endpoints('/folder')
    endpoints.move_worker(0)
    factory = ChildFactory(plan, endpoints, Ports(1, 2, 3), (), modules=ChildModules(), sink_limits={})
    made = (factory.exporter('graph'), factory.sink(1), factory.worker(0, ExportedGraph('graph', '')), factory.http())
    return {child.name: child for child in made if isinstance(child, ChildProcess)}


def test_only_the_proxy_gets_the_key_of_http_and_nobody_the_token_of_the_hub(children: dict[str, ChildProcess]) -> None:
    assert set(children) == {'GRAPHOPT', 'SINK', 'WORKER-0', 'PROXY'}
    for name, child in children.items():
        environment = child._make_environment()
        assert ('BERT_SERVING_HTTP_API_KEY' in environment) is (name == 'PROXY'), name
        assert 'HF_TOKEN' not in environment, name
        assert (SECRET in str(child.config)) is (name == 'PROXY'), name
        assert environment['PATH'] == os.environ['PATH']


def test_a_worker_of_a_cluster_gets_the_files_and_the_keys_that_it_needs_there(tmp_path: Path) -> None:
    graph, vocab = tmp_path / 'graph.pb', tmp_path / 'vocab.txt'
    for path in (graph, vocab, tmp_path / 'graph.pb.words'):
        path.touch()
    made: list[ChildSpec] = []
    remote: Any = SimpleNamespace(
        plan=ClusterPlan(range(1, 2), cpus=3, gpus=0),
        launcher=SimpleNamespace(make=made.append),
        ring=SimpleNamespace(
            worker_config=lambda endpoint: {'name': endpoint}, sink_config=lambda: {'address': 'here'}
        ),
    )
    plan = make_plan(vocab=str(vocab), devices=[-1, -1])
    endpoints = Endpoints('/folder', remote.plan.workers)
    for worker in (0, 1):
        endpoints.move_worker(worker)
    factory = ChildFactory(plan, endpoints, Ports(1, 2, 3), ['/x'], ChildModules(), sink_limits={}, remote=remote)
    local = factory.worker(0, ExportedGraph(str(graph), 'digest', entry='/kept'))
    assert isinstance(local, ChildProcess)
    assert local.config['threads'] == len(os.sched_getaffinity(0)), 'those of the cluster take none of this machine'
    factory.worker(1, ExportedGraph(str(graph), 'digest', entry='/kept'))
    (spec,) = made
    assert spec.name == 'WORKER-1'
    assert spec.config['remote'] == {'name': endpoints.workers[1]}
    assert (spec.config['threads'], spec.config['graph_entry'], spec.config['temp_dirs']) == (3, None, [])
    assert spec.files == (str(graph), str(graph) + '.words', str(vocab))
    assert spec.environment['CUDA_VISIBLE_DEVICES'] == '-1'
    sink = factory.sink(1)
    assert isinstance(sink, ChildProcess)
    assert sink.config['remote'] == {'address': 'here'}
