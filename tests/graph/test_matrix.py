"""Every architecture with every strategy of 1.10, all layers, `-mask_cls_sep`, all types and XLA, against transformers.

`layers.npz` has, for each architecture, the ids of three rows and the states of all layers that transformers 5.24
makes of them: with all tokens (`all`), and without the first and the last of each row (`inner`, as with
`-mask_cls_sep`). Of a row that is as long as the model takes (`full_ids`), it has the mean of the last layer.

By default each architecture and each pair of a strategy and a type is tried once; `nox -s matrix` tries all.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest

from bert_serving.server.errors import ModelError, UsageError
from bert_serving.server.graph.export import GraphSpec, export
from bert_serving.server.model.config import check_max_seq_len, check_position_embeddings, check_strategy
from bert_serving.server.model.folder import find_model
from bert_serving.server.model.pooling import PoolingStrategy
from bert_serving.server.options.engines import ONNX_RUNTIME
from graph import reference
from graph.reference import PUBLISHED
from support.engines import needs_onnx, open_graph

FOLDERS = {
    'albert': 'albert-mean',
    'bert': 'bert-mean-norm',
    'camembert': 'camembert-cls',
    'deberta-v2': 'ce-deberta-v2',
    'distilbert': 'distilbert-mean-dense',
    'electra': 'electra-mean',
    'gte': 'gte-cls',
    'modernbert': 'modernbert-cls',
    'mpnet': 'mpnet-mean-norm',
    'nomic_bert': 'nomic-bert-mean',
    'roberta': 'roberta-mean',
    'xlm-roberta': 'xlm-roberta-mean-norm',
}
CLASSIFIERS = ('ce-bert-labels', 'ce-deberta-v2', 'ce-distilbert', 'ce-modernbert', 'ce-xlm-roberta')
LAYERS = np.load(PUBLISHED.parent / 'layers.npz')

VARIANTS: dict[str, dict[str, Any]] = {
    'float32': {'on_cpu': True},
    'bf16': {'on_cpu': True, 'bf16': True},
    'fp16': {'on_cpu': True, 'fp16': True},
    'fp16 for GPUs': {'on_gpu': True, 'fp16': True},
    'for both': {},
    'xla': {},
    'onnxruntime': {'on_cpu': True, 'engine': ONNX_RUNTIME},
}
"""The options of graphs: of one for CPUs in each type, for GPUs, for both, and for XLA."""

FLOAT32 = ('float32', 'onnxruntime')
"""The variants in which by default every architecture answers the states of all its layers."""

LEAST_COSINES = {'bf16': 0.97, 'fp16 for GPUs': 0.999}
"""Of the answers of graphs whose products are not float32. In bfloat16, the tiny models with rotary positions differ
(docs/architectures.md)."""

ONE_TOKEN = (PoolingStrategy.FIRST_TOKEN, PoolingStrategy.LAST_TOKEN)
"""Strategies that take the state of a token even if it is masked. Transformers makes it from zeros in a DeBERTa, and
from the token in all others; we make it from the token."""

STRATEGIES = tuple(strategy for strategy in PoolingStrategy if not strategy.uses_pooler)


class Case(NamedTuple):
    """What is tried together. `layers` is `last` or `all`, of which the last comes first."""

    kind: str
    strategy: PoolingStrategy
    variant: str
    layers: str


def the_cases() -> list[Case]:
    if os.environ.get('BERT_SERVING_FULL_MATRIX'):
        return [Case(*each) for each in product(FOLDERS, STRATEGIES, VARIANTS, ('last', 'all'))]
    pooling = [strategy for strategy in STRATEGIES if strategy is not PoolingStrategy.NONE]
    variants = [variant for variant in VARIANTS if variant not in FLOAT32]
    return [Case(kind, PoolingStrategy.NONE, variant, 'all') for kind in FOLDERS for variant in FLOAT32] + [
        Case(kind, pooling[index % 5], variants[(index + index // 5) % len(variants)], 'last' if index % 2 else 'all')
        for index, kind in enumerate(FOLDERS)
    ]


def spec_of(kind: str, **options: Any) -> GraphSpec:
    model = find_model(str(PUBLISHED / FOLDERS[kind]))
    model = replace(model, config=replace(model.config, head=None))
    return GraphSpec(model, (model.config.num_hidden_layers - 1,), **options)


def inputs_of(kind: str, tokens: str) -> tuple[np.ndarray, ...]:
    """The arrays as a worker packs them: with 0 for padding, whatever the model has for it."""
    shape = LAYERS[kind + '/ids'].shape
    mask = np.zeros(shape, np.int32)
    whole = np.zeros(shape, np.int32)
    for row, length in enumerate((12, 7, 3)):
        whole[row, :length] = 1
        mask[row, :length] = 1
        if tokens == 'inner':
            mask[row, [0, length - 1]] = 0
    return LAYERS[kind + '/ids'] * whole, mask, np.zeros(shape, np.int32)


def marked(case: Case) -> Any:
    marks = needs_onnx if VARIANTS[case.variant].get('engine') else ()
    return pytest.param(case, marks=marks)


@pytest.mark.parametrize('case', [marked(case) for case in the_cases()], ids=lambda case: '-'.join(map(str, case)))
def test_answers(case, tmp_path):
    """In both size classes, with and without the first and the last token."""
    options = VARIANTS[case.variant]
    spec = spec_of(case.kind, strategy=case.strategy, **options)
    count = spec.model.config.num_hidden_layers
    layers = (count - 1, *range(count - 1)) if case.layers == 'all' else (count - 1,)
    path = export(replace(spec, layers=layers), str(tmp_path / 'graph')).path
    options = {'xla': True} if case.variant == 'xla' else {}
    with open_graph(spec, path, threads=1, **options) as encoder:
        for tokens, times in product(('all', 'inner'), (1, 3)):
            if tokens == 'inner' and case.kind == 'deberta-v2' and case.strategy in ONE_TOKEN:
                continue
            ids, mask, types = (np.tile(array, (times, 1)) for array in inputs_of(case.kind, tokens))
            states = np.tile(np.concatenate(LAYERS['%s/%s' % (case.kind, tokens)][list(layers)], -1), (times, 1, 1))
            expected = reference.pool(case.strategy.name, states, mask)
            check(encoder.encode(ids, mask, types), expected, case)
        if case.variant in (*FLOAT32, 'xla') and case.strategy is PoolingStrategy.NONE:
            ids = LAYERS[case.kind + '/full_ids']
            states = encoder.encode(ids, np.ones_like(ids), np.zeros_like(ids))[..., : spec.model.config.hidden_size]
            check(states.mean(1), LAYERS[case.kind + '/full'][0], case)


def check(answer, expected, case):
    assert answer.shape == expected.shape
    assert np.isfinite(answer).all()
    if case.variant in LEAST_COSINES:
        a, b = answer.reshape(-1, answer.shape[-1]), expected.reshape(-1, answer.shape[-1])
        a, b = a[b.any(1)], b[b.any(1)]
        cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert cosines.min() >= LEAST_COSINES[case.variant], cosines
    else:
        atol = 4e-3 if case.variant == 'fp16' else 1e-4
        np.testing.assert_allclose(answer, expected, rtol=max(1e-4, atol / 2), atol=atol)


def test_every_option_is_in_a_case():
    cases = the_cases()
    for index, values in enumerate((FOLDERS, STRATEGIES, VARIANTS, ('last', 'all'))):
        assert {case[index] for case in cases} == set(values)


@pytest.mark.parametrize('variant', ['float32', 'xla', pytest.param('onnxruntime', marks=needs_onnx)])
@pytest.mark.parametrize('kind', FOLDERS)
def test_pooler(kind, variant, tmp_path):
    """CLS_POOLED answers as the pooler, or is refused: at once if there is none, or when its weights are not found."""
    spec = spec_of(kind, strategy=PoolingStrategy.CLS_POOLED, **VARIANTS[variant])
    if not spec.model.config.has_pooler:
        with pytest.raises(UsageError, match='CLS_POOLED needs the pooler of pre-training, and a %s has none' % kind):
            check_strategy(PoolingStrategy.CLS_POOLED, spec.model.config)
        return
    check_strategy(PoolingStrategy.CLS_POOLED, spec.model.config)
    if kind + '/pooled' not in LAYERS:
        with pytest.raises(ModelError, match=r'lacks what the graph needs: .*pooler\.dense\.weight'):
            export(spec, str(tmp_path / 'graph'))
        return
    path = export(spec, str(tmp_path / 'graph')).path
    options = {'xla': True} if variant == 'xla' else {}
    with open_graph(spec, path, threads=1, **options) as encoder:
        answer = encoder.encode(*inputs_of(kind, 'all'))
    np.testing.assert_allclose(answer, LAYERS[kind + '/pooled'], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize('kind', sorted(set(FOLDERS) - {'deberta-v2'}))  # whose folder has a head
@pytest.mark.parametrize('strategy', [PoolingStrategy.CLASSIFICATION, PoolingStrategy.REGRESSION], ids=str)
def test_head_that_the_weights_lack_is_named(kind, strategy, tmp_path):
    spec = spec_of(kind, strategy=strategy, on_cpu=True)
    check_strategy(strategy, spec.model.config)
    with pytest.raises(ModelError, match=r'lacks what the graph needs: .*classifier'):
        export(spec, str(tmp_path / 'graph'))


@pytest.mark.parametrize('variant', ['float32', pytest.param('onnxruntime', marks=needs_onnx)])
@pytest.mark.parametrize('name', CLASSIFIERS)
def test_classification_answers_probabilities_of_any_head(name, variant, tmp_path):
    model = find_model(str(PUBLISHED / name))
    about = json.loads((PUBLISHED.parent / 'cases' / (name + '.json')).read_text())
    labels = len(model.config.head.labels)
    spec = GraphSpec(
        replace(model, config=replace(model.config, head=None)),
        (0,),
        strategy=PoolingStrategy.CLASSIFICATION,
        num_labels=labels,
        **VARIANTS[variant],
    )
    rows, types = about['input_ids'], about['token_type_ids']
    ids, mask, type_ids = (np.zeros((len(rows), max(map(len, rows))), np.int32) for _ in range(3))
    for index, row in enumerate(rows):
        ids[index, : len(row)], mask[index, : len(row)] = row, 1
        type_ids[index, : len(row)] = types[index] if types else 0
    with open_graph(spec, export(spec, str(tmp_path / 'graph')).path, threads=1) as encoder:
        answer = encoder.encode(ids, mask, type_ids)
    logits = np.load(PUBLISHED.parent / 'cases' / (name + '.npz'))['s1'].reshape(len(rows), -1)
    expected = np.stack([reference.softmax(row) for row in logits])
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize('kind', FOLDERS)
def test_options_that_a_model_cannot_have_are_refused(kind):
    config = spec_of(kind).model.config
    check_max_seq_len(config.max_position_embeddings, config)
    with pytest.raises(UsageError, match='-max_seq_len %d is more than' % (config.max_position_embeddings + 1)):
        check_max_seq_len(config.max_position_embeddings + 1, config)
    if kind in ('deberta-v2', 'gte', 'modernbert', 'mpnet', 'nomic_bert'):
        with pytest.raises(UsageError, match='-no_position_embeddings: the positions of a %s are part' % kind):
            check_position_embeddings(False, config)
    else:
        check_position_embeddings(False, config)
