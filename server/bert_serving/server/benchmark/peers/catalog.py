"""The peers that `-peers` can measure, the packages that each needs, and the interpreter that has them.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Versions = Mapping[str, str]
"""The modules that an interpreter can import, and the versions of their distributions, or '' if unknown."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A library, or a server, with one of its engines and types.

    `modules` must be importable, and `requirement` has the arguments of `pip install` that provide them. `kind` is the
    type of its products: float32 or int8.
    """

    name: str
    title: str
    engine: str
    modules: Sequence[str]
    requirement: str
    kind: str = 'float32'
    is_server: bool = False


_ST = 'sentence_transformers'
_ST_ONNX = (_ST, 'onnxruntime', 'optimum.onnxruntime')
_ST_OPENVINO = (_ST, 'openvino', 'optimum.intel')

PEERS = (
    Peer('torch', 'sentence-transformers, torch', 'torch', (_ST,), 'sentence-transformers'),
    Peer('torch-int8', 'sentence-transformers, torch, int8', 'torch', (_ST,), 'sentence-transformers', 'int8'),
    Peer('onnx', 'sentence-transformers, onnx', 'onnxruntime', _ST_ONNX, 'sentence-transformers[onnx]'),
    Peer(
        'onnx-int8', 'sentence-transformers, onnx, int8', 'onnxruntime', _ST_ONNX, 'sentence-transformers[onnx]', 'int8'
    ),
    Peer('openvino', 'sentence-transformers, openvino', 'openvino', _ST_OPENVINO, 'sentence-transformers[openvino]'),
    Peer(
        'openvino-int8',
        'sentence-transformers, openvino, int8',
        'openvino',
        (*_ST_OPENVINO, 'nncf', 'datasets'),
        'sentence-transformers[openvino] datasets',
        'int8',
    ),
    Peer('fastembed', 'fastembed', 'onnxruntime', ('fastembed',), 'fastembed'),
    Peer(
        'infinity',
        'infinity, torch, by HTTP',
        'torch',
        ('infinity_emb',),
        'infinity-emb[server,torch] optimum<2 transformers<4.49 click<8.2',
        is_server=True,
    ),
)
"""In the order of the report. The export of `onnx` is also the model of `fastembed`. Infinity needs old packages."""

NAMES = tuple(peer.name for peer in PEERS)

MODULES = tuple(dict.fromkeys([*(module for peer in PEERS for module in peer.modules), 'torch', 'transformers']))
"""The modules to look for in an interpreter: those that peers need, and others whose versions the report has."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A peer, the interpreter that runs it, and the versions there."""

    peer: Peer
    python: str
    versions: Versions

    def describe_versions(self) -> str:
        """The peer's packages with their versions."""
        names = [*self.peer.modules, *(['torch'] if self.peer.engine == 'torch' else [])]
        known = {name.partition('.')[0] if name != 'optimum.intel' else name: self.versions.get(name) for name in names}
        return ', '.join('%s %s' % (name.replace('_', '-'), version) for name, version in known.items() if version)


def choose(names: Sequence[str], found: Mapping[str, Versions]) -> tuple[list[Choice], list[str]]:
    """Choose for each peer the first interpreter of `found` that has its modules.

    Returns:
        the choices, and a sentence for each peer that no interpreter has.
    """
    choices, missing = [], []
    for peer in PEERS:
        if peer.name not in names:
            continue
        for python, versions in found.items():
            if all(module in versions for module in peer.modules):
                choices.append(Choice(peer, python, versions))
                break
        else:
            requirement = "'%s'" % "' '".join(peer.requirement.split())
            missing.append('%s: not installed: pip install %s' % (peer.title, requirement))
    return choices, missing


def turns(participants: Sequence[int], number: int) -> list[int]:
    """The order of round `number`: each round begins with another participant, so that none is always the first."""
    first = number % len(participants) if participants else 0
    return [*participants[first:], *participants[:first]]
