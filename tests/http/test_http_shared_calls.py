"""Small HTTP requests share a call while the server is busy, and each gets its own answer or error."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from bert_serving.server.http import sharing
from bert_serving.server.http.backend import DEFAULT_OPTIONS, Encoding, IsGone
from bert_serving.server.http.client_pool import PRINCIPAL
from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.requests import Rows
from bert_serving.server.http.server_backend import TRACEPARENT, ServerBackend
from bert_serving.server.http.shared_calls import SharedCalls
from bert_serving.server.http.sharing import BUSY_REQUESTS
from bert_serving.server.protocol.options import ENCODING_OPTIONS, EncodingOptions
from support.scripted_server import Request, ScriptedServer, vectors
from support.waiting import wait_until

MAX_ROWS = 4
PATIENCE_S = 20.0
OTHER_OPTIONS = EncodingOptions(normalize=True)


def answer(rows: Rows) -> Encoding:
    """A vector that tells the text."""
    return Encoding(np.array([[len(text), ord(text[0])] for text in rows.items]), '', [len(t) for t in rows.items])


def no_error(_texts: list[str]) -> HTTPError | None:
    return None


class Server:
    """Records the calls. Those of `held` texts wait for `release`; `error_of` can choose an error for a call."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], float, IsGone, EncodingOptions]] = []
        self.release = threading.Event()
        self.error_of: Callable[[list[str]], HTTPError | None] = no_error
        self.shared = SharedCalls(self.call, lambda: MAX_ROWS)
        self.pool = ThreadPoolExecutor(32)

    def call(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> Encoding:
        texts = list(rows.items)
        self.calls.append((texts, deadline, is_gone, options))
        if texts[0].startswith('held'):
            assert self.release.wait(PATIENCE_S)
        time.sleep(0.001)  # so that the usual duration is not 0
        if (error := self.error_of(texts)) is not None:
            raise error
        return answer(rows)

    def submit(self, *texts: str, options: EncodingOptions = DEFAULT_OPTIONS, **more: Any) -> Future[Encoding]:
        deadline = more.pop('deadline', time.monotonic() + PATIENCE_S)
        is_gone = more.pop('is_gone', lambda: False)
        return self.pool.submit(self.shared.encode, Rows(list(texts)), deadline, is_gone, options, **more)

    def sent(self) -> list[list[str]]:
        """The texts of each call, without those that only keep the server busy."""
        return [sorted(texts) for texts, *_ in self.calls if not texts[0].startswith('held')]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.release.set()
    server.pool.shutdown()
    assert server.shared._pending == 0, 'the server would count as busy forever'


@pytest.fixture
def busy(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server with pending calls, where a request waits for others until a call is full."""
    server.submit('first').result(PATIENCE_S)  # so that a call has a usual duration
    for number in range(BUSY_REQUESTS):
        server.submit('held %d' % number)
    wait_until(lambda: server.shared._pending == BUSY_REQUESTS)
    server.calls = [call for call in server.calls if call[0] != ['first']]
    monkeypatch.setattr(sharing, 'WAIT_SHARE', 1e9)
    monkeypatch.setattr(sharing, 'MAX_WAIT_S', PATIENCE_S)
    return server


def results(futures: list[Future[Encoding]]) -> list[Any]:
    """The array of each result, or the name of its error."""
    found: list[Any] = []
    for future in futures:
        try:
            found.append(future.result(PATIENCE_S).array.tolist())
        except HTTPError as error:
            found.append(error.name)
    return found


def arrays(*requests: tuple[str, ...]) -> list[Any]:
    return [answer(Rows(list(texts))).array.tolist() for texts in requests]


def test_a_request_calls_immediately_if_the_server_is_idle(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, 'WAIT_SHARE', 1e9)
    monkeypatch.setattr(sharing, 'MAX_WAIT_S', PATIENCE_S)
    began_at = time.monotonic()
    for text in 'abc':
        assert server.submit(text).result(PATIENCE_S).array.tolist() == [[1, ord(text)]]
    assert time.monotonic() - began_at < PATIENCE_S / 2
    assert server.sent() == [['a'], ['b'], ['c']]


def test_a_request_calls_immediately_if_one_other_is_pending(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.submit('first').result(PATIENCE_S)
    monkeypatch.setattr(sharing, 'WAIT_SHARE', 1e9)
    monkeypatch.setattr(sharing, 'MAX_WAIT_S', PATIENCE_S)
    server.submit('held')
    wait_until(lambda: server.shared._pending == 1)
    began_at = time.monotonic()
    assert results([server.submit('a')]) == arrays(('a',))
    assert time.monotonic() - began_at < PATIENCE_S / 2


def test_requests_share_a_call_and_each_gets_its_own_rows(busy: Server) -> None:
    futures = [busy.submit('a'), busy.submit('bb', 'ccc'), busy.submit('dddd')]
    assert results(futures) == arrays(('a',), ('bb', 'ccc'), ('dddd',))
    assert busy.sent() == [['a', 'bb', 'ccc', 'dddd']]
    assert futures[1].result().counts == [2, 3]


def test_a_request_that_finds_no_room_begins_the_next_call(busy: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [busy.submit('a'), busy.submit('b')]
    wait_until(lambda: sum(len(shared.requests) for shared in busy.shared._open.values()) == 2)
    monkeypatch.setattr(sharing, 'MAX_WAIT_S', 0.01)
    last = busy.submit('cc', 'dd', 'ee')
    assert results([*first, last]) == arrays(('a',), ('b',), ('cc', 'dd', 'ee'))
    assert sorted(busy.sent()) == [['a', 'b'], ['cc', 'dd', 'ee']]


def test_a_request_that_fills_a_call_does_not_wait(busy: Server) -> None:
    assert results([busy.submit('a', 'b', 'c', 'd')]) == arrays(('a', 'b', 'c', 'd'))


def test_a_request_that_finds_nobody_calls_alone_after_its_wait(busy: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, 'MAX_WAIT_S', 0.01)
    assert results([busy.submit('a')]) == arrays(('a',))
    assert busy.sent() == [['a']]


def test_requests_of_different_principals_or_options_do_not_share(busy: Server) -> None:
    futures = [
        busy.submit(text, options=options, principal=principal)
        for text in 'abcd'
        for options, principal in ((DEFAULT_OPTIONS, ''), (DEFAULT_OPTIONS, 'alice'), (OTHER_OPTIONS, 'alice'))
    ]
    assert results(futures) == arrays(*(('a',),) * 3, *(('b',),) * 3, *(('c',),) * 3, *(('d',),) * 3)
    assert busy.sent() == [['a', 'b', 'c', 'd']] * 3
    assert sorted(call[3] is OTHER_OPTIONS for call in busy.calls[BUSY_REQUESTS:]) == [False, False, True]


def test_an_error_comes_only_to_the_request_that_caused_it(busy: Server) -> None:
    busy.error_of = lambda texts: HTTPError('PoisonedRequest', 'it crashed workers') if 'poison' in texts else None
    futures = [busy.submit('a'), busy.submit('poison'), busy.submit('b', 'c')]
    assert results(futures) == [*arrays(('a',)), 'PoisonedRequest', *arrays(('b', 'c'))]
    assert sorted(busy.sent()) == [['a'], ['a', 'b', 'c', 'poison'], ['b', 'c'], ['poison']]


@pytest.mark.parametrize('name', ['Busy', 'ShuttingDown', 'Unavailable', 'ClientGone'])
def test_a_refusal_comes_to_all_without_another_call(busy: Server, name: str) -> None:
    busy.error_of = lambda texts: HTTPError(name, 'no', retry_after_s=7)
    futures = [busy.submit(text) for text in 'abcd']
    errors = [future.exception(PATIENCE_S) for future in futures]
    assert [(error.name, error.message, error.retry_after_s) for error in errors if isinstance(error, HTTPError)] == [
        (name, 'no', 7)
    ] * 4
    assert len(set(map(id, errors))) == 4, 'each thread raises its own'
    assert busy.sent() == [['a', 'b', 'c', 'd']]


def test_a_deadline_that_passes_without_a_connection_ends_only_its_own_request(busy: Server) -> None:
    def fail(texts: list[str]) -> HTTPError | None:
        wait_until(lambda: time.monotonic() > until or len(texts) == 1)
        return HTTPError('Unavailable', 'no connection') if 'a' in texts else None

    until = time.monotonic() + 2
    busy.error_of = fail
    futures = [busy.submit(text, deadline=until if text == 'a' else until + PATIENCE_S) for text in 'abcd']
    assert results(futures) == ['Unavailable', *arrays(('b',), ('c',), ('d',))]
    assert ['a', 'b', 'c', 'd'] in busy.sent()


def test_a_request_with_little_time_left_calls_alone(busy: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, 'LEAST_CALLS', 1e6)
    assert results([busy.submit('a', deadline=time.monotonic() + 1)]) == arrays(('a',))
    assert busy.sent() == [['a']]


def test_a_fault_of_the_proxy_comes_only_to_the_request_that_found_it(busy: Server) -> None:
    def fail(texts: list[str]) -> HTTPError | None:
        if len(texts) > 1:
            raise KeyError('a bug')
        return None

    busy.error_of = fail
    futures = [busy.submit(text) for text in 'abcd']
    found = [future.exception(PATIENCE_S) for future in futures]
    assert sorted(type(error).__name__ for error in found) == ['KeyError', 'NoneType', 'NoneType', 'NoneType']


def test_a_call_has_the_earliest_deadline_and_the_others_can_go_on_after_it(busy: Server) -> None:
    deadlines = [time.monotonic() + PATIENCE_S + number for number in range(4)]
    busy.error_of = lambda texts: HTTPError('DeadlineExceeded', 'late') if len(texts) > 1 else None
    futures = [busy.submit(text, deadline=deadlines[number]) for number, text in enumerate('abcd')]
    assert results(futures) == arrays(('a',), ('b',), ('c',), ('d',))
    calls = {tuple(sorted(texts)): deadline for texts, deadline, *_ in busy.calls[BUSY_REQUESTS:]}
    assert calls[tuple('abcd')] == deadlines[0]
    assert [calls[text,] for text in 'abcd'] == deadlines


def test_a_call_is_cancelled_only_if_nobody_waits_for_it(busy: Server) -> None:
    gone = dict.fromkeys('abcd', False)
    futures = [busy.submit(text, is_gone=lambda text=text: gone[text]) for text in 'abcd']
    results(futures)
    is_gone = busy.calls[-1][2]
    for text in 'abcd':
        assert not is_gone()
        gone[text] = True
    assert is_gone()


def test_requests_call_alone_if_their_results_have_a_length_in_common(
    busy: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = busy.shared._call

    def call(rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> Encoding:
        original(rows, deadline, is_gone, options)
        return Encoding(np.zeros((len(rows.items), max(map(len, rows.items)), 2)), '', None)

    monkeypatch.setattr(busy.shared, '_call', call)
    futures = [busy.submit('a' * length) for length in range(1, 5)]
    assert [future.result(PATIENCE_S).array.shape for future in futures] == [(1, length, 2) for length in range(1, 5)]


# ---- the backend, over real sockets

WORKERS = [{'worker': 0, 'state': 'ready'}]


@contextlib.contextmanager
def serving(names_principals: bool = False, **config: Any) -> Iterator[tuple[ScriptedServer, ServerBackend]]:
    """A server that answers after 20 ms, and the backend that calls it and knows its status."""
    server = ScriptedServer(extensions=['options', 'token_ids', 'cancel', *ENCODING_OPTIONS], **config)

    def script(request: Request) -> list[Any]:
        time.sleep(0.02)
        return [server.result(request, vectors(request.texts), token_counts=[3] * request.rows)]

    server.script = script
    backend = ServerBackend('127.0.0.1', server.port, server.port_out, names_principals=names_principals)
    try:
        wait_until(lambda: backend.server_status().is_fresh)
        yield server, backend
    finally:
        backend.close()
        server.stop()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait long for others."""
    monkeypatch.setattr(sharing, 'WAIT_SHARE', 1)
    monkeypatch.setattr(sharing, 'MAX_WAIT_S', 0.2)


def encode_at_once(backend: ServerBackend, texts: list[str], principals: Sequence[str] = ('',), **more: Any) -> None:
    """Encode each text in its own request, 16 at a time, and check the answers."""

    def encode(number: int) -> None:
        token = PRINCIPAL.set(principals[number % len(principals)])
        encoding = backend.encode(Rows([texts[number]]), time.monotonic() + PATIENCE_S, lambda: False, **more)
        PRINCIPAL.reset(token)
        np.testing.assert_array_equal(encoding.array, vectors([texts[number]]))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(encode, range(len(texts))))


TEXTS = ['text %d' % number for number in range(64)]


def test_concurrent_requests_of_the_backend_share_calls(patient: None) -> None:
    with serving(workers=WORKERS, priority_batch_size=16) as (server, backend):
        encode_at_once(backend, TEXTS)
        assert len(server.requests) < 48, 'the first 16 do not know how long a call takes'
        assert sum(request.rows for request in server.requests) == 64
        assert max(request.rows for request in server.requests) <= 16


@pytest.mark.parametrize('config', [{}, {'workers': WORKERS, 'priority_batch_size': 1}])
def test_requests_call_alone_if_the_server_gains_nothing_by_sharing(config: dict[str, Any], patient: None) -> None:
    with serving(**config) as (server, backend):
        encode_at_once(backend, TEXTS)
        assert [request.rows for request in server.requests] == [1] * 64


def test_requests_for_tokens_call_alone(patient: None) -> None:
    with serving(workers=WORKERS, priority_batch_size=16) as (server, backend):
        encode_at_once(backend, TEXTS, show_tokens=True)
        assert [request.rows for request in server.requests] == [1] * 64


def test_traced_requests_call_alone(patient: None) -> None:
    with serving(workers=WORKERS, priority_batch_size=16) as (server, backend):

        def trace(number: int) -> None:
            token = TRACEPARENT.set('00-%032x-%016x-01' % (number + 1, number + 1))
            backend.encode(Rows(['text']), time.monotonic() + PATIENCE_S, lambda: False)
            TRACEPARENT.reset(token)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(trace, range(64)))
        assert [request.rows for request in server.requests] == [1] * 64


def test_the_server_gets_to_know_the_principal_of_each_shared_call(patient: None) -> None:
    with serving(True, workers=WORKERS, priority_batch_size=16) as (server, backend):
        encode_at_once(backend, TEXTS, ('alice', 'bob'))
        assert len(server.requests) < 56
        for request in server.requests:
            parity = {int(text.split()[1]) % 2 for text in request.texts}
            assert parity == ({0} if b'.alice.' in request.identity else {1})
