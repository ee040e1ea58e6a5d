"""`-int8` of every architecture, on models that are wide enough for the rounding of bytes to average out.

The published folders of the tests have 32 units and weights that amplify every difference, so that their cosines say
nothing of a real model: there, attention turns to other tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_serving.server.graph import export as exporting
from bert_serving.server.graph.export import GraphSpec, export
from bert_serving.server.model.folder import find_model
from bert_serving.server.model.pooling import PoolingStrategy
from bert_serving.server.options.engines import ONNX_RUNTIME
from graph.reference import PUBLISHED
from graph.test_matrix import FOLDERS
from support.engines import needs_onnx, open_graph

pytestmark = needs_onnx

LEAST_COSINE = 0.985
"""As of every golden text."""

HIDDEN, INTERMEDIATE, ROWS, TOKENS = 192, 384, 6, 14


class RandomWeights:
    """Weights that keep the size of what they multiply, as those of a trained model do."""

    def __init__(self, _model: Any, shapes: dict[str, tuple[int, ...]]) -> None:
        self._shapes = shapes
        self._random = np.random.default_rng(0)

    def read(self, name: str) -> np.ndarray:
        values = self._random.standard_normal(self._shapes[name]).astype(np.float32)
        match name.rpartition('/')[2]:
            case 'kernel':
                return values / np.float32(np.sqrt(self._shapes[name][0]))
            case 'gamma':
                return 1 + values / 5
            case 'beta' | 'bias':
                return values / 10
            case _:
                return values

    def read_rows(self, name: str) -> Iterator[np.ndarray]:
        yield self.read(name)


@pytest.fixture(autouse=True)
def _random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, 'Weights', RandomWeights)


def answer(kind: str, strategy: PoolingStrategy, path: Path, *, int8: bool) -> np.ndarray:
    """The answers [rows, tokens or none, HIDDEN] to the same rows of different lengths."""
    model = find_model(str(PUBLISHED / FOLDERS[kind]))
    config = replace(model.config, head=None, hidden_size=HIDDEN, intermediate_size=INTERMEDIATE)
    model, layers = replace(model, config=config), (config.num_hidden_layers - 1,)
    spec = GraphSpec(model, layers, strategy=strategy, on_cpu=True, engine=ONNX_RUNTIME, int8=int8)
    random = np.random.default_rng(1)
    mask = (np.arange(TOKENS) < random.integers(4, TOKENS, (ROWS, 1))).astype(np.int32)
    ids = random.integers(5, config.vocab_size - 5, (ROWS, TOKENS)).astype(np.int32) * mask
    with open_graph(spec, export(spec, str(path / str(int8))).path, threads=1) as encoder:
        return encoder.encode(ids, mask, np.zeros_like(ids)).reshape(-1, HIDDEN)


@pytest.mark.slow
@pytest.mark.parametrize('strategy', [PoolingStrategy.NONE, PoolingStrategy.FIRST_TOKEN])
@pytest.mark.parametrize('kind', FOLDERS)
def test_int8_has_the_directions_of_float32(kind: str, strategy: PoolingStrategy, tmp_path: Path) -> None:
    expected, rounded = (answer(kind, strategy, tmp_path, int8=int8) for int8 in (False, True))
    assert not np.array_equal(rounded, expected), 'it multiplies bytes'
    counted = expected.any(axis=1)
    expected, rounded = expected[counted], rounded[counted]
    cosines = (expected * rounded).sum(1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(rounded, axis=1)
    assert cosines.min() >= LEAST_COSINE, cosines
