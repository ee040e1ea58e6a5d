"""Texts of thousands of tokens, by models of 8,192 positions: answers, memory, and short texts next to them."""

from __future__ import annotations

import json
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.processes import WORKER, children_of
from support.serving import DATA, ServerProcess, connect, serve
from support.waiting import wait_until

WORDS = (
    'the of and to in is you that it he was for on are as with his they at be this have from or one had by word'.split()
)

ANSWERS = json.loads((DATA / 'published' / 'long.json').read_text())
"""By model and number of words: the tokens of the text, and the vector that sentence-transformers answers."""


def text_of(words: int) -> str:
    chosen = [WORDS[7 * index**2 % len(WORDS)] for index in range(words)]
    return ' '.join('%s%d' % (word, index % 10) if index % 5 == 0 else word for index, word in enumerate(chosen))


def stretched(name: str, folder: Path) -> str:
    """A copy of a published model for rows of 8,192 tokens; its rotary positions have no table that ends before."""
    model = Path(shutil.copytree(DATA / 'published' / 'models' / name, folder / name))
    for file, keys in (('config.json', ('max_position_embeddings', 'n_positions')), ('sentence_bert_config.json', ())):
        path = model / file
        values = json.loads(path.read_text())
        values.update({key: 8192 for key in keys if key in values})
        if file == 'sentence_bert_config.json':
            values['max_seq_length'] = 8192
        path.unlink()
        path.write_text(json.dumps(values))
    return str(model)


@pytest.mark.parametrize('name', sorted(ANSWERS))
def test_a_text_of_8000_tokens_is_answered_as_published(name: str, tmp_path: Path) -> None:
    """Alone and in one request with short texts, which have the answers that they have alone."""
    with serve('-model_dir', stretched(name, tmp_path)) as server, connect(server, check_length=False) as client:
        short = client.encode(['the word', 'to be of'])
        for words, expected in ANSWERS[name].items():
            text = text_of(int(words))
            assert client.tokenize([text]).token_counts == [expected['tokens']]
            np.testing.assert_allclose(client.encode([text])[0], expected['vector'], 1e-4, 2e-5)
            together = client.encode(['the word', text, 'to be of'])
            np.testing.assert_allclose(together[1], expected['vector'], 1e-4, 2e-5)
            np.testing.assert_allclose(together[[0, 2]], short, 1e-4, 2e-5)


def test_memory_of_long_texts_is_bounded(tmp_path: Path) -> None:
    """With all scores at once, the three heads would need 768 MB for each of several arrays; eight rows, 6 GB."""
    words = ('-model_dir', stretched('gte-cls', tmp_path), '-max_batch_tokens', '1000000')
    with ServerProcess(*words) as process:
        server = process.wait_until_ready()
        with connect(server, check_length=False) as client:
            client.encode(['the word'] * 10)
            (worker,) = children_of(process, WORKER)
            before = most_memory(worker)
            client.encode([text_of(6665 - index) for index in range(8)])
            assert most_memory(worker) - before < 300e6


def most_memory(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    match = re.search(r'VmHWM:\s+(\d+) kB', Path('/proc/%d/status' % pid).read_text())
    assert match
    return 1024 * int(match[1])


def test_a_short_text_does_not_wait_for_all_long_ones(tmp_path: Path) -> None:
    """The answer to a short text of another client comes before that of a request with several long ones."""
    with (
        serve('-model_dir', stretched('gte-cls', tmp_path)) as server,
        connect(server, check_length=False) as patient,
        connect(server) as client,
    ):
        client.encode(['the word'])
        done: list[Any] = []
        long = threading.Thread(
            target=lambda: done.append(patient.encode([text_of(6600 - index) for index in range(4)]))
        )
        long.start()
        wait_until(lambda: client.server_status['statistic']['in_flight_rows'] == 4)
        for _ in range(3):
            client.encode(['the word'])
        assert not done
        long.join()
        assert len(done[0]) == 4
