"""The names that programs written for 1.10 import are there, and importing them loads no TensorFlow."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest

import bert_serving.server
from bert_serving.server import BertServer, graph, helper
from bert_serving.server.model.pooling import PoolingStrategy
from bert_serving.server.release import RELEASE

PYPROJECT = Path(__file__).resolve().parents[2] / 'server' / 'pyproject.toml'
SCRIPTS: dict[str, str] = tomllib.loads(PYPROJECT.read_text('utf-8'))['project']['scripts']


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a new interpreter has loaded after `statement`."""
    program = statement + '; import sys; print(*{name.partition(".")[0] for name in sys.modules})'
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_the_package_has_its_version() -> None:
    assert bert_serving.server.__version__ == RELEASE
    assert re.fullmatch(r'\d+\.\d+\.\d+\S*', RELEASE)


def test_bert_server_is_a_thread_that_is_a_context_manager() -> None:
    assert issubclass(BertServer, threading.Thread)
    for name in ('start', 'close', 'shutdown', '__enter__', '__exit__'):
        assert callable(getattr(BertServer, name)), name
    assert list(inspect.signature(BertServer).parameters) == ['args']


def test_a_name_that_the_package_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match='BertClient'):
        bert_serving.server.BertClient  # noqa: B018


def test_the_parsers_of_helper_parse() -> None:
    assert helper.get_args_parser().parse_args(['-num_worker', '2']).num_worker == 2
    assert helper.get_shutdown_parser().parse_args(['-port', '5555']).port == 5555


def test_graph_has_the_pooling_strategies_of_1_10() -> None:
    assert graph.PoolingStrategy is PoolingStrategy
    of_1_10 = {
        'NONE': 0,
        'REDUCE_MAX': 1,
        'REDUCE_MEAN': 2,
        'REDUCE_MEAN_MAX': 3,
        'FIRST_TOKEN': 4,
        'LAST_TOKEN': 5,
        'CLS_POOLED': 6,
        'CLASSIFICATION': 7,
        'REGRESSION': 8,
        'CLS_TOKEN': 4,
        'SEP_TOKEN': 5,
    }
    assert {name: PoolingStrategy[name].value for name in of_1_10} == of_1_10


def test_the_console_scripts_are_those_of_1_10_and_ours() -> None:
    assert set(SCRIPTS) == {
        'bert-serving-start',
        'bert-serving-terminate',
        'bert-serving-benchmark',
        'bert-serving-encode',
        'bert-serving-http',
        'bert-serving-keys',
    }


@pytest.mark.parametrize('script', SCRIPTS)
def test_a_console_script_is_a_function_that_is_called_without_arguments(script: str) -> None:
    module, _, name = SCRIPTS[script].partition(':')
    inspect.signature(getattr(importlib.import_module(module), name)).bind()


@pytest.mark.slow
@pytest.mark.parametrize(
    'statement',
    [
        'from bert_serving.server import BertServer, __version__',
        'from bert_serving.server.helper import get_args_parser, get_shutdown_parser',
        'from bert_serving.server.graph import PoolingStrategy',
        'from bert_serving.server.cli import benchmark_main, http_main, main, terminate_main',
    ],
)
def test_importing_a_public_name_loads_no_tensorflow(statement: str) -> None:
    assert not loaded_by(statement) & {'tensorflow', 'keras'}


@pytest.mark.slow
def test_the_package_by_itself_loads_nothing_of_weight() -> None:
    """Every child imports it."""
    assert not loaded_by('import bert_serving.server') & {'tensorflow', 'numpy', 'zmq', 'argparse', 'flask', 'orjson'}
