"""The encoder that each worker runs: loading, running, XLA's buckets, silence."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reference
from reference import CONFIG

import bert_serving.server
from bert_serving.server.errors import StartError
from bert_serving.server.graph.export import GraphSpec, export
from bert_serving.server.graph.runtime import GraphEncoder
from bert_serving.server.graph.tf import tf1
from bert_serving.server.pooling import PoolingStrategy

CLOSE = {'rtol': 1e-4, 'atol': 2e-5}
# An epsilon that would be missed: the encoder's optimiser must leave it as it is.
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
            assert encoder.encode(ids, ids * 0, ids).shape == (rows, tokens, CONFIG.hidden_size)
    encoder.close()
    assert {rows for rows, _ in seen} == {1, 2, 4, 8}
    assert {tokens for _, tokens in seen} == {1, 2, 4, 8, 11}


def test_xla_without_positions_has_no_longest_bucket(variables, tmp_path):
    model = reference.google_model(tmp_path, variables)
    path = export(GraphSpec(model, (0,), position_embeddings=False), str(tmp_path / 'graph')).path
    inputs = reference.random_inputs(3, 25)
    with GraphEncoder(path, threads=1, xla=True) as bucketed, GraphEncoder(path, threads=1) as plain:
        np.testing.assert_allclose(bucketed.encode(*inputs), plain.encode(*inputs), **CLOSE)


def test_optimiser_fuses_the_dense_layers(graphs):
    """Which is why the graph is flat between the layers, and its ops in the order that they are in."""
    with GraphEncoder(graphs[PoolingStrategy.REDUCE_MEAN], threads=1) as encoder:
        metadata = tf1.RunMetadata()
        feed = dict(zip(('input_ids:0', 'input_mask:0', 'input_type_ids:0'), reference.random_inputs(), strict=True))
        options = tf1.RunOptions(output_partition_graphs=True)
        encoder._session.run('final_encodes:0', feed, options=options, run_metadata=metadata)
    optimised = [node for graph in metadata.partition_graphs for node in graph.node]
    if not [node for node in optimised if node.op.startswith('_Mkl')]:
        pytest.skip('this processor runs without oneDNN, which has the fused kernels')
    fused = [tuple(node.attr['fused_ops'].list.s) for node in optimised if 'FusedMatMul' in node.op]
    assert sorted(fused) == sorted(
        4 * [(b'BiasAdd',), (b'BiasAdd', b'Add'), (b'BiasAdd', b'GeluExact'), (b'BiasAdd', b'Add')]
    )


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
    with pytest.raises(StartError, match='can not be read: No such file'):
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
        'with GraphEncoder(%r, threads=1, xla=True) as encoder, GraphEncoder(%r, threads=1) as plain:\n'
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
    result = run_python(code, TF_CPP_MIN_LOG_LEVEL='0')
    assert (result.returncode, result.stdout) == (0, '10\n')
    assert result.stderr


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
        'from bert_serving.server.model_dir import find_model\n'
        'print(PoolingStrategy.REDUCE_MEAN, "tensorflow" in sys.modules)\n'
    )
    assert run_python(code).stdout == 'REDUCE_MEAN False\n'
