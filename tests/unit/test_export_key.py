"""The key of an export changes with all that its graph depends on, and with nothing else."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.graph.export_key import Entry, entries_to_remove, export_key
from bert_serving.server.graph.spec import GraphSpec
from bert_serving.server.model.config import EncoderConfig, Head
from bert_serving.server.model.folder import Model
from bert_serving.server.model.pipeline import Dense, Pipeline, Pooling
from bert_serving.server.model.pooling import PoolingStrategy

CONFIG = EncoderConfig(
    vocab_size=10,
    hidden_size=4,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=16,
    type_vocab_size=2,
)
MODEL = Model('google', CONFIG, '/a/bert_config.json', '/a/bert_model.ckpt', '/a/vocab.txt', folder='/a', name='a')
DENSE = Dense(4, 2, True, 'tanh', '/a/dense.safetensors')
PIPELINE = Pipeline(Pooling(('mean',)), (DENSE,))
SPEC = GraphSpec(MODEL, (1,), pipeline=PIPELINE)
WEIGHTS, MAKER = ('12', '34'), {'release': '2.0.0', 'packages': {'tensorflow': '2.21.0'}}

CHANGES: dict[str, Any] = {
    'model': replace(MODEL, config=replace(CONFIG, layer_norm_eps=0.1)),
    'layers': (1, 2),
    'strategy': PoolingStrategy.REDUCE_MAX,
    'position_embeddings': False,
    'num_labels': 3,
    'fp16': True,
    'bf16': True,
    'on_gpu': True,
    'on_cpu': True,
    'engine': 'onnxruntime',
    'int8': True,
    'pipeline': replace(PIPELINE, pooling=Pooling(('max',))),
    'head': Head(labels=('a',), activation='sigmoid'),
    'is_raw': True,
}


def key(spec: GraphSpec = SPEC) -> str:
    return export_key(spec, WEIGHTS, MAKER)


def test_the_same_export_has_the_same_key_wherever_its_model_is() -> None:
    pipeline = replace(PIPELINE, modules=(replace(DENSE, weights='/b/dense.safetensors'),))
    elsewhere = Model('google', CONFIG, '/b/bert_config.json', '/b/model', '/b/vocab.txt', folder='/b', name='b')
    assert key(replace(SPEC, model=elsewhere, pipeline=pipeline)) == key()
    assert len(key()) == 32
    assert int(key(), 16)


def test_every_field_of_a_specification_counts() -> None:
    """A field that is added needs a change above; none is left out of the key by default."""
    assert [field.name for field in fields(GraphSpec)] == list(CHANGES)
    assert len({key(), *(key(replace(SPEC, **{name: value})) for name, value in CHANGES.items())}) == 1 + len(CHANGES)


def test_weights_programs_and_the_machine_count() -> None:
    keys = {
        key(),
        export_key(SPEC, ('34', '12'), MAKER),
        export_key(SPEC, ('12',), MAKER),
        export_key(SPEC, WEIGHTS, {**MAKER, 'release': '2.0.1'}),
        export_key(SPEC, WEIGHTS, {**MAKER, 'packages': {'tensorflow': '2.22.0'}}),
    }
    assert len(keys) == 5


A, B, C = (Entry(name, 10, used) for name, used in (('a', 3.0), ('b', 1.0), ('c', 2.0)))


@pytest.mark.parametrize(
    ('wanted', 'limit', 'free', 'removed'),
    [
        (10, 40, 100, []),
        (10, 39, 100, ['b']),
        (15, 34, 100, ['b', 'c']),
        (30, 30, 100, ['b', 'c', 'a']),
        (31, 30, 100, None),
        (10, 100, 15, []),
        (10, 100, 14, ['b']),
        (40, 100, 14, None),
    ],
)
def test_what_was_unused_for_longest_makes_room(wanted: int, limit: int, free: int, removed: list[str] | None) -> None:
    assert entries_to_remove([A, B, C], wanted, limit=limit, free=free, least_free=5) == removed


@given(
    sizes=st.lists(st.integers(0, 50), max_size=8),
    wanted=st.integers(0, 60),
    limit=st.integers(0, 200),
    free=st.integers(0, 200),
)
def test_after_the_removal_there_is_room_and_no_more_goes_than_must(
    sizes: list[int], wanted: int, limit: int, free: int
) -> None:
    entries = [Entry(str(number), size, number) for number, size in enumerate(sizes)]
    removed = entries_to_remove(entries, wanted, limit=limit, free=free, least_free=10)

    def fits(gone: int) -> bool:
        return sum(sizes[gone:]) + wanted <= limit and free + sum(sizes[:gone]) - wanted >= 10

    if removed is None:
        assert not any(fits(gone) for gone in range(len(sizes) + 1))
    else:
        assert removed == [str(number) for number in range(len(removed))]
        assert fits(len(removed))
        assert not any(fits(gone) for gone in range(len(removed)))
