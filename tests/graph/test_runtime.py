"""The encoder that each worker runs: loading, running, XLA's buckets, silence."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bert_serving.server
from bert_serving.server.errors import StartError
from bert_serving.server.graph.export import GraphSpec, export
from bert_serving.server.graph.layer_norm import FUSED_LAYER_NORM, can_fuse_layer_norm
from bert_serving.server.graph.pooling_ops import POOLING
from bert_serving.server.graph.runtime import GraphEncoder
from bert_serving.server.graph.tf import tf, tf1
from bert_serving.server.model.pooling import PoolingStrategy
from graph import reference
from graph.reference import CONFIG

CLOSE: dict[str, Any] = {'rtol': 1e-4, 'atol': 2e-5}
# An epsilon that would be missed: the encoder's optimizer must leave it as it is.
WIDE_EPSILON = replace(CONFIG, layer_norm_eps=0.1)


@pytest.fixture(scope='module')
def variables():
    return reference.random_variables()


@pytest.fixture(scope='module')
def graphs(variables, tmp_path_factory):
    """Paths of graphs by strategy."""
    folder = tmp_path_factory.mktemp('graphs')
    model = reference.google_model(folder / 'model', variables, WIDE_EPSILON)
    return {
        strategy: export(GraphSpec(model, (3,), strategy), str(folder / strategy.name)).path
        for strategy in (PoolingStrategy.NONE, PoolingStrategy.REDUCE_MEAN)
    }


@pytest.fixture(scope='module')
def cpu_graph(variables, tmp_path_factory):
    """The path of a graph that is made for the CPU."""
    folder = tmp_path_factory.mktemp('cpu_graphs')
    model = reference.google_model(folder / 'model', variables, WIDE_EPSILON)

    @cache
    def get(strategy=PoolingStrategy.REDUCE_MEAN, bf16=False):
        spec = GraphSpec(model, (3,), strategy, bf16=bf16, on_cpu=True)
        return export(spec, str(folder / ('%s-%s' % (strategy, bf16)))).path

    return get


@pytest.fixture(scope='module')
def expected(variables):
    def get(strategy, inputs):
        return reference.pool(strategy.name, reference.bert(WIDE_EPSILON, variables, *inputs)[3], inputs[1])

    return get


@pytest.mark.parametrize('xla', [False, True])
@pytest.mark.parametrize('strategy', [PoolingStrategy.NONE, PoolingStrategy.REDUCE_MEAN], ids=str)
def test_batches_of_all_shapes(strategy, xla, graphs, expected):
    """With XLA, also twice: it compiles a shape when it comes for the second time."""
    with GraphEncoder(graphs[strategy], threads=2, xla=xla) as encoder:
        for rows, tokens in ((5, 9), (1, 1), (7, 3), (3, CONFIG.max_position_embeddings), (3, 11), (5, 9)):
            inputs = reference.random_inputs(rows, tokens)
            answer = encoder.encode(*inputs)
            assert answer.shape[:-1] == ((rows, tokens) if strategy is PoolingStrategy.NONE else (rows,))
            np.testing.assert_allclose(answer, expected(strategy, inputs), **CLOSE)


# On both sides of the bound between the size classes, and below the fewest tokens.
SIZES = ((1, 1), (2, 3), (7, 1), (8, 10), (9, 9), (80, 1), (81, 1), (27, 3), (13, 11))


@pytest.mark.parametrize('strategy', POOLING, ids=str)
def test_size_classes_answer_alike(strategy, cpu_graph, expected):
    with GraphEncoder(cpu_graph(strategy), threads=2) as encoder:
        for rows, tokens in SIZES:
            inputs = reference.random_inputs(rows, tokens)
            answer = encoder.encode(*inputs)
            assert answer.shape[:-1] == ((rows, tokens) if strategy is PoolingStrategy.NONE else (rows,))
            np.testing.assert_allclose(answer, expected(strategy, inputs), **CLOSE)


@pytest.mark.parametrize('strategy', [PoolingStrategy.NONE, PoolingStrategy.REDUCE_MEAN], ids=str)
def test_bfloat16_is_close_to_float32(strategy, cpu_graph, expected):
    """Also for rows without a token, whose scores would be lost in a bfloat16 beside the -10000 of the mask."""
    with GraphEncoder(cpu_graph(strategy, bf16=True), threads=2) as encoder:
        for rows, tokens in SIZES:
            ids, mask, type_ids = reference.random_inputs(rows, tokens)
            answer = encoder.encode(ids, mask, type_ids)
            assert answer.dtype == np.float32
            counts = mask.astype(bool) if strategy is PoolingStrategy.NONE else slice(None)
            assert cosine(answer[counts], expected(strategy, (ids, mask, type_ids))[counts]).min() > 0.999


@pytest.mark.parametrize('rows', [3, 30])
def test_rows_without_a_token_are_close_to_float32_too(rows, variables, tmp_path):
    """Their scores, beside the -10000 of the mask, would have no digits left in a bfloat16."""
    model = reference.google_model(tmp_path / 'model', variables)
    ids, mask, type_ids = reference.random_inputs(rows)
    inputs = (ids, np.zeros_like(mask), type_ids)
    for is_bf16 in (True, False):
        spec = GraphSpec(model, (3,), PoolingStrategy.FIRST_TOKEN, bf16=is_bf16, on_cpu=True)
        export(spec, str(tmp_path / str(is_bf16)))
    with (
        GraphEncoder(str(tmp_path / 'True'), threads=2) as bf16,
        GraphEncoder(str(tmp_path / 'False'), threads=2) as fp32,
    ):
        assert cosine(bf16.encode(*inputs), fp32.encode(*inputs)).min() > 0.999


def test_every_size_class_is_warm_after_load(cpu_graph):
    class Spy(GraphEncoder):
        seen = []

        def encode(self, input_ids, *others):
            self.seen.append(input_ids.shape)
            return super().encode(input_ids, *others)

    with Spy(cpu_graph(), threads=1):
        assert Spy.seen == [(1, 1), (27, 3)]


def test_runs_of_very_few_tokens_are_padded_by_rows(cpu_graph, monkeypatch):
    with GraphEncoder(cpu_graph(), threads=1) as encoder:
        run, seen = encoder._run, []
        monkeypatch.setattr(encoder, '_run', lambda *arrays: seen.append(arrays[0].shape) or run(*arrays))
        for rows, tokens in ((1, 3), (2, 3), (1, 8)):
            assert len(encoder.encode(*reference.random_inputs(rows, tokens))) == rows
    assert seen == [(3, 3), (3, 3), (1, 8)]


def test_description_of_what_is_on(cpu_graph, graphs):
    with GraphEncoder(cpu_graph(), threads=3) as encoder:
        assert encoder.describe() in (
            'compute=float32 layer_norm=%s small_batch=80 tokens xla=off threads=3' % kind
            for kind in ('fused', 'plain')
        )
    with GraphEncoder(cpu_graph(bf16=True), threads=1) as encoder:
        assert encoder.describe().startswith('compute=bfloat16 layer_norm=')
    encoder = GraphEncoder(graphs[PoolingStrategy.NONE], threads=1, xla=True)
    with pytest.raises(RuntimeError, match='not loaded'):
        encoder.describe()
    with encoder:
        assert encoder.describe() == 'compute=float32 layer_norm=plain small_batch=none xla=on threads=1'


def cosine(a, b):
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def test_xla_sees_few_shapes_and_none_beyond_the_positions(graphs, monkeypatch):
    encoder = GraphEncoder(graphs[PoolingStrategy.NONE], threads=1, xla=True)
    encoder.load()
    run, seen = encoder._run, set()

    def spy(ids, mask, type_ids):
        seen.add(ids.shape)
        return run(ids, mask, type_ids)

    monkeypatch.setattr(encoder, '_run', spy)
    for rows in range(1, 9):
        for tokens in range(1, CONFIG.max_position_embeddings + 1):
            ids = np.ones((rows, tokens), np.int32)
            assert encoder.encode(ids, ids, ids).shape == (rows, tokens, CONFIG.hidden_size)
    encoder.close()
    assert {rows for rows, _ in seen} == {1, 2, 4, 8}
    assert {tokens for _, tokens in seen} == {1, 2, 4, 8, 11}


def test_xla_does_not_pad_a_row_whose_answer_depends_on_padding(graphs, monkeypatch):
    encoder = GraphEncoder(graphs[PoolingStrategy.NONE], threads=1, xla=True)
    with encoder:
        shapes = []
        run = encoder._run
        monkeypatch.setattr(encoder, '_run', lambda *arrays: shapes.append(arrays[0].shape) or run(*arrays))
        ids, mask, type_ids = np.ones((3, 2, 5), np.int32)
        mask[1] = 0
        encoder.encode(ids, mask, type_ids)
        assert shapes == [(2, 5)]


def test_without_a_gpu_none_is_seen(graphs):
    with GraphEncoder(graphs[PoolingStrategy.NONE], threads=1) as encoder:
        assert not encoder.sees_gpu


def test_xla_without_positions_has_no_longest_bucket(variables, tmp_path):
    model = reference.google_model(tmp_path, variables)
    path = export(GraphSpec(model, (0,), position_embeddings=False), str(tmp_path / 'graph')).path
    inputs = reference.random_inputs(3, 25)
    with GraphEncoder(path, threads=1, xla=True) as bucketed, GraphEncoder(path, threads=1) as plain:
        np.testing.assert_allclose(bucketed.encode(*inputs), plain.encode(*inputs), **CLOSE)


DENSE = [(b'BiasAdd',), (b'BiasAdd', b'Add'), (b'BiasAdd', b'GeluExact'), (b'BiasAdd', b'Add')]
"""What becomes of the four dense layers of an encoder layer: each is one kernel with what follows it."""


def optimized(path):
    """The nodes of the graph that the session runs."""
    shown = GraphEncoder(path, threads=1)
    shown.is_shown = True
    with shown as encoder:
        metadata = tf1.RunMetadata()
        feed = dict(zip(('input_ids:0', 'input_mask:0', 'input_type_ids:0'), reference.random_inputs(), strict=True))
        options = tf1.RunOptions(output_partition_graphs=True)
        encoder._session.run('final_encodes:0', feed, options=options, run_metadata=metadata)
    nodes = [node for graph in metadata.partition_graphs for node in graph.node]
    if not [node for node in nodes if node.op.startswith('_Mkl') and node.op != FUSED_LAYER_NORM]:
        pytest.skip('this processor runs without oneDNN, which has the fused kernels')
    return nodes


def test_optimizer_fuses_the_dense_layers(graphs):
    """Which is why the graph is flat between the layers, and its ops in the order that they are in."""
    nodes = optimized(graphs[PoolingStrategy.REDUCE_MEAN])
    fused = [tuple(node.attr['fused_ops'].list.s) for node in nodes if 'FusedMatMul' in node.op]
    assert sorted(fused) == sorted(4 * DENSE)
    assert not [node for node in nodes if node.op == FUSED_LAYER_NORM]


@pytest.mark.parametrize('dtype', [tf.float32, tf.bfloat16], ids=lambda dtype: dtype.name)
def test_kernels_of_a_graph_for_the_cpu(dtype, cpu_graph):
    """Both size classes have the fused dense layers, the large one has the fused LayerNorm with the right epsilon."""
    nodes = optimized(cpu_graph(bf16=dtype == tf.bfloat16))
    products = [node for node in nodes if 'FusedMatMul' in node.op]
    assert {node.attr['T'].type for node in products} == {dtype.as_datatype_enum}
    for size_class in ('small/', 'large/'):
        fused = [tuple(node.attr['fused_ops'].list.s) for node in products if node.name.startswith(size_class)]
        assert sorted(fused) == sorted(4 * DENSE)
    norms = [node for node in nodes if node.op == FUSED_LAYER_NORM]
    assert len(norms) == (9 if can_fuse_layer_norm(dtype) else 0)
    for node in norms:
        assert node.name.startswith('large/')
        assert node.attr['T'].type == dtype.as_datatype_enum
        assert node.attr['epsilon'].f == pytest.approx(WIDE_EPSILON.layer_norm_eps)


@pytest.mark.parametrize('strategy', [PoolingStrategy.FIRST_TOKEN, PoolingStrategy.LAST_TOKEN], ids=str)
def test_products_for_one_position(strategy, cpu_graph):
    """The highest layer has a product of its own for the query, which is shorter than key and value, and one sum that
    is not fused: the optimizer does not see that the rows that were picked are as many as those added to them.
    """
    nodes = optimized(cpu_graph(strategy))
    products = [node for node in nodes if 'FusedMatMul' in node.op and node.name.startswith('large/')]
    fused = [tuple(node.attr['fused_ops'].list.s) for node in products]
    assert sorted(fused) == sorted(3 * DENSE + 3 * [(b'BiasAdd',)] + DENSE[2:])


def test_size_classes_share_their_weights(cpu_graph):
    shapes = [node.attr['value'].tensor.tensor_shape for node in optimized(cpu_graph()) if node.op == 'Const']
    intermediate = [1 for shape in shapes if [dim.size for dim in shape.dim] == [21, 13]]
    assert len(intermediate) == CONFIG.num_hidden_layers


def test_not_loaded_and_closed(graphs):
    encoder = GraphEncoder(graphs[PoolingStrategy.NONE], threads=1)
    encoder.close()
    with pytest.raises(RuntimeError, match='not loaded'):
        encoder.encode(*reference.random_inputs())
    encoder.load()
    encoder.close()
    with pytest.raises(RuntimeError, match='not loaded'):
        encoder.encode(*reference.random_inputs())


def test_graph_that_is_not_there(tmp_path):
    with pytest.raises(StartError, match='cannot be read: No such file'):
        GraphEncoder(str(tmp_path / 'none'), threads=1).load()


def test_session_is_told_threads_and_device(monkeypatch, graphs):
    configs = []
    session = tf1.Session

    def spy(graph, config):
        configs.append(config)
        return session(graph=graph, config=config)

    monkeypatch.setattr(tf1, 'Session', spy)
    path = graphs[PoolingStrategy.REDUCE_MEAN]
    with GraphEncoder(path, threads=3), GraphEncoder(path, threads=1, on_gpu=True, gpu_memory_fraction=0.25):
        on_cpu, on_gpu = configs
    assert on_cpu.intra_op_parallelism_threads == 3
    assert on_cpu.inter_op_parallelism_threads == on_gpu.inter_op_parallelism_threads == 1
    assert on_cpu.device_count == {'GPU': 0}
    assert on_gpu.device_count == {}
    assert on_gpu.gpu_options.allow_growth
    assert on_gpu.gpu_options.per_process_gpu_memory_fraction == 0.25


def run_python(code, **environment):
    path = str(Path(bert_serving.server.__path__[0]).parents[1])
    env = {name: value for name, value in os.environ.items() if not name.startswith('TF_')}
    env.update(environment, PYTHONPATH=path)
    return subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True, timeout=120)


def test_xla_compiles_on_a_cpu_and_answers_the_same(graphs):
    """In a process of its own, as a worker is: TensorFlow reads the flags of XLA once."""
    code = (
        'import numpy as np\n'
        'from bert_serving.server.graph.runtime import GraphEncoder\n'
        'from bert_serving.server.graph.tf import tf1\n'
        'ids = np.ones((3, 5), np.int32)\n'
        'shown = GraphEncoder(%r, threads=1, xla=True)\n'
        'shown.is_shown = True\n'
        'with shown as encoder, GraphEncoder(%r, threads=1) as plain:\n'
        '    answers = [encoder.encode(ids, ids, ids) for _ in range(3)]\n'
        '    np.testing.assert_allclose(answers, 3 * [plain.encode(ids, ids, ids)], rtol=1e-4, atol=2e-5)\n'
        '    metadata, options = tf1.RunMetadata(), tf1.RunOptions(output_partition_graphs=True)\n'
        '    feed = {name + ":0": ids for name in ("input_ids", "input_mask", "input_type_ids")}\n'
        '    encoder._session.run("final_encodes:0", feed, options=options, run_metadata=metadata)\n'
        '    print("_XlaRun" in {node.op for graph in metadata.partition_graphs for node in graph.node})\n'
    )
    path = graphs[PoolingStrategy.REDUCE_MEAN]
    result = run_python(code % (path, path))
    assert (result.returncode, result.stdout) == (0, 'True\n'), result.stderr


def test_tensorflow_is_silent_in_a_worker(graphs):
    code = (
        'import numpy as np\n'
        'from bert_serving.server.graph.runtime import GraphEncoder\n'
        'with GraphEncoder(%r, threads=1) as encoder:\n'
        '    print(encoder.encode(*np.ones((3, 2, 5), np.int32)).shape)\n'
    ) % graphs[PoolingStrategy.REDUCE_MEAN]
    result = run_python(code)
    assert (result.returncode, result.stdout, result.stderr) == (0, '(2, 21)\n', '')


def test_tensorflow_speaks_when_the_parent_wants_it_verbose():
    code = 'from bert_serving.server.graph.tf import tf; print(tf.get_logger().level)'
    result = run_python(code, TF_CPP_MIN_LOG_LEVEL='0', CUDA_VISIBLE_DEVICES='0')
    assert (result.returncode, result.stdout) == (0, '10\n')
    assert result.stderr


def test_tensorflow_is_imported_without_keras_which_costs_time_and_memory():
    code = (
        'import sys\n'
        'from bert_serving.server.graph.tf import tf\n'
        'print([name for name in ("keras", "tf_keras", "sklearn", "matplotlib") if name in sys.modules])\n'
        'print(tf.compat.v1.Session)\n'
    )
    result = run_python(code, CUDA_VISIBLE_DEVICES='0')
    assert (result.returncode, result.stderr) == (0, '')
    assert result.stdout.startswith('[]\n')


def test_keras_can_still_be_imported_by_whoever_wants_it():
    code = (
        'import sys, types\n'
        'sys.modules["tf_keras"] = mine = types.ModuleType("tf_keras")\n'
        'import bert_serving.server.graph.tf\n'
        'assert sys.modules["tf_keras"] is mine\n'
        'import keras\n'
        'print(keras.Sequential.__name__)\n'
    )
    result = run_python(code, CUDA_VISIBLE_DEVICES='0')
    assert (result.returncode, result.stdout) == (0, 'Sequential\n'), result.stderr


def test_what_native_code_said_comes_back_when_the_import_fails():
    code = (
        'import sys, os, types\n'
        'class Broken:\n'
        '    def find_spec(self, name, *rest):\n'
        '        if name == "tensorflow":\n'
        '            os.write(2, b"libcuda is broken\\n")\n'
        '            raise ImportError("no tensorflow today")\n'
        'sys.meta_path.insert(0, Broken())\n'
        'import bert_serving.server.graph.tf\n'
    )
    result = run_python(code)
    assert result.returncode == 1
    assert 'libcuda is broken' in result.stderr
    assert 'no tensorflow today' in result.stderr


def test_package_itself_does_not_import_tensorflow():
    code = (
        'import sys\n'
        'from bert_serving.server.graph import PoolingStrategy\n'
        'from bert_serving.server.model.folder import find_model\n'
        'print(PoolingStrategy.REDUCE_MEAN, "tensorflow" in sys.modules)\n'
    )
    assert run_python(code).stdout == 'REDUCE_MEAN False\n'
