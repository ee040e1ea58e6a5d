"""The backend against a scripted server over real sockets: its requests, and the error for each kind of failure."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import bert_serving.client
from bert_serving.server.http import server_backend as backend_module
from bert_serving.server.http import status_watch
from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.health import StatusSnapshot
from bert_serving.server.http.requests import Rows
from bert_serving.server.http.server_backend import ServerBackend
from bert_serving.server.protocol.options import ENCODING_OPTIONS, EncodingOptions
from support.middlebox import Middlebox
from support.scripted_server import Request, ScriptedServer, tokens_of, vectors
from support.waiting import wait_until

EXTENSIONS = ['options', 'token_ids', 'cancel', *ENCODING_OPTIONS]
PATIENCE_S = 20.0


def answer_with_options(server: ScriptedServer) -> Callable[[Request], list[Any]]:
    def answer(request: Request) -> list[Any]:
        texts = [[str(part) for part in row] if isinstance(row, list) else row for row in request.texts]
        tokens = tokens_of(texts)
        counts = [len(row) for row in tokens]
        array = vectors(request.texts)
        if request.options and request.options.get('tokenize'):
            array = np.array([[7] * count + [0] * (max(counts) - count) for count in counts], np.int32)
        return [server.result(request, array, tokens=tokens, **({'token_counts': counts} if request.options else {}))]

    return answer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer(extensions=EXTENSIONS)
    server.script = answer_with_options(server)
    yield server
    server.stop()


@pytest.fixture
def backend(server: ScriptedServer) -> Iterator[ServerBackend]:
    backend = ServerBackend('127.0.0.1', server.port, server.port_out)
    yield backend
    backend.close()


def encode(backend: ServerBackend, rows: Rows, within_s: float = PATIENCE_S, **more: Any) -> Any:
    return backend.encode(rows, time.monotonic() + within_s, more.pop('is_gone', lambda: False), **more)


def error_of(backend: ServerBackend, **more: Any) -> HTTPError:
    with pytest.raises(HTTPError) as caught:
        encode(backend, Rows(['a']), **more)
    return caught.value


def test_vectors_with_the_number_of_tokens(backend: ServerBackend, server: ScriptedServer) -> None:
    for rows, expected in (
        (Rows(['a b', 'c']), [4, 3]),
        (Rows([['a', 'b'], ['c']], 'tokens'), [4, 3]),
        (Rows([[11, 12], [13]], 'ids'), [4, 3]),
    ):
        encoding = encode(backend, rows)
        np.testing.assert_array_equal(encoding.array, vectors(rows.items))
        assert encoding.counts == expected
        assert list(encoding.truncated) == []
    assert 19000 < server.requests[0].options['deadline_ms'] <= 20000


def test_vectors_with_the_rows_that_were_cut(backend: ServerBackend, server: ScriptedServer) -> None:
    server.script = lambda request: [
        server.result(request, vectors(request.texts), token_counts=[4, 3], truncated_rows=[1])
    ]
    assert encode(backend, Rows(['a b', 'c'])).truncated == [1]


def test_options_are_sent_only_where_they_ask_for_something(backend: ServerBackend, server: ScriptedServer) -> None:
    encode(backend, Rows(['a b']), options=EncodingOptions(pairs=False))
    assert set(server.requests[-1].options) == {'token_counts', 'deadline_ms'}
    encode(backend, Rows(['a ||| b']), options=EncodingOptions(pairs=False, normalize=True, truncate='left'))
    options = server.requests[-1].options
    assert (options['pairs'], options['normalize'], options['truncate']) == (False, True, 'left')
    encode(backend, Rows([['a', '|||']], 'tokens'), options=EncodingOptions(pairs=False))
    assert 'pairs' not in server.requests[-1].options


def test_places_and_texts_of_ids(backend: ServerBackend, server: ScriptedServer) -> None:
    until = time.monotonic() + PATIENCE_S
    options = EncodingOptions(offsets=True, prompt_name='query')
    encoding = backend.tokenize(Rows(['a b']), until, lambda: False, options)
    assert encoding.tokens == tokens_of(['a b'])
    sent = server.requests[-1].options
    assert (sent['tokenize'], sent['offsets'], sent['prompt_name']) == (True, True, 'query')
    server.script = lambda request: [
        server.result(request, np.zeros((1, 1), np.int32), tokens=[['hello world']], token_counts=[2])
    ]
    rows = Rows([[7592, 2088]], 'ids')
    assert backend.decode(rows, until, lambda: False, EncodingOptions(decode=True)) == ['hello world']
    assert 'special_tokens' not in server.requests[-1].options
    backend.decode(rows, until, lambda: False, EncodingOptions(decode=True, special_tokens=True))
    sent = server.requests[-1]
    assert (sent.texts, sent.options['decode'], sent.options['special_tokens']) == ([[7592, 2088]], True, True)


@pytest.mark.parametrize(('rows', 'pairs'), [(Rows(['a b']), False), (Rows([['a ||| b', '']], 'pairs'), True)])
def test_scores(backend: ServerBackend, server: ScriptedServer, rows: Rows, pairs: bool) -> None:
    server.script = lambda request: [server.result(request, np.array([[0.5]], np.float32), token_counts=[4])]
    options = EncodingOptions(raw=True, truncate='error')
    encoding = backend.predict(rows, time.monotonic() + PATIENCE_S, lambda: False, options)
    assert (encoding.array.tolist(), encoding.counts) == ([[0.5]], [4])
    sent = server.requests[-1]
    assert sent.texts == rows.items
    assert (sent.options['pairs'], sent.options['raw'], sent.options['truncate']) == (pairs, True, 'error')


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_an_error_whatever_the_server(
    backend: ServerBackend, server: ScriptedServer, value: float
) -> None:
    """A server of 1.10 sends them; in JSON they would be null."""
    server.script = lambda request: [server.result(request, np.array([[1, value]], np.float32), token_counts=[3])]
    assert (error_of(backend).status, error_of(backend).name) == (500, 'NotFinite')
    with pytest.raises(HTTPError, match='NaN or infinity'):
        backend.predict(Rows(['a']), time.monotonic() + PATIENCE_S, lambda: False, EncodingOptions())


def test_tokens_only(backend: ServerBackend) -> None:
    encoding = backend.tokenize(Rows(['a b', 'c']), time.monotonic() + PATIENCE_S, lambda: False)
    assert encoding.tokens == tokens_of(['a b', 'c'])
    assert encoding.array.tolist() == [[7, 7, 7, 7], [7, 7, 7, 0]]


@pytest.mark.parametrize(
    ('type_name', 'status'),
    [
        ('BadRequest', 400),
        ('TooLarge', 413),
        ('Busy', 429),
        ('ShuttingDown', 503),
        ('DeadlineExceeded', 504),
        ('PoisonedRequest', 500),
        ('NotFinite', 500),
        ('InternalError', 500),
        ('Unheard', 500),
    ],
)
def test_an_error_of_the_server_has_its_status(
    backend: ServerBackend, server: ScriptedServer, type_name: str, status: int
) -> None:
    server.script = lambda request: [server.error(request, type_name, 'why')]
    error = error_of(backend)
    assert (error.status, error.message) == (status, 'why')
    server.script = answer_with_options(server)
    assert encode(backend, Rows(['a'])).counts == [3]


def test_an_answer_that_can_not_be_read_is_a_bad_gateway(backend: ServerBackend, server: ScriptedServer) -> None:
    server.script = lambda request: [server.result(request, vectors(['a', 'b']))]
    assert error_of(backend).status == 502


def test_what_the_client_refuses_is_a_bad_request(backend: ServerBackend) -> None:
    with pytest.raises(HTTPError) as caught:
        encode(backend, Rows(['\u2003']))
    assert caught.value.status == 400


def test_a_deadline_is_kept_and_the_request_cancelled(backend: ServerBackend, server: ScriptedServer) -> None:
    server.hold()
    assert error_of(backend, within_s=0.3).status == 504
    server.wait_until(lambda: server.cancelled)
    assert server.cancelled == [server.requests[0].id]


@pytest.mark.slow
def test_a_caller_that_has_gone_is_not_waited_for(backend: ServerBackend, server: ScriptedServer) -> None:
    server.hold()
    gone = threading.Event()
    threading.Thread(target=lambda: (server.wait_for(1), gone.set())).start()
    assert error_of(backend, is_gone=gone.is_set).name == 'ClientGone'
    server.wait_until(lambda: server.cancelled)


@pytest.mark.slow
def test_a_server_that_is_away_is_waited_for_a_moment_only(
    backend: ServerBackend, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_module, 'AWAY_S', 0.5)
    encode(backend, Rows(['a']))
    server.stop()
    error = error_of(backend)
    assert (error.name, error.kind.retry_after_s) == ('Unavailable', 5)
    assert error_of(backend, within_s=0.2).name == 'Unavailable', 'though its own time limit came first'


@pytest.mark.slow
def test_a_server_that_comes_back_is_found(backend: ServerBackend, server: ScriptedServer) -> None:
    encode(backend, Rows(['a']))
    server.stop()
    restart = threading.Timer(0.5, server.start)
    restart.start()
    assert encode(backend, Rows(['a'])).counts == [3]
    restart.join()
    assert backend.server_status(0).is_fresh


@pytest.mark.slow
@pytest.mark.parametrize('dead', [0, 1])
def test_a_request_on_a_connection_that_a_middlebox_swallows_is_answered(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, dead: int
) -> None:
    monkeypatch.setattr(bert_serving.client, '_HEARTBEAT_S', 0.1)
    monkeypatch.setattr(bert_serving.client, '_HEARTBEAT_TIMEOUT_S', 0.3)
    boxes = Middlebox(server.port), Middlebox(server.port_out)
    backend = ServerBackend('127.0.0.1', boxes[0].port, boxes[1].port)
    assert encode(backend, Rows(['a'])).counts == [3]
    boxes[dead].swallow()
    assert encode(backend, Rows(['a b'])).counts == [4]
    assert backend.server_status(0).is_fresh
    backend.close()
    for box in boxes:
        box.close()


def test_a_server_that_was_never_there(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_module, 'AWAY_S', 0.3)
    monkeypatch.setattr(status_watch, 'TIMEOUT_S', 0.3)
    server.stop()
    backend = ServerBackend('127.0.0.1', server.port, server.port_out)
    try:
        assert backend.server_status() == StatusSnapshot(None, False)
        assert error_of(backend).status == 503
        monkeypatch.undo()  # to find it again may take a second
        server.start()
        assert encode(backend, Rows(['a'])).counts == [3]
        assert backend.server_status(0).is_fresh
    finally:
        backend.close()


def test_many_ask_at_once(backend: ServerBackend) -> None:
    wrong = []

    def ask(name: int) -> None:
        for number in range(5):
            rows = Rows(['%d %d' % (name, number)])
            if not np.array_equal(encode(backend, rows).array, vectors(rows.items)):
                wrong.append(rows)

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    status = backend.client_status()
    assert status['num_request'] >= 40
    assert (status['num_pending_request'], status['pending_request']) == (0, [])
    assert json.dumps(status)


def test_the_status_is_asked_for_at_most_so_often(backend: ServerBackend, server: ScriptedServer) -> None:
    assert backend.server_status().status == {**server.config, 'statistic': {'num_data_request': 0}}
    encode(backend, Rows(['a']))
    assert backend.server_status(60).status['statistic'] == {'num_data_request': 0}
    assert backend.server_status(0).status['statistic'] == {'num_data_request': 1}


@pytest.mark.slow
def test_many_who_want_the_status_at_once_have_it_asked_for_once_a_second(
    backend: ServerBackend, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.server_status(0)
    asked: list[float] = []
    client = backend._watch._client
    ask = vars(type(client))['server_status'].fget

    def slowly(client: Any) -> Any:
        asked.append(time.monotonic())
        time.sleep(0.2)  # in which the others come
        return ask(client)

    monkeypatch.setattr(type(client), 'server_status', property(slowly))
    until = time.monotonic() + 4
    wanting = [threading.Thread(target=ask_until, args=(backend, until)) for _ in range(4)]
    for thread in wanting:
        thread.start()
    for thread in wanting:
        thread.join()
    gaps = np.diff(asked)
    assert len(asked) >= 2
    assert min(gaps) > 0.9, gaps


def ask_until(backend: ServerBackend, until: float) -> None:
    while time.monotonic() < until:
        backend.server_status()
        time.sleep(0.01)


def test_who_puts_up_with_an_old_status_has_a_new_one_asked_for(
    backend: ServerBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the model, which any request can need, is then a second old, and no request waits for it."""
    backend.server_status()
    encode(backend, Rows(['a']))
    monkeypatch.setattr(status_watch, 'STATUS_AGE_S', 0)
    assert backend.server_status(60).status['statistic'] == {'num_data_request': 0}, 'at once'
    monkeypatch.undo()
    wait_until(lambda: backend.server_status(60).status['statistic'] == {'num_data_request': 1})


