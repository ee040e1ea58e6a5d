"""The modules of a published model travel to the exporter and the workers as JSON."""

from __future__ import annotations

import json

from bert_serving.server.model.pipeline import Dense, LayerNorm, Normalize, Pipeline, Pooling


def test_a_pipeline_survives_the_way_to_a_child() -> None:
    pipeline = Pipeline(
        Pooling(('cls', 'mean'), include_prompt=False),
        (
            Dense(48, 16, True, 'tanh', '/m/2_Dense/model.safetensors'),
            LayerNorm(16, '/m/3/model.safetensors'),
            Normalize(),
        ),
        max_seq_len=256,
        prompts={'query': 'query: '},
        default_prompt_name='query',
        similarity='cosine',
    )
    assert Pipeline.from_json(json.loads(json.dumps(pipeline.to_json()))) == pipeline


def test_only_a_last_normalize_is_the_workers() -> None:
    dense = Dense(4, 4, False, 'linear', 'x')
    assert Pipeline(Pooling(('mean',)), (dense, Normalize())).normalizes
    assert not Pipeline(Pooling(('mean',)), (Normalize(), dense)).normalizes
    assert not Pipeline(Pooling(('mean',))).normalizes


def test_a_pipeline_without_pooling_survives_the_way_to_a_child() -> None:
    pipeline = Pipeline(None, max_seq_len=128)
    assert Pipeline.from_json(json.loads(json.dumps(pipeline.to_json()))) == pipeline
