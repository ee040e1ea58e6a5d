"""A model of finite weights whose values overflow: found at the start, or an error to the caller; never null."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bert_serving.client import BertClient, ServerError
from support.proxies import curl
from support.serving import ServerProcess
from support.waiting import wait_until

pytestmark = pytest.mark.slow

BERT = Path(__file__).parents[1] / 'golden' / 'data' / 'published' / 'models' / 'bert-mean-norm'
WORDS, POSITIONS = 'embeddings.word_embeddings.weight', 'embeddings.position_embeddings.weight'
HUGE = np.float32(2e38)
"""Twice this overflows, and its square; a layer norm makes zeros of it."""

BAD_AT = 3
"""The position at which the bad token overflows, that of the third word."""


def words_of(folder: Path) -> list[str]:
    """Two words of the vocabulary; in the damaged models, the first one is bad."""
    tokens = sorted(json.loads((folder / 'tokenizer.json').read_text('utf-8'))['model']['vocab'])
    return [token for token in tokens if token.isalpha() and token.isascii() and len(token) > 2][:2]


def id_of(folder: Path, word: str) -> int:
    number: int = json.loads((folder / 'tokenizer.json').read_text('utf-8'))['model']['vocab'][word]
    return number


def damaged(folder: Path, change: Callable[[dict[str, np.ndarray], int], None]) -> tuple[Path, str, str]:
    """A copy of the model with other weights; the folder, the word that is bad, and one that is good."""
    shutil.copytree(BERT, folder)
    bad, good = words_of(folder)
    weights = load_file(folder / 'model.safetensors')
    change(weights, id_of(folder, bad))
    save_file(weights, folder / 'model.safetensors')
    return folder, bad, good


@pytest.mark.parametrize('words', [(), ('-xla',), ('-bf16',), ('-fp16',)])
def test_a_model_that_overflows_for_one_token_does_not_start(tmp_path: Path, words: tuple[str, ...]) -> None:
    def change(weights: dict[str, np.ndarray], bad: int) -> None:
        weights[WORDS][bad] = np.float32(3.3e38)

    folder, bad, _ = damaged(tmp_path / 'model', change)
    with ServerProcess('-model_dir', str(folder), *words) as server:
        assert server.wait() == 2
    assert "computes NaN or infinity for tokens such as '%s': its weights are damaged" % bad in server.log
    assert 'Traceback' not in server.log
    assert 'all set' not in server.log


def test_a_text_that_overflows_is_an_error_to_its_caller_alone_and_is_counted(tmp_path: Path) -> None:
    """The token is fine at any other position, so no first run can find it."""

    def change(weights: dict[str, np.ndarray], bad: int) -> None:
        weights[WORDS][bad, 0] = weights[POSITIONS][BAD_AT, 0] = HUGE

    folder, bad, good = damaged(tmp_path / 'model', change)
    fine, overflows = ' '.join([bad, good]), ' '.join([good, good, bad])
    with ServerProcess('-model_dir', str(folder), '-http_port', '0', '-http_host', '127.0.0.1') as server:
        server.wait_until_ready()
        with BertClient(port=server.port, port_out=server.port_out, timeout=60_000) as client:
            expected = client.encode([fine, good])
            assert np.isfinite(expected).all()
            with pytest.raises(
                ServerError, match='NotFinite: the model computes NaN or infinity for element 2'
            ) as caught:
                client.encode([fine, good, overflows])
            assert caught.value.type == 'NotFinite'
            _mixed_with_others(client, fine, good, overflows, expected)
            url = 'http://127.0.0.1:%d' % server.http_port
            status, body = curl(url + '/encode', '-d', json.dumps({'id': 1, 'texts': [fine, overflows]}))
            assert (status, body['type']) == (500, 'NotFinite')
            assert 'element 1' in body['description']
            status, body = curl(url + '/v1/embeddings', '-d', json.dumps({'input': overflows}))
            assert (status, body['error']['code']) == (500, 'not_finite')
            assert curl(url + '/v1/embeddings', '-d', json.dumps({'input': fine}))[0] == 200
            wait_until(lambda: client.server_status['statistic']['num_not_finite_row'] == 4)
        wait_until(lambda: 'bert_serving_not_finite_rows_total 4.0' in curl(url + '/metrics')[1])
        server.wait_for_log('computed NaN or infinity')
        assert server.stop() == 0


def _mixed_with_others(client: BertClient, fine: str, good: str, overflows: str, expected: np.ndarray) -> None:
    """Requests that share a batch with the one that overflows are answered as if they were alone."""
    client.encode([fine, good], blocking=False)
    client.encode([overflows], blocking=False)
    client.encode([fine, good], blocking=False)
    answered = 0
    failed = 0
    while client.status['num_pending_request']:
        try:
            for response in client.fetch():
                np.testing.assert_allclose(response.embedding, expected, rtol=1e-4, atol=1e-5)
                answered += 1
        except ServerError as error:
            assert error.type == 'NotFinite'
            failed += 1
    assert (answered, failed) == (2, 1)