def test_what_a_server_of_1_10_can_do_is_done_with_it() -> None:
    server = ScriptedServer()
    backend = ServerBackend('127.0.0.1', server.port, server.port_out)
    try:
        encoding = encode(backend, Rows(['a b']), show_tokens=True)
        np.testing.assert_array_equal(encoding.array, vectors(['a b']))
        assert (encoding.tokens, encoding.counts) == (tokens_of(['a b']), None)
        assert encode(backend, Rows([['a']], 'tokens')).tokens == ''
        assert all(len(request.frames) == 4 for request in server.requests)
        with pytest.raises(HTTPError) as caught:
            encode(backend, Rows([[1]], 'ids'))
        assert caught.value.status == 501
        for options in (EncodingOptions(prompt='q: '), EncodingOptions(pairs=False)):
            with pytest.raises(HTTPError, match=r'support "prompt"|remove it from the text') as caught:
                encode(backend, Rows(['a ||| b']), options=options)
            assert caught.value.status == 501
        cut = encode(backend, Rows(['a b']), options=EncodingOptions(pairs=False, dimensions=2, normalize=True)).array
        assert cut.shape == (1, 2)
        np.testing.assert_allclose(np.linalg.norm(cut), 1, rtol=1e-6)
        with pytest.raises(HTTPError) as caught:
            backend.predict(Rows(['a']), time.monotonic() + PATIENCE_S, lambda: False, EncodingOptions())
        assert caught.value.status == 501
        with pytest.raises(HTTPError) as caught:
            backend.decode(Rows([[1]], 'ids'), time.monotonic() + PATIENCE_S, lambda: False, EncodingOptions())
        assert caught.value.status == 501
        with pytest.raises(HTTPError) as caught:
            backend.tokenize(Rows(['a']), time.monotonic() + PATIENCE_S, lambda: False)
        assert caught.value.status == 501
    finally:
        backend.close()
        server.stop()


def test_closing_ends_what_waits(backend: ServerBackend, server: ScriptedServer) -> None:
    server.hold()
    threading.Thread(target=lambda: (server.wait_for(1), backend.close())).start()
    assert error_of(backend).status == 503
    assert error_of(backend).status == 503
