"""The children of a server get what they need: secrets only the one that checks them."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from bert_serving.server.options.settings import Settings
from bert_serving.server.parent.child_factory import ChildFactory, ChildModules, ExportedGraph
from bert_serving.server.parent.endpoints import Endpoints, Ports
from bert_serving.server.process.child import Child

SECRET = 'a secret of the test'


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> dict[str, Child]:
    """One child of each kind, of a server that has a key in its options and secrets in its environment."""
    monkeypatch.setenv('BERT_SERVING_HTTP_API_KEY', SECRET)
    monkeypatch.setenv('HF_TOKEN', SECRET)
    model = SimpleNamespace(
        to_json=dict,
        pipeline=None,
        tokenizer_files=None,
        vocab='',
        lower_case=True,
        config=SimpleNamespace(vocab_size=1, max_position_embeddings=1, head=None),
    )
    plan: Any = SimpleNamespace(
        settings=Settings(http_api_key=SECRET),
        model=model,
        address='127.0.0.1',
        security=None,
        devices=SimpleNamespace(devices=[-1]),
    )
    endpoints = Endpoints('/folder')
    endpoints.move_worker(0)
    factory = ChildFactory(plan, endpoints, Ports(1, 2, 3), (), modules=ChildModules(), sink_limits={})
    made = (factory.exporter('graph'), factory.sink(1), factory.worker(0, ExportedGraph('graph', '')), factory.http())
    return {child.name: child for child in made}


def test_only_the_proxy_gets_the_key_of_http_and_nobody_the_token_of_the_hub(children: dict[str, Child]) -> None:
    assert set(children) == {'GRAPHOPT', 'SINK', 'WORKER-0', 'PROXY'}
    for name, child in children.items():
        environment = child._make_environment()
        assert ('BERT_SERVING_HTTP_API_KEY' in environment) is (name == 'PROXY'), name
        assert 'HF_TOKEN' not in environment, name
        assert (SECRET in str(child.config)) is (name == 'PROXY'), name
        assert environment['PATH'] == os.environ['PATH']
