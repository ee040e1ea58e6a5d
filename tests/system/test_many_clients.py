"""Many clients at once: every answer is the one that the same texts get alone, and none is missing."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bert_serving.server import BertServer
from support.serving import SMALL_MODEL, connect, serve

CLIENTS = 64
WORDS = """
    the of and in to was he is as for on with that it his by at from her she you had an were but be this are not
    my they one which or have him me first all also their has up who out been when after there into new two its
    time
""".split()


def make_texts(seed: int, rows: int, longest: int) -> list[str]:
    """Texts of 1 to `longest` words, a tenth of them pairs."""
    dice = random.Random(seed)
    texts = []
    for _ in range(rows):
        words = dice.choices(WORDS, k=dice.randint(1, longest))
        if dice.random() < 0.1:
            words.insert(dice.randrange(len(words) + 1), '|||')
        texts.append('x ' + ' '.join(words) + ' y')
    return texts


@pytest.fixture(scope='module')
def small() -> Iterator[BertServer]:
    with serve('-model_dir', SMALL_MODEL, '-num_worker', '2', '-max_batch_size', '64') as server:
        yield server


@pytest.fixture(scope='module')
def minilm() -> Iterator[BertServer]:
    with serve('-num_worker', '2', '-max_batch_size', '64') as server:
        yield server


def ask_alone(server: BertServer, requests: list[list[str]]) -> list[np.ndarray]:
    with connect(server, timeout=120_000, check_length=False) as client:
        return [client.encode(texts) for texts in requests]


def ask_together(server: BertServer, requests: list[list[list[str]]]) -> list[list[np.ndarray]]:
    """One client for each list of requests, all starting together."""
    start = threading.Barrier(len(requests))

    def be_a_client(mine: list[list[str]]) -> list[np.ndarray]:
        with connect(server, timeout=240_000, check_length=False) as client:
            start.wait()
            return [client.encode(texts) for texts in mine]

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(be_a_client, requests))


def assert_equal_to_alone(server: BertServer, requests: list[list[list[str]]]) -> None:
    together = ask_together(server, requests)
    for answers, mine in zip(together, requests, strict=True):
        for answer, expected, texts in zip(answers, ask_alone(server, mine), mine, strict=True):
            assert answer.shape[0] == len(texts)
            np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.timeout(600)
def test_64_clients_with_20_requests_of_1_to_300_rows_get_the_answers_they_get_alone(small: BertServer) -> None:
    """The requests draw from thousands of texts, so that the test encodes each text alone only once."""
    dice = random.Random(7)
    texts = list(dict.fromkeys(make_texts(1, 5000, longest=15)))
    vectors = np.vstack(ask_alone(small, [texts[start : start + 300] for start in range(0, len(texts), 300)]))
    drawn = [[dice.sample(range(len(texts)), dice.randint(1, 300)) for _ in range(20)] for _ in range(CLIENTS)]
    together = ask_together(small, [[[texts[row] for row in rows] for rows in mine] for mine in drawn])
    for answers, mine in zip(together, drawn, strict=True):
        for answer, rows in zip(answers, mine, strict=True):
            assert answer.shape == (len(rows), 32)
            np.testing.assert_allclose(answer, vectors[rows], rtol=1e-4, atol=2e-5)


@pytest.mark.timeout(600)
def test_64_clients_of_the_default_model_get_the_answers_they_get_alone(minilm: BertServer) -> None:
    requests = [
        [make_texts(1000 * client + k, 1 + client % 8, longest=20) for k in range(2)] for client in range(CLIENTS)
    ]
    assert_equal_to_alone(minilm, requests)


def test_a_text_has_one_vector_alone_among_a_thousand_and_through_32_clients(minilm: BertServer) -> None:
    texts = make_texts(3, 1000, longest=40)
    some = texts[:64]
    (bulk,) = ask_alone(minilm, [texts])
    alone = ask_alone(minilm, [[text] for text in some])
    through_many = ask_together(minilm, [[[text] for text in some[client::32]] for client in range(32)])
    np.testing.assert_allclose(bulk[:64], np.vstack(alone), rtol=1e-4, atol=2e-5)
    for client, answers in enumerate(through_many):
        np.testing.assert_allclose(np.vstack(answers), np.vstack(alone[client::32]), rtol=1e-4, atol=2e-5)


def test_ten_thousand_rows_in_one_request(small: BertServer) -> None:
    texts = ['row %d' % row for row in range(10_000)]
    (answer,) = ask_alone(small, [texts])
    assert answer.shape == (10_000, 32)
    np.testing.assert_allclose(
        answer[::997], np.vstack(ask_alone(small, [[t] for t in texts[::997]])), rtol=1e-4, atol=2e-5
    )


def test_a_small_request_is_answered_while_a_large_one_is_computed(small: BertServer) -> None:
    with (
        connect(small, timeout=120_000, check_length=False) as large,
        connect(small, timeout=120_000) as quick,
    ):
        large.encode(make_texts(1, 20_000, longest=40), blocking=False)
        assert quick.encode(['me first']).shape == (1, 32)
        assert large.status['num_pending_request'] == 1, 'the small request waited for the large one'
        assert large.fetch_all()[0].shape == (20_000, 32)


def test_the_default_model_answers_the_readme(minilm: BertServer) -> None:
    with connect(minilm) as client:
        assert client.encode(['First do it', 'then do it right', 'then do it better']).shape == (3, 384)
