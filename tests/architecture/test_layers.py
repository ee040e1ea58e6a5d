"""A module of the server imports only what stands below it (docs/architecture.md), and heavy parts stay where they are.

Read from the source with `ast`, imports inside functions included.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from layers import LOOPS, ORDER, PURE

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / 'server' / 'bert_serving' / 'server'
PACKAGE = 'bert_serving.server'


def path_of(module: str) -> Path:
    path = SERVER.joinpath(*module.split('.')) if module else SERVER
    return path / '__init__.py' if path.is_dir() else path.with_suffix('.py')


def imports_of(module: str) -> set[str]:
    """Every module that `module` imports, by full name; of ours, the module and not the name in it."""
    package = (
        [PACKAGE, *module.split('.')] if path_of(module).name == '__init__.py' else [PACKAGE, *module.split('.')[:-1]]
    )
    parents = [part for part in '.'.join(package).split('.') if part]
    found = set()
    for node in ast.walk(ast.parse(path_of(module).read_text('utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) - node.level + 1] if node.level else []
            source = '.'.join([*base, *(node.module or '').split('.')]).strip('.')
            names = {source + '.' + alias.name for alias in node.names}
            modules = {name for name in names if path_of_name(name)}
            found |= modules or {source}
    return found


def path_of_name(name: str) -> bool:
    return name.startswith(PACKAGE + '.') and path_of(name.removeprefix(PACKAGE + '.')).exists()


def ours(names: set[str]) -> set[str]:
    return {name.removeprefix(PACKAGE).strip('.') for name in names if (name + '.').startswith(PACKAGE + '.')}


def test_every_module_has_its_place_in_a_layer() -> None:
    files = {path.relative_to(SERVER).with_suffix('') for path in SERVER.rglob('*.py')}
    modules = {'.'.join(path.parts).removesuffix('__init__').strip('.') for path in files}
    assert modules == set(ORDER)


@pytest.mark.parametrize('module', ORDER)
def test_a_module_imports_only_what_stands_below_it(module: str) -> None:
    below = set(ORDER[: ORDER.index(module)])
    assert ours(imports_of(module)) - below <= set(), 'of %s' % module


@pytest.mark.parametrize('module', LOOPS)
def test_the_loops_never_import_each_other(module: str) -> None:
    assert not ours(imports_of(module)) & set(LOOPS)


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
    importers = {module for module in ORDER if any(name.split('.')[0] == 'tensorflow' for name in imports_of(module))}
    assert importers == {'graph.tf'}


def test_gputil_is_imported_in_one_place() -> None:
    assert {module for module in ORDER if 'GPUtil' in imports_of(module)} == {'devices'}


def test_the_server_imports_the_client_in_two_places_and_the_client_nothing_of_the_server() -> None:
    importers = {m for m in ORDER if any(name.startswith('bert_serving.client') for name in imports_of(m))}
    assert {importer.split('.')[0] for importer in importers} <= {'benchmark', 'http'}
    client = (ROOT / 'client' / 'bert_serving' / 'client' / '__init__.py').read_text('utf-8')
    assert 'bert_serving.server' not in {
        name for node in ast.walk(ast.parse(client)) if isinstance(node, ast.ImportFrom) for name in [node.module or '']
    }


def test_both_distributions_ship_the_same_namespace_file() -> None:
    files = [ROOT / side / 'bert_serving' / '__init__.py' for side in ('server', 'client')]
    assert files[0].read_bytes() == files[1].read_bytes()
