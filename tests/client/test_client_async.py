# -*- coding: utf-8 -*-
"""Asking now and collecting later: fetch, fetch_all, encode_async, listen."""

import itertools
import threading

import numpy as np
import pytest

import bert_serving.client
from bert_serving.client import ServerError
from support.scripted_server import tokens_of, vectors


def backwards(server, number):
    """A script that answers when so many have come, the last one first."""
    held = []

    def script(request):
        held.insert(0, server.result(request, vectors(request.texts)))
        return held if len(held) == number else []

    return script


# ------------------------------------------------------------------------------------------------- fetch


def test_fetch_is_in_the_order_of_arrival_and_fetch_all_in_that_of_sending(server, client):
    batches = [['a'], ['b', 'c'], ['d', 'e', 'f']]
    for fetch, expected in [
        (lambda: [response.embedding for response in client.fetch()], batches[::-1]),
        (lambda: client.fetch_all(sort=False), batches[::-1]),
        (client.fetch_all, batches),
    ]:
        server.script = backwards(server, 3)
        for texts in batches:
            assert client.encode(texts, blocking=False) is None
        answers = list(fetch())
        assert len(answers) == len(expected)
        for got, texts in zip(answers, expected):
            np.testing.assert_array_equal(got, vectors(texts))


def test_fetch_all_in_one(server, client):
    client.encode(['a'], blocking=False)
    client.encode(['b', 'c'], blocking=False)
    np.testing.assert_array_equal(client.fetch_all(concat=True), vectors(['a', 'b', 'c']))


def test_nothing_pending(client):
    assert client.fetch_all() is None
    assert list(client.fetch()) == []


def test_fetch_gives_tokens(client):
    client.encode(['a b'], blocking=False)
    (response,) = client.fetch(delay=0.1)
    assert response.tokens == tokens_of(['a b'])


def test_an_error_does_not_take_the_other_results_with_it(server, client):
    server.script = lambda request: (
        [server.error(request, 'Bad', 'no')] if 'bad' in request.texts else server.answer(request)
    )
    for texts in (['a'], ['bad'], ['b']):
        client.encode(texts, blocking=False)
    with pytest.raises(ServerError):
        client.fetch_all()
    np.testing.assert_array_equal(client.fetch_all(concat=True), vectors(['a', 'b']))


def test_an_error_of_another_request_waits_for_its_fetch(server, client):
    server.script = lambda request: (
        [server.error(request, 'Bad', 'no')] if 'bad' in request.texts else server.answer(request)
    )
    client.encode(['bad'], blocking=False)
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))
    with pytest.raises(ServerError):
        next(client.fetch())


def test_calls_between_two_fetches(server, client):
    for text in ['a', 'b', 'c']:
        client.encode([text], blocking=False)
    got = []
    for response in client.fetch():
        got.append(response.embedding.tolist())
        client.encode(['in between'])
        assert client.server_status
    assert sorted(got) == sorted(vectors([text]).tolist() for text in ['a', 'b', 'c'])


# ------------------------------------------------------------------------------------------------- encode_async


def test_every_batch_is_answered_once(client):
    batches = [['%d %d' % (number, row) for row in range(number % 4 + 1)] for number in range(100)]
    responses = sorted(client.encode_async(iter(batches)))
    assert len(responses) == 100
    for response, texts in zip(responses, batches):
        np.testing.assert_array_equal(response.embedding, vectors(texts))
        assert response.tokens == tokens_of(texts)


def test_an_endless_producer_is_not_pulled_further_than_asked(client):
    pulled = []

    def endless():
        for number in itertools.count():
            pulled.append(number)
            yield ['a']

    assert len(list(client.encode_async(endless(), max_num_batch=30))) == 30
    assert len(pulled) == 30


def test_a_fast_producer_is_a_bounded_number_of_batches_ahead(server, client):
    most = bert_serving.client._BATCHES_IN_FLIGHT
    pulled = []

    def fast():
        for number in range(5 * most):
            pulled.append(number)
            yield ['a']

    for taken, _ in enumerate(client.encode_async(fast())):
        assert len(pulled) <= taken + 1 + most
    assert len(pulled) == 5 * most


def test_a_producer_that_waits_for_the_result_of_its_last_batch_gets_it(client):
    answers = []
    answered = threading.Semaphore(0)

    def dialog():
        for number in range(5):
            yield ['question %d' % number]
            answered.acquire()
            assert len(answers) == number + 1

    for response in client.encode_async(dialog()):
        answers.append(response)
        answered.release()
    assert len(answers) == 5


def test_a_slow_producer_is_no_timeout_of_the_server(client):
    client.timeout = 1000
    pause = threading.Event()

    def slow():
        yield ['a']
        pause.wait(1.5)
        yield ['b']

    assert len(list(client.encode_async(slow()))) == 2


def test_a_server_that_is_silent_is_a_timeout(server, client):
    server.hold()
    client.timeout = 100
    with pytest.raises(bert_serving.client.TimeoutError):
        next(client.encode_async([['a']]))
    assert client.status['num_pending_request'] == 0


class Broken(Exception):
    pass


def test_what_the_producer_raises_comes_after_its_results(client):
    def broken():
        yield ['a']
        yield ['b']
        raise Broken()

    stream = client.encode_async(broken())
    got = [next(stream).embedding.tolist() for _ in range(2)]
    assert got == [vectors(['a']).tolist(), vectors(['b']).tolist()]
    with pytest.raises(Broken):
        next(stream)


