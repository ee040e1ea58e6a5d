# -*- coding: utf-8 -*-
"""One test for each fault of the client 1.10, named after it, showing that it is gone."""

from __future__ import unicode_literals  # ruff format drops the u of a literal

import threading

import numpy as np
import pytest

import bert_serving.client
from bert_serving.client import ServerError
from support.scripted_server import vectors


def test_no_error_reply_leaves_the_client_waiting_for_ever(server, client):
    server.script = lambda request: [server.error(request, 'BadRequest', 'not fit to be encoded: \u00e4')]
    with pytest.raises(ServerError) as caught:
        client.encode(['a'])
    assert (caught.value.type, caught.value.message) == ('BadRequest', 'not fit to be encoded: \u00e4')
    assert caught.value.request_id == server.requests[0].id


def test_a_dead_server_leaves_the_client_waiting_for_ever(server, client):
    server.hold()
    threading.Thread(target=lambda: (server.wait_for(1), revive(server))).start()
    np.testing.assert_array_equal(client.encode(['a', 'b']), vectors(['a', 'b']))


def revive(server):
    server.stop()
    server.script = server.answer
    server.start()


def test_results_dropped_at_the_high_water_mark(server, client):
    number = 3000  # the high-water marks of both ends are 1000 by default, and the rest does not fit into TCP's buffers
    server.script = lambda request: [server.result(request, np.full((1, 2000), request.id % 1000, dtype=np.float32))]
    for _ in range(number):
        client.encode(['a'], blocking=False)
    ids = sorted(client.status['pending_request'])
    server.wait_until(lambda: server.num_published >= number)  # though nobody reads
    embeddings = client.fetch_all()
    assert [embedding[0, 0] for embedding in embeddings] == [request_id % 1000 for request_id in ids]


def test_late_subscribers_miss_their_results(make_server, connect):
    server = make_server()
    client = connect(server, ignore_all_checks=True)  # so the first request goes out as soon as it can
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))


def test_an_answer_under_the_exact_topic_of_a_short_identity_is_its_own(server, connect):
    client = connect(server, identity=b'anna')
    server.script = lambda request: [[b'anna' + 11 * b'\0' + b'\4'] + server.answer(request)[0][1:]]
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))


def test_subscribing_to_a_prefix_reads_another_ones_results(server, connect):
    longer = connect(server, identity=b'anna-maria')
    shorter = connect(server, identity=b'anna')
    heard = shorter.listen()
    server.hold()
    longer.encode(['theirs'], blocking=False)
    (request,) = server.wait_for(1)
    # as if by accident both had used one id
    shorter.encode(['mine'], blocking=False)
    mine = server.wait_for(2)[1]
    stolen = server.result(request, vectors(['theirs']))
    stolen[3] = b'%d' % mine.id
    server.publish(stolen)
    shorter.timeout = 300
    with pytest.raises(bert_serving.client.TimeoutError):
        next(heard)
    shorter.timeout = 20000
    server.publish(server.result(mine, vectors(['mine'])))
    np.testing.assert_array_equal(shorter.fetch_all()[0], vectors(['mine']))


def test_clones_that_all_start_at_1_take_each_others_answers(server, connect):
    clones = [connect(server, identity=b'clone') for _ in range(2)]
    questions = [['a', 'b'], ['c', 'd']]
    server.hold()
    for clone, texts in zip(clones, questions):
        clone.encode(texts, blocking=False)
    requests = server.wait_for(2)
    assert requests[0].id != requests[1].id
    server.publish(*[server.result(request, vectors(request.texts)) for request in reversed(requests)])
    for clone, texts in zip(clones, questions):
        np.testing.assert_array_equal(clone.fetch_all(concat=True), vectors(texts))


