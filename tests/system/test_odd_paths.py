"""A model in a folder whose path is not UTF-8, as on disks written in Latin-1: every kind of model is served."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bert_serving.client import BertClient
from bert_serving.server.model.folder import embedded_model_dir
from support.proxies import curl
from support.serving import SMALL_MODEL, ServerProcess

PUBLISHED = Path(__file__).parents[1] / 'golden' / 'data' / 'published' / 'models'
NAME = os.fsdecode(b'mod\xe8le')


def without_tokenizer(folder: Path) -> None:
    """Leave the vocabulary only."""
    (folder / 'tokenizer.json').unlink(missing_ok=True)


@pytest.mark.parametrize(
    ('source', 'change'),
    [
        (SMALL_MODEL, None),
        (str(PUBLISHED / 'bert-cased-dense'), None),
        (str(PUBLISHED / 'sharded'), None),
        (embedded_model_dir(), without_tokenizer),
    ],
    ids=['google', 'tokenizer.json', 'shards', 'vocab.txt'],
)
def test_a_path_that_is_not_utf_8(tmp_path: Path, source: str, change: Callable[[Path], None] | None) -> None:
    folder = Path(shutil.copytree(source, tmp_path / NAME))
    if change is not None:
        change(folder)
    with ServerProcess('-model_dir', str(folder), '-http_port', '0', '-http_host', '127.0.0.1') as server:
        server.wait_until_ready()
        with BertClient(port=server.port, port_out=server.port_out, timeout=60_000) as client:
            vectors = client.encode(['one text', 'another one'])
            assert np.isfinite(vectors).all()
            assert client.server_config['model']['name'] == 'mod\N{REPLACEMENT CHARACTER}le'
        status, answer = curl('http://127.0.0.1:%d/v1/models' % server.http_port)
        assert (status, answer['data'][0]['id']) == (200, 'mod\N{REPLACEMENT CHARACTER}le')
        assert server.stop() == 0
        assert server.process.stdout is not None
        assert 'mod\\udce8le' in server.process.stdout.read(), 'the table of options is complete'


def test_what_is_wrong_in_such_a_folder_is_said(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(SMALL_MODEL, tmp_path / NAME))
    (folder / 'vocab.txt').unlink()
    with ServerProcess('-model_dir', str(folder)) as server:
        assert server.wait() == 2
        assert 'mod\\udce8le/vocab.txt' in server.log.splitlines()[-1]