def test_a_batch_that_cannot_be_encoded(client):
    stream = client.encode_async([['a'], ['b', 5], ['c']])
    np.testing.assert_array_equal(next(stream).embedding, vectors(['a']))
    with pytest.raises(TypeError, match='element 1'):
        next(stream)
    with pytest.raises(TypeError):
        list(client.encode_async(None))


def test_an_error_of_the_server_is_raised_at_once(server, client):
    server.script = lambda request: [server.error(request, 'Bad', 'no')]
    with pytest.raises(ServerError):
        list(client.encode_async([['a']] * 3))
    assert client.status['num_pending_request'] == 0


def test_leaving_early_gives_up_the_rest(server, client):
    stream = client.encode_async(['%d' % number] for number in range(50))
    next(stream)
    stream.close()
    assert client.status['num_pending_request'] == 0
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))
    assert client.fetch_all() is None


def test_an_empty_producer(client):
    assert list(client.encode_async(iter([]))) == []


def test_other_calls_between_two_results(client):
    client.encode(['pending'], blocking=False)
    for response in client.encode_async([['a'], ['a'], ['a']], is_tokenized=False):
        np.testing.assert_array_equal(response.embedding, vectors(['a']))
        np.testing.assert_array_equal(client.encode(['b']), vectors(['b']))
    np.testing.assert_array_equal(client.fetch_all(concat=True), vectors(['pending']))


def test_tokenized_batches(client):
    (response,) = client.encode_async([[['a', 'b']]], is_tokenized=True)
    np.testing.assert_array_equal(response.embedding, vectors([['a', 'b']]))


def test_the_producer_may_not_use_the_client(server, client, monkeypatch):
    start, has_tried = threading.Thread.start, threading.Event()

    def producer():
        try:
            yield client.encode(['a'])
        finally:
            has_tried.set()

    def start_and_let_it_run(thread):  # the producer is ahead of the thread that starts it
        start(thread)
        if thread.name == 'bert-client-producer':
            has_tried.wait(10)

    monkeypatch.setattr(threading.Thread, 'start', start_and_let_it_run)
    with pytest.raises(bert_serving.client.SharedClientError):
        list(client.encode_async(producer()))


# ------------------------------------------------------------------------------------------------- multicast


def test_clones_hear_every_result(server, connect):
    asking, listening = connect(server, identity=b'shared'), connect(server, identity='shared')
    heard = listening.listen()
    server.hold()
    asking.encode(['a'], blocking=False)
    asking.encode(['b', 'c'], blocking=False)
    listening.encode(['mine'], blocking=False)
    server.publish(*[server.result(request, vectors(request.texts)) for request in server.wait_for(3)])
    got = [next(heard).embedding.tolist() for _ in range(3)]
    assert sorted(got) == sorted(vectors(texts).tolist() for texts in (['a'], ['b', 'c'], ['mine']))
    np.testing.assert_array_equal(asking.fetch_all(concat=True), vectors(['a', 'b', 'c']))
    assert listening.fetch_all() is None


def test_a_clone_waits_for_its_own_and_keeps_the_rest_for_its_listener(server, connect):
    asking, listening = connect(server, identity=b'shared'), connect(server, identity=b'shared')
    asking.encode(['first'], blocking=False)
    heard = listening.listen()
    np.testing.assert_array_equal(next(heard).embedding, vectors(['first']))
    asking.encode(['second'])
    np.testing.assert_array_equal(listening.encode(['mine']), vectors(['mine']))
    np.testing.assert_array_equal(next(heard).embedding, vectors(['second']))


def test_errors_of_clones_are_theirs(server, connect):
    asking, listening = connect(server, identity=b'shared'), connect(server, identity=b'shared')
    server.script = lambda request: (
        [server.error(request, 'Bad', 'no')] if 'bad' in request.texts else server.answer(request)
    )
    with pytest.raises(ServerError):
        asking.encode(['bad'])
    asking.encode(['good'])
    np.testing.assert_array_equal(next(listening.listen()).embedding, vectors(['good']))


def test_listening_ends_with_the_client(server, connect):
    listening = connect(server, timeout=-1)
    got = []
    thread = threading.Thread(target=lambda: got.extend(listening.listen()))
    thread.start()
    listening.close()
    thread.join(20)
    assert not thread.is_alive()
    assert got == []


def test_listening_ends_with_the_timeout(connect, server):
    client = connect(server)
    client.timeout = 100
    with pytest.raises(bert_serving.client.TimeoutError):
        next(client.listen())


def test_two_clones_that_ask_at_once(server, connect):
    server.script = backwards(server, 2)
    clones = [connect(server, identity=b'shared') for _ in range(2)]
    answers = {}

    def ask(number):
        answers[number] = clones[number].encode(['%d' % number] * 2)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(2):
        np.testing.assert_array_equal(answers[number], vectors(['%d' % number] * 2))


def test_the_end_of_the_producer_comes_after_its_last_batch():
    producer = bert_serving.client._Producer([['a']], None, ring=lambda: None)
    assert not producer.has_ended
    producer._run()
    assert not producer.has_ended  # there is still one to be taken
    producer.batches.popleft()
    assert producer.has_ended
