"""The folders of the server in layers, from the bottom up, and which of its modules are pure.

`docs/architecture.md` says what each folder is for. Run, this prints the files of the pure modules, in the form of
`coverage report --include`.
"""

from __future__ import annotations

from pathlib import Path

SERVER = Path(__file__).resolve().parents[2] / 'server' / 'bert_serving' / 'server'

LAYERS = [
    ['addresses', 'console', 'errors', 'release', 'tcp'],
    ['descriptors', 'socket_owner'],
    ['model', 'protocol', 'stats', 'transport'],
    ['options', 'process', 'security', 'telemetry'],
    ['guard'],
    ['links'],
    ['graph', 'ventilator', 'sink', 'http'],
    ['cluster'],
    ['worker', 'parent'],
    ['benchmark', 'files'],
    ['helper', 'keys'],
    ['cli'],
]
"""A folder, or a module beside the folders, imports only from itself and from the lines above its own."""

PURE_FOLDERS = ['protocol', 'model', 'options', 'ventilator', 'worker', 'sink']
"""All modules of these folders are pure, except the one that is named like its folder: it owns the sockets."""

ALSO_PURE = """
    errors release stats console.formatting console.suggestions console.terminal process.reports process.restarts
    process.states graph.export_key parent.counters parent.devices parent.endpoints parent.placement benchmark.plan benchmark.results http.errors
    benchmark.peers.catalog benchmark.peers.tables benchmark.peers.units
    cluster.interface http.health http.openapi http.requests http.responses http.routes http.fields http.model_card http.ranking
    http.openai_bodies http.tei_bodies http.cohere_bodies http.text_schemas http.legacy_schemas http.openai_schemas
    http.tei_schemas http.cohere_schemas http.lanes http.sharing http.upstreams http.wrong_keys http.status_history security.principals security.certificates
    security.access security.actions security.members security.shares files.rows files.manifest files.asking
    files.estimate
""".split()

MODULES = sorted(
    '.'.join(path.relative_to(SERVER).with_suffix('').parts).removesuffix('__init__').strip('.')
    for path in SERVER.rglob('*.py')
)
"""All modules of the server by their names inside it; the package itself is the empty name."""


def folder_of(module: str) -> str:
    """The folder that a module is in; of a module beside the folders, its own name."""
    return module.split('.')[0]


def is_pure(module: str) -> bool:
    """Whether a module may own no socket, process, thread or clock."""
    folder, _, name = module.partition('.')
    return module in ALSO_PURE or (folder in PURE_FOLDERS and name != folder)


PURE = [module for module in MODULES if is_pure(module)]


def path_of(module: str) -> Path:
    """The file of a module."""
    path = SERVER.joinpath(*module.split('.')) if module else SERVER
    return path / '__init__.py' if path.is_dir() else path.with_suffix('.py')


if __name__ == '__main__':
    root = SERVER.parents[2]
    print(','.join(str(path_of(module).relative_to(root)) for module in PURE))
