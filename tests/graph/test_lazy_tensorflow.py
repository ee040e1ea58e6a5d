"""A process without a GPU imports as much of TensorFlow as it uses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bert_serving.server
from bert_serving.server.graph.export import GraphSpec, export
from bert_serving.server.graph.runtime import GraphEncoder
from bert_serving.server.model.folder import find_model

SERVER = str(Path(bert_serving.server.__path__[0]).parents[1])
MODEL = str(Path(__file__).parents[1] / 'golden' / 'data' / 'models' / 'uncased_L-4_H-32_A-4')


def run_without_gpu(code: str, *arguments: str, path: str = SERVER, **environment: str) -> str:
    """Run `code` as a process that must not see a GPU; return what it prints."""
    env = {name: value for name, value in os.environ.items() if not name.startswith('TF_')}
    env.update(environment, CUDA_VISIBLE_DEVICES='-1', PYTHONPATH=path)
    command = [sys.executable, '-c', code, *arguments]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, ''), result.stderr
    return result.stdout


def test_a_worker_answers_the_same_without_most_of_tensorflow(tmp_path: Path) -> None:
    path = str(tmp_path / 'graph.pb')
    export(GraphSpec(find_model(MODEL), (2,), on_cpu=True), path)
    code = (
        'import sys, numpy as np\n'
        'from bert_serving.server.graph.runtime import GraphEncoder\n'
        'with GraphEncoder(sys.argv[1], threads=1) as encoder:\n'
        '    np.save(sys.argv[2], encoder.encode(*np.ones((3, 2, 5), np.int32)))\n'
        'print([name for name in ("tensorflow._api.v2", "keras", "tensorflow.python.data") if name in sys.modules])\n'
    )
    assert run_without_gpu(code, path, str(tmp_path / 'answer.npy')) == '[]\n'
    with GraphEncoder(path, threads=1) as encoder:
        assert np.array_equal(np.load(tmp_path / 'answer.npy'), encoder.encode(*np.ones((3, 2, 5), np.int32)))


def test_an_exporter_makes_the_same_graph_without_most_of_tensorflow(tmp_path: Path) -> None:
    code = (
        'import sys\n'
        'from bert_serving.server.graph.export import GraphSpec, export\n'
        'from bert_serving.server.model.folder import find_model\n'
        'print(export(GraphSpec(find_model(sys.argv[1]), (2, 3), on_cpu=True), sys.argv[2]).sha256)\n'
        'print("tensorflow._api.v2" in sys.modules)\n'
    )
    whole = export(GraphSpec(find_model(MODEL), (2, 3), on_cpu=True), str(tmp_path / 'whole.pb'))
    assert run_without_gpu(code, MODEL, str(tmp_path / 'lazy.pb')).split() == [whole.sha256, 'False']


def test_whoever_imports_tensorflow_in_such_a_process_finds_all_its_names() -> None:
    code = (
        'from bert_serving.server.graph.tf import tf, tf1\n'
        'import tensorflow, tensorflow.python.framework.ops as ops\n'
        'assert tensorflow is tf and tf.Graph is tf1.Graph is ops.Graph\n'
        'assert tf.math.erf.__module__.startswith("tensorflow.python.") and tf.__version__ >= "2.21"\n'
        'print(hasattr(tf, "nonsense"), hasattr(tf.nn, "nonsense"), tf.executing_eagerly())\n'
    )
    assert run_without_gpu(code) == 'False False True\n'


LOOK = (
    'import sys\n'
    'from bert_serving.server.graph.lazy_tensorflow import import_lazily\n'
    'print(import_lazily(), [name for name in sys.modules if name.startswith("tensorflow")])\n'
)
LIST = ''.join('from tensorflow.python import %s # line: 1\n' % name for name in ('Graph', 'import_graph_def'))
LIST += ''.join('from tensorflow._api.v2 import %s\n' % name for name in ('compat', 'raw_ops'))


@pytest.mark.parametrize(
    'files',
    [
        {'__init__.py': 'Graph = object\n'},
        {'__init__.py': LIST},
        {'__init__.py': LIST, 'python/__init__.py': '', 'python/pywrap_tensorflow.py': 'raise ImportError\n'},
        {'__init__.py': LIST, 'core/kernels/x.py': ''},
    ],
    ids=['other lists', 'other modules', 'a failing module', 'kernels to load'],
)
def test_a_tensorflow_that_is_made_otherwise_is_imported_whole(files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        file = tmp_path / 'tensorflow' / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert run_without_gpu(LOOK, path='%s:%s' % (tmp_path, SERVER)) == 'None []\n'


@pytest.mark.parametrize('variable', ['TF_PLUGGABLE_DEVICE_LIBRARY_PATH', 'TF_USE_MODULAR_FILESYSTEM'])
def test_plug_ins_need_the_whole_import(variable: str) -> None:
    assert run_without_gpu(LOOK, **{variable: '1'}) == 'None []\n'


def test_a_tensorflow_that_is_there_is_not_replaced() -> None:
    code = 'import sys, types\nsys.modules["tensorflow"] = mine = types.ModuleType("tensorflow")\n' + LOOK
    answer = run_without_gpu(code + 'assert sys.modules["tensorflow"] is mine\n')
    assert answer == "None ['tensorflow']\n"
