"""From a model folder to the file: what the answers are, what is in the file, and what is refused."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bert_serving.server.errors import ModelError, StartError
from bert_serving.server.graph import export as export_module
from bert_serving.server.graph import files
from bert_serving.server.graph import spec as spec_module
from bert_serving.server.graph.export import GraphSpec, export, find_unusual_rows
from bert_serving.server.graph.runtime import GraphEncoder
from bert_serving.server.graph.tf import tf, tf1
from bert_serving.server.model.pooling import PoolingStrategy
from graph import reference
from graph.reference import CONFIG

CLOSE: dict[str, Any] = {'rtol': 1e-4, 'atol': 2e-5}
HIDDEN = CONFIG.hidden_size
LOGGER = 'bert_serving.server.graph.export'


@pytest.fixture(scope='module')
def variables():
    return reference.random_variables(num_labels=5)


@pytest.fixture(scope='module')
def model(variables, tmp_path_factory):
    return reference.google_model(tmp_path_factory.mktemp('model'), variables)


@pytest.fixture(scope='module')
def inputs():
    return reference.random_inputs()


@pytest.fixture(scope='module')
def layers(variables, inputs):
    return reference.bert(CONFIG, variables, *inputs)


@pytest.fixture
def answer(tmp_path, inputs):
    """What the exported graph of a spec answers, and what was said of it."""

    def get(spec):
        info = export(spec, str(tmp_path / 'graph.pb'))
        with GraphEncoder(info.path, threads=1) as encoder:
            return encoder.encode(*inputs), info

    return get


def nodes(path):
    graph = tf1.GraphDef()
    graph.ParseFromString(path.read_bytes())
    return {node.name: node for node in graph.node}


@pytest.mark.parametrize('on_cpu', [False, True])
@pytest.mark.parametrize('strategy', [s for s in PoolingStrategy if not s.uses_pooler], ids=str)
@pytest.mark.parametrize('chosen', [(2,), (3, 0, 3)], ids=str)
def test_strategies_over_tokens(strategy, chosen, on_cpu, model, inputs, layers, answer):
    vectors, info = answer(GraphSpec(model, chosen, strategy, on_cpu=on_cpu))
    expected = reference.pool(strategy.name, np.concatenate([layers[index] for index in chosen], -1), inputs[1])
    assert vectors.dtype == np.float32
    assert info.dtype == 'float32'
    assert info.width == expected.shape[-1]
    np.testing.assert_allclose(vectors, expected, **CLOSE)


def test_pooler(model, variables, layers, answer):
    vectors, info = answer(GraphSpec(model, (1,), PoolingStrategy.CLS_POOLED))
    assert info.width == HIDDEN
    np.testing.assert_allclose(vectors, reference.pooler(variables, layers[-1]), **CLOSE)


def test_classification(model, variables, layers, answer):
    vectors, info = answer(GraphSpec(model, (1,), PoolingStrategy.CLASSIFICATION, num_labels=5))
    logits = reference.logits(variables, reference.pooler(variables, layers[-1]))
    assert info.width == 5
    np.testing.assert_allclose(vectors, reference.softmax(logits), **CLOSE)


def test_regression_has_one_label_whatever_num_labels_says(tmp_path, layers, answer):
    variables = reference.random_variables(num_labels=1)
    model = reference.google_model(tmp_path / 'model', variables)
    vectors, info = answer(GraphSpec(model, (1,), PoolingStrategy.REGRESSION, num_labels=5))
    logits = reference.logits(variables, reference.pooler(variables, layers[-1]))
    assert info.width == 1
    np.testing.assert_allclose(vectors, 1 / (1 + np.exp(-logits)), **CLOSE)


def test_without_position_embeddings(model, variables, inputs, answer):
    vectors, _ = answer(GraphSpec(model, (3,), position_embeddings=False))
    layers = reference.bert(CONFIG, variables, *inputs, position_embeddings=False)
    np.testing.assert_allclose(vectors, reference.pool('REDUCE_MEAN', layers[3], inputs[1]), **CLOSE)


def test_huggingface_answers_what_google_answers(tmp_path, model, variables, answer):
    other = reference.huggingface_model(tmp_path / 'hf', reference.huggingface_names(variables))
    for strategy in (PoolingStrategy.NONE, PoolingStrategy.CLASSIFICATION):
        spec = GraphSpec(model, (0, 2), strategy, num_labels=5)
        np.testing.assert_array_equal(answer(replace(spec, model=other))[0], answer(spec)[0])


@pytest.mark.parametrize('on_gpu', [False, True])
@pytest.mark.parametrize('strategy', PoolingStrategy, ids=str)
def test_fp16_answers_are_float16_and_finite(strategy, on_gpu, tmp_path, variables, answer, inputs):
    """Of states beyond the range of float16, and of rows without a token: 1.10 answered infinities."""
    labels = 1 if strategy is PoolingStrategy.REGRESSION else 5
    huge = {name: values * (1e6 if name.endswith('gamma') else 1) for name, values in variables.items()}
    huge.update(output_weights=variables['output_weights'][:labels], output_bias=variables['output_bias'][:labels])
    model = reference.google_model(tmp_path / 'huge', {n: v.astype(np.float32) for n, v in huge.items()})
    info = export(GraphSpec(model, (2, 0), strategy, num_labels=5, fp16=True, on_gpu=on_gpu), str(tmp_path / 'g.pb'))
    ids, mask, type_ids = inputs
    mask = mask.copy()
    mask[1] = 0
    with GraphEncoder(info.path, threads=1) as encoder:
        vectors = encoder.encode(ids, mask, type_ids)
    assert vectors.dtype == np.float16
    assert info.dtype == 'float16'
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize('on_gpu', [False, True])
def test_fp16_is_close_to_float32(on_gpu, model, answer):
    exact, _ = answer(GraphSpec(model, (2,)))
    vectors, _ = answer(GraphSpec(model, (2,), fp16=True, on_gpu=on_gpu))
    assert cosine(vectors.astype(np.float32), exact).min() > 0.9999


@pytest.mark.parametrize('on_cpu', [False, True])
@pytest.mark.parametrize('strategy', PoolingStrategy, ids=str)
def test_bf16_is_close_to_float32_and_answers_it(strategy, on_cpu, tmp_path, inputs):
    labels = 1 if strategy is PoolingStrategy.REGRESSION else 5
    model = reference.google_model(tmp_path / 'model', reference.random_variables(num_labels=labels))
    fp32 = GraphSpec(model, (2, 0), strategy, num_labels=labels)
    answers = []
    for spec in (fp32, replace(fp32, bf16=True, on_cpu=on_cpu)):
        info = export(spec, str(tmp_path / spec.dtype.name))
        assert info.dtype == 'float32'
        with GraphEncoder(info.path, threads=1) as encoder:
            answers.append(encoder.encode(*inputs))
    exact, close = answers
    counts = inputs[1].astype(bool) if strategy is PoolingStrategy.NONE else slice(None)
    assert close.dtype == np.float32
    assert cosine(close[counts], exact[counts]).min() > 0.999


def test_bf16_weights_are_bfloat16_in_the_file(model, tmp_path):
    for name, bf16 in (('fp32', False), ('bf16', True)):
        export(GraphSpec(model, (3,), bf16=bf16, on_cpu=True), str(tmp_path / name))
    kernels = {
        name: node.attr['dtype'].type
        for name, node in nodes(tmp_path / 'bf16').items()
        if name.endswith(('/kernel', 'word_embeddings'))
    }
    assert set(kernels.values()) == {tf.bfloat16.as_datatype_enum}
    assert len(kernels) == 4 * 4 + 1


@pytest.mark.parametrize('on_gpu', [False, True])
def test_fp16_computes_in_float16_on_a_gpu_only(on_gpu, model, tmp_path):
    export(GraphSpec(model, (2,), fp16=True, on_gpu=on_gpu), str(tmp_path / 'graph.pb'))
    products = [node for node in nodes(tmp_path / 'graph.pb').values() if node.op == 'BiasAdd']
    assert len(products) == 3 * 4
    assert {node.attr['T'].type for node in products} == {(tf.float16 if on_gpu else tf.float32).as_datatype_enum}


def cosine(a, b):
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


@pytest.mark.parametrize(
    ('strategy', 'chosen', 'depth'),
    [
        (PoolingStrategy.REDUCE_MEAN, (0,), 1),
        (PoolingStrategy.REDUCE_MEAN, (2, 1), 3),
        (PoolingStrategy.CLS_POOLED, (0,), 4),
    ],
)
def test_only_the_layers_up_to_the_highest_pooled_one_are_built(strategy, chosen, depth, model, tmp_path):
    export(GraphSpec(model, chosen, strategy), str(tmp_path / 'graph.pb'))
    built = {name.split('/')[1] for name in nodes(tmp_path / 'graph.pb') if name.startswith('encoder/')}
    assert built == {'layer_%d' % index for index in range(depth)}


def test_inputs_and_output_are_the_public_ones(model, tmp_path):
    export(GraphSpec(model, (1,)), str(tmp_path / 'graph.pb'))
    graph = nodes(tmp_path / 'graph.pb')
    placeholders = [node for node in graph.values() if node.op == 'Placeholder']
    assert [node.name for node in placeholders] == ['input_ids', 'input_mask', 'input_type_ids']
    for node in placeholders:
        assert node.attr['dtype'].type == tf.int32.as_datatype_enum
        assert [dim.size for dim in node.attr['shape'].shape.dim] == [-1, -1]
    assert 'final_encodes' in graph
    assert not [node.op for node in graph.values() if 'Variable' in node.op]


def test_same_spec_same_bytes(model, tmp_path):
    for name in ('a', 'b'):
        export(GraphSpec(model, (1, 2)), str(tmp_path / name))
    assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes()


def test_info(model, tmp_path):
    path = tmp_path / 'graph.pb'
    info = export(GraphSpec(model, (1, 2)), str(path))
    assert info.path == str(path)
    assert info.bytes == path.stat().st_size
    assert 0 < info.seconds < 60


@pytest.mark.parametrize('tuned', [False, True])
def test_log_says_which_checkpoint_and_how_long_each_step_took(tuned, model, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger=LOGGER):
        export(GraphSpec(replace(model, tuned=tuned), (1,)), str(tmp_path / 'graph.pb'))
    lines = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert lines[0] == 'model config: ' + model.config_path
    override = ' (override by the fine-tuned model)' if tuned else ''
    assert lines[1] == 'checkpoint%s: %s' % (override, model.weights)
    steps = ['load checkpoint (', 'build graph (', 'freeze (', 'write graph to: %s (' % (tmp_path / 'graph.pb')]
    assert [line.startswith(step) for line, step in zip(lines[2:], steps, strict=True)] == [True] * 4
    assert all('seconds=' in line for line in lines[2:])


@pytest.mark.parametrize(
    'options', [{}, {'on_cpu': True}, {'on_cpu': True, 'bf16': True}, {'on_gpu': True, 'fp16': True}], ids=str
)
@pytest.mark.parametrize('strategy', [PoolingStrategy.REDUCE_MEAN, PoolingStrategy.CLS_POOLED], ids=str)
def test_progress_is_told_in_bytes_of_each_stage_from_nothing_to_all(options, strategy, model, tmp_path, monkeypatch):
    monkeypatch.setattr(files, 'WRITE_BYTES', 10_000)
    told = {}
    info = export(
        GraphSpec(model, (1, 3), strategy, **options),
        str(tmp_path / 'graph.pb'),
        on_progress=lambda stage, done, total: told.setdefault(stage, []).append((done, total)),
    )
    assert list(told) == ['read the weights', 'build the graph', 'freeze the graph', 'write the graph']
    assert told.pop('freeze the graph') == [(0, 0)], 'nobody can tell'
    for stage, steps in told.items():
        assert steps == sorted(steps), stage
        assert steps[-1][0] == steps[-1][1] == steps[0][1], stage
        assert len(steps) > 5, stage
    assert told['write the graph'][-1][1] == info.bytes == (tmp_path / 'graph.pb').stat().st_size


def test_head_that_is_missing_is_named_and_nothing_is_written(tmp_path):
    model = reference.google_model(tmp_path / 'model', reference.random_variables())
    with pytest.raises(ModelError, match='output_weights, output_bias'):
        export(GraphSpec(model, (1,), PoolingStrategy.CLASSIFICATION), str(tmp_path / 'graph.pb'))
    assert [path.name for path in tmp_path.iterdir()] == ['model']


def test_too_large_is_refused_with_its_size_before_the_weights_are_read(model, tmp_path):
    large = replace(model, config=replace(CONFIG, intermediate_size=2**23), weights='not looked at')
    with pytest.raises(ModelError, match=r'2\.\d\d GiB, but a TensorFlow graph cannot exceed 2 GiB'):
        export(GraphSpec(large, (1,)), str(tmp_path / 'graph.pb'))


def test_folder_that_can_not_be_written(model, tmp_path):
    path = str(tmp_path / 'no such folder' / 'graph.pb')
    with pytest.raises(StartError, match=r'cannot be written to .*no such folder'):
        export(GraphSpec(model, (1,)), path)


def test_write_that_fails_leaves_nothing_behind(model, tmp_path):
    (tmp_path / 'graph.pb').mkdir()
    with pytest.raises(StartError):
        export(GraphSpec(model, (1,)), str(tmp_path / 'graph.pb'))
    assert [path.name for path in tmp_path.iterdir()] == ['graph.pb']


def test_rows_with_the_largest_numbers_of_either_sign_are_unusual(monkeypatch):
    monkeypatch.setattr(export_module, 'UNUSUAL_IDS', 3)
    table = np.array([[0, 1], [-9, 0], [3, 3], [0, 8], [7, -7]], np.float32)
    assert find_unusual_rows([table[:2], table[2:]]) == [1, 3, 4]


@pytest.mark.parametrize('apart', [False, True])
def test_graph_names_its_unusual_tokens_for_the_first_run(apart, tmp_path, variables, monkeypatch):
    monkeypatch.setattr(export_module, 'UNUSUAL_IDS', 2)
    monkeypatch.setattr(spec_module, 'LEAST_APART', 0 if apart else 1 << 40)
    words = variables['embeddings/word_embeddings'].copy()
    words[[5, 2], [0, 1]] = -100, 50
    model = reference.google_model(tmp_path / 'model', {**variables, 'embeddings/word_embeddings': words})
    export(GraphSpec(model, (1,), on_cpu=True), str(tmp_path / 'graph'))
    with GraphEncoder(str(tmp_path / 'graph'), threads=1) as encoder:
        assert encoder.unusual_ids == (5, 2)
