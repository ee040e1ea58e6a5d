"""Weights that are not those of the model that the folder describes: the exporter says so in one line."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bert_serving.server.errors import ServingError
from bert_serving.server.graph import exporter
from bert_serving.server.options.settings import Settings
from bert_serving.server.parent.plan import make_plan
from support.serving import MODELS

PUBLISHED = Path(__file__).parents[1] / 'golden' / 'data' / 'published' / 'models'
GOOGLE = MODELS / 'uncased_L-4_H-32_A-4'
BERT = PUBLISHED / 'bert-mean-norm'
DATA = 'bert_model.ckpt.data-00000-of-00001'
WORDS = 'embeddings.word_embeddings.weight'

WITHIN_S = 60

Change = Callable[[Path], object]
Tensors = dict[str, np.ndarray]


def config(**values: object) -> Change:
    def change(folder: Path) -> None:
        path = folder / 'config.json'
        path.write_text(json.dumps({**json.loads(path.read_text('utf-8')), **values}), 'utf-8')

    return change


def tensors(change_them: Callable[[Tensors], object]) -> Change:
    def change(folder: Path) -> None:
        path = folder / 'model.safetensors'
        values = load_file(path)
        change_them(values)
        save_file(values, path)

    return change


CASES: Mapping[str, tuple[Path, Change, str, str]] = {
    'more layers than weights': (BERT, config(num_hidden_layers=1000), 'model.safetensors', 'and'),
    'another width': (BERT, config(hidden_size=32), '', 'hidden_size'),
    'another feed-forward': (BERT, config(intermediate_size=41), 'model.safetensors', '[40, 24] instead of [41, 24]'),
    'more words than rows': (BERT, config(vocab_size=800), 'model.safetensors', '[700, 24] instead of [800, 24]'),
    'a billion words': (BERT, config(vocab_size=10**9), 'model.safetensors', ''),
    'no words': (BERT, tensors(lambda all_of: all_of.pop(WORDS)), 'model.safetensors', WORDS),
    'whole numbers': (
        BERT,
        tensors(lambda all_of: all_of.update({WORDS: all_of[WORDS].astype(np.int8)})),
        'model.safetensors',
        'int8',
    ),
    'not numbers': (BERT, tensors(lambda all_of: all_of[WORDS].fill(np.nan)), 'model.safetensors', 'not finite'),
    'infinities': (BERT, tensors(lambda all_of: all_of[WORDS].fill(np.inf)), 'model.safetensors', 'not finite'),
    'half a checkpoint': (GOOGLE, lambda folder: os.truncate(folder / DATA, 5000), 'bert_model.ckpt', 'cannot be read'),
    'an index of nonsense': (
        GOOGLE,
        lambda folder: (folder / 'bert_model.ckpt.index').write_bytes(b'\x80nonsense' * 99),
        'bert_model.ckpt',
        'cannot be read',
    ),
    'the data of nonsense': (
        GOOGLE,
        lambda folder: (folder / DATA).write_bytes(b'\xff' * 99),
        'bert_model.ckpt',
        'read',
    ),
}


def start(folder: Path, graph: Path) -> None:
    """What a server does before it starts a worker."""
    plan = make_plan(Settings(model_dir=str(folder), cpu=True))
    config = {'settings': plan.settings.to_dict(), 'model': plan.model.to_json()}
    exporter.main({**config, 'path': str(graph), 'on_gpu': False}, Mock())


@pytest.mark.parametrize('case', CASES)
def test_one_line_and_exit_code_2(tmp_path: Path, case: str) -> None:
    base, change, file, fault = CASES[case]
    folder = Path(shutil.copytree(base, tmp_path / 'model'))
    change(folder)
    started = time.monotonic()
    with pytest.raises(ServingError) as caught:
        start(folder, tmp_path / 'graph')
    message = str(caught.value)
    assert time.monotonic() - started < WITHIN_S
    assert caught.value.exit_code == 2
    assert file in message
    assert fault in message
    assert '\n' not in message
    assert len(message) < 4000
    assert not (tmp_path / 'graph').exists()