def test_a_blocking_encode_while_async_requests_are_pending_makes_a_later_fetch_wait_for_ever(server, client):
    waiting = []

    def first_ones_last(request):
        waiting.append(server.result(request, vectors(request.texts)))
        return list(reversed(waiting)) if request.texts == ['blocking'] else []

    server.script = first_ones_last
    client.encode(['one'], blocking=False)
    client.encode(['two'], blocking=False)
    np.testing.assert_array_equal(client.encode(['blocking']), vectors(['blocking']))
    fetched = list(client.fetch())
    assert [response.embedding.tolist() for response in sorted(fetched)] == [
        vectors(['one']).tolist(),
        vectors(['two']).tolist(),
    ]
    assert client.fetch_all() is None


def test_a_late_reply_after_a_timeout_is_a_key_error(server, client):
    server.hold()
    client.timeout = 100
    with pytest.raises(bert_serving.client.TimeoutError):
        client.encode(['late'])
    client.timeout = 20000
    assert client.status['num_pending_request'] == 0
    (late,) = server.wait_for(1)
    server.script = lambda request: [
        server.result(late, vectors(['late'])),
        server.result(request, vectors(request.texts)),
    ]
    client.encode(['next'], blocking=False)
    responses = list(client.fetch())
    assert [response.embedding.tolist() for response in responses] == [vectors(['next']).tolist()]


def test_encode_async_ends_early_when_the_producer_is_slower_than_delay(client):
    taken = threading.Semaphore(0)

    def slow():
        for number in range(4):
            yield ['batch %d' % number]
            taken.acquire()  # so nothing is pending when the next one comes

    numbers = []
    for response in client.encode_async(slow(), delay=0):
        numbers.append(response.embedding.tolist())
        taken.release()
    assert numbers == [vectors(['batch %d' % number]).tolist() for number in range(4)]


def test_on_python_2_7_a_timeout_is_a_name_error(server, client):
    server.hold()
    client.timeout = 50
    with pytest.raises(bert_serving.client.TimeoutError) as caught:
        client.encode(['a'])
    assert isinstance(caught.value, OSError)  # as the TimeoutError of Python 3 is
    assert '50 ms' in str(caught.value)
    assert str(server.port_out) in str(caught.value)


def test_fetch_waits_for_ever_whatever_the_timeout(server, client):
    server.hold()
    client.timeout = 100
    client.encode(['a'], blocking=False)
    for wait in (lambda: next(client.fetch()), client.fetch_all):
        with pytest.raises(bert_serving.client.TimeoutError):
            wait()
    client.timeout = 20000
    server.publish(server.result(server.wait_for(1)[0], vectors(['a'])))
    np.testing.assert_array_equal(client.fetch_all(concat=True), vectors(['a']))


def test_more_callers_than_connections_fail(server, pool, monkeypatch):
    monkeypatch.setattr(bert_serving.client, '_TICK_S', 60)  # so that whoever waits has to be woken
    server.hold()
    answers = {}

    def ask(name):
        answers[name] = pool.encode([name])

    threads = [threading.Thread(target=ask, args=('caller %d' % number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for number in range(5):
        request = server.wait_for(number + 1)[number]
        server.publish(server.result(request, vectors(request.texts)))
    for thread in threads:
        thread.join()
    assert sorted(answers) == ['caller %d' % number for number in range(5)]
    for name, answer in answers.items():
        np.testing.assert_array_equal(answer, vectors([name]))


def test_the_texts_of_the_caller_are_changed(client):
    texts = ['a', 'b']
    kinds = [type(text) for text in texts]
    client.encode(texts)
    assert [type(text) for text in texts] == kinds  # 1.10 made unicode of them, in the caller's list, on 2.7


def test_an_embedding_cannot_be_written_to(client):
    embedding = client.encode(['a'])
    embedding += 1
    np.testing.assert_array_equal(embedding, vectors(['a']) + 1)


def test_a_client_that_could_not_be_made_leaves_its_sockets_open(make_server, connect, monkeypatch):
    links = []
    original = bert_serving.client._Link
    monkeypatch.setattr(bert_serving.client, '_Link', lambda *args: links.append(original(*args)) or links[-1])
    with pytest.raises(AttributeError):
        connect(make_server(server_version='1.9.0'))
    assert links[0]._context.closed
