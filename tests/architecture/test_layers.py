"""A folder of the server imports only from the layers below it (docs/architecture.md); heavy parts stay put.

Read from the source with `ast`, imports inside functions included.
"""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from architecture.layers import ALSO_PURE, LAYERS, MODULES, PURE, PURE_FOLDERS, folder_of, path_of

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = 'bert_serving.server'
FOLDERS = [folder for layer in LAYERS for folder in layer]


@cache
def imports_of(module: str) -> set[str]:
    """Every module that `module` imports, by full name; of ours, the module and not the name in it."""
    package = f'{PACKAGE}.{module}'.strip('.').split('.')
    if path_of(module).name != '__init__.py':
        package.pop()
    found = set()
    for node in ast.walk(ast.parse(path_of(module).read_text('utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = '.'.join([*base, *(node.module or '').split('.')]).strip('.')
            names = {source + '.' + alias.name for alias in node.names}
            found |= {name for name in names if name.removeprefix(PACKAGE + '.') in MODULES} or {source}
    return found


def ours(names: set[str]) -> set[str]:
    return {name.removeprefix(PACKAGE).strip('.') for name in names if (name + '.').startswith(PACKAGE + '.')}


def test_every_folder_has_its_place_in_a_layer() -> None:
    assert {folder_of(module) for module in MODULES} - {''} == set(FOLDERS)
    assert set(PURE_FOLDERS) <= set(FOLDERS)
    assert set(ALSO_PURE) <= set(MODULES)


@pytest.mark.parametrize('folder', FOLDERS)
def test_a_folder_imports_only_from_the_layers_below_it(folder: str) -> None:
    level = next(level for level, layer in enumerate(LAYERS) if folder in layer)
    allowed = {folder, *(below for layer in LAYERS[:level] for below in layer)}
    for module in MODULES:
        if folder_of(module) == folder:
            assert {folder_of(other) for other in ours(imports_of(module))} <= allowed, module


def test_no_module_imports_itself_through_others() -> None:
    TopologicalSorter({module: ours(imports_of(module)) - {module} for module in MODULES}).prepare()


@pytest.mark.parametrize('folder', [folder for folder in FOLDERS if path_of(folder).name == '__init__.py'])
def test_a_folder_says_its_rule(folder: str) -> None:
    assert ast.get_docstring(ast.parse(path_of(folder).read_text('utf-8')))


@pytest.mark.parametrize('module', PURE)
def test_what_decides_owns_no_socket_process_thread_or_clock(module: str) -> None:
    forbidden = {
        'zmq',
        'socket',
        'subprocess',
        'threading',
        'multiprocessing',
        'time',
        'random',
        'tensorflow',
        'logging',
    }
    assert not {name.split('.')[0] for name in imports_of(module)} & forbidden


def test_tensorflow_is_imported_in_one_place() -> None:
    importers = {module for module in MODULES if any(name.split('.')[0] == 'tensorflow' for name in imports_of(module))}
    assert importers == {'graph.tf'}


def test_onnx_runtime_is_imported_in_one_folder() -> None:
    engine = {'onnx', 'onnxruntime'}
    importers = {module for module in MODULES if {name.split('.')[0] for name in imports_of(module)} & engine}
    assert {importer.rpartition('.')[0] for importer in importers} == {'graph.onnx'}


def test_gputil_is_imported_in_one_place() -> None:
    assert {module for module in MODULES if 'GPUtil' in imports_of(module)} == {'parent.devices'}


def test_ray_is_imported_in_two_places_that_only_a_server_with_a_cluster_loads() -> None:
    importers = {module for module in MODULES if any(name.split('.')[0] == 'ray' for name in imports_of(module))}
    assert importers == {'cluster.ray_cluster', 'cluster.ray_host'}
    assert [m for m in MODULES if ours(imports_of(m)) & importers] == ['cluster.ray_cluster', 'parent.remote_workers']


def test_the_server_imports_the_client_in_three_places_and_the_client_nothing_of_the_server() -> None:
    importers = {m for m in MODULES if any(name.startswith('bert_serving.client') for name in imports_of(m))}
    assert {folder_of(importer) for importer in importers} <= {'benchmark', 'files', 'http'}
    client = (ROOT / 'client' / 'bert_serving' / 'client' / '__init__.py').read_text('utf-8')
    assert 'bert_serving.server' not in {
        name for node in ast.walk(ast.parse(client)) if isinstance(node, ast.ImportFrom) for name in [node.module or '']
    }


def test_both_distributions_ship_the_same_namespace_file() -> None:
    files = [ROOT / side / 'bert_serving' / '__init__.py' for side in ('server', 'client')]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_no_two_files_of_tests_have_one_name() -> None:
    """The folders of tests are no packages, so pytest refuses to collect the second."""
    counts = Counter(path.name for path in (ROOT / 'tests').rglob('test_*.py'))
    assert [name for name, count in counts.items() if count > 1] == []
