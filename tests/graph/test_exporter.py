"""What the options ask of the graph: which devices it is for, and what it computes in."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from bert_serving.server.graph import export as export_module
from bert_serving.server.graph import exporter
from bert_serving.server.graph.export import GraphInfo
from bert_serving.server.model.folder import Model
from bert_serving.server.options.settings import Settings
from graph import reference


@pytest.fixture
def spec(monkeypatch):
    """The spec that the exporter is asked for with these options."""

    def get(on_gpu=False, **options):
        asked = []

        def spy(spec, path, on_progress):
            asked.append(spec)
            return GraphInfo(path, 1, '', 1, 'float32', 0.0)

        monkeypatch.setattr(export_module, 'export', spy)
        model = Model('google', reference.CONFIG, 'config', 'weights', 'vocab.txt')
        config = {'settings': Settings.from_dict(options).to_dict(), 'model': model.to_json(), 'path': 'graph'}
        exporter.main({**config, 'on_gpu': on_gpu}, Mock())
        return asked[0]

    return get


@pytest.mark.parametrize(
    ('on_gpu', 'options', 'on_cpu'),
    [
        (False, {}, True),
        (False, {'cpu': True, 'num_worker': 2, 'device_map': [0, -1]}, True),
        (False, {'num_worker': 2, 'device_map': [-1]}, True),
        (False, {'num_worker': 2, 'device_map': [0, -1]}, False),
        (False, {'num_worker': 1, 'device_map': [-1, 0]}, True),
        (False, {'xla': True}, False),
        (True, {}, False),
    ],
)
def test_graph_is_for_the_cpu_when_nothing_else_runs_it(on_gpu, options, on_cpu, spec):
    assert spec(on_gpu, **options).on_cpu is on_cpu
    assert spec(on_gpu, **options).on_gpu is on_gpu


def test_precision(spec):
    assert (spec().dtype.name, spec().fp16) == ('float32', False)
    assert (spec(bf16=True).dtype.name, spec(bf16=True).fp16) == ('bfloat16', False)
    assert (spec(fp16=True).dtype.name, spec(fp16=True).fp16) == ('float32', True)
    assert spec(on_gpu=True, fp16=True).dtype.name == 'float16'
