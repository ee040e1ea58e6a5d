"""AsyncBertClient: any number of tasks, one pair of connections."""

import asyncio
import gc
import pickle
import random
import threading

import numpy as np
import pytest
import zmq.auth

import bert_serving.client
from bert_serving.client import AuthenticationError, ServerError, SharedClientError, UnsupportedError
from bert_serving.client.aio import AsyncBertClient
from support.scripted_server import tokens_of, vectors

EXTENSIONS = [
    'options',
    'token_ids',
    'cancel',
    'prompt_name',
    'prompt',
    'normalize',
    'dimensions',
    'dtype',
    'truncate',
    'pairs',
    'raw',
    'offsets',
    'decode',
]


def run(server, use, **arguments):
    """Run ``use(client)``, a coroutine, in a new event loop."""
    arguments.setdefault('timeout', 20000)

    async def main():
        async with AsyncBertClient('127.0.0.1', server.port, server.port_out, **arguments) as client:
            return await use(client)

    return asyncio.run(asyncio.wait_for(main(), 60))


async def until(condition):
    """Wait for a condition, and let other tasks run meanwhile."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError('the condition did not come true within 20 s')


@pytest.fixture
def extended(make_server):
    """A server that says how many rows it got with which options: a score a row."""
    server = make_server(
        extensions=EXTENSIONS, model={'task': 'rerank', 'prompts': {'query': 'query: ', 'passage': 'passage: '}}
    )
    server.script = lambda request: [
        server.result(
            request,
            np.array([[len(str(row))] for row in request.texts], np.float32),
            tokens=[[' '.join(map(str, row))] for row in request.texts]
            if (request.options or {}).get('decode')
            else '',
            token_counts=[3] * request.rows,
        )
    ]
    return server


# answers


def test_tasks_get_their_own_answers_over_one_pair_of_connections(server):
    async def use(client):
        texts = [['task %d' % number] * (1 + number % 3) for number in range(300)]
        answers = await asyncio.gather(*(client.encode(each) for each in texts))
        for each, answer in zip(texts, answers):
            np.testing.assert_array_equal(answer, vectors(each))
        assert client.status['num_pending_request'] == 0
        assert client.is_connected

    run(server, use)
    assert len(server.questions) == 1  # one connection, asked once
    assert len({request.identity for request in server.requests}) == 1
    assert len({request.id for request in server.requests}) == 300


def test_answers_come_in_any_order(server):
    async def use(client):
        server.hold()
        tasks = [asyncio.ensure_future(client.encode(['task %d' % number])) for number in range(10)]
        await until(lambda: len(server.requests) == 10)
        for request in random.Random(1).sample(server.requests, 10):
            server.publish(*server.answer(request))
        for number, answer in enumerate(await asyncio.gather(*tasks)):
            np.testing.assert_array_equal(answer, vectors(['task %d' % number]))

    run(server, use)


def test_a_large_input_is_sent_as_several_requests_and_joined(server, monkeypatch):
    monkeypatch.setattr(bert_serving.client, '_CHUNK_ROWS', 8)
    texts = ['text %d' % number for number in range(100)]
    np.testing.assert_array_equal(run(server, lambda client: client.encode(texts)), vectors(texts))
    assert len(server.requests) == 13


def test_what_encode_returns_is_what_the_blocking_client_returns(server):
    async def use(client):
        array, tokens = await client.encode(['a b'], show_tokens=True)
        assert tokens == tokens_of(['a b'])
        array[0] = 0  # it can be written to
        return await client.encode([['a', 'b']], is_tokenized=True)

    np.testing.assert_array_equal(run(server, use), vectors([['a', 'b']]))
    assert run(server, lambda client: client.encode(['a']), output_fmt='list') == vectors(['a']).tolist()


@pytest.mark.parametrize(
    ('texts', 'error'), [([], ValueError), ('a', TypeError), (['a', ' '], ValueError), ([1], TypeError)]
)
def test_wrong_texts_are_refused_before_they_are_sent(server, texts, error):
    with pytest.raises(error):
        run(server, lambda client: client.encode(texts))
    assert not server.requests


def test_an_error_of_the_server_reaches_its_task_alone(server):
    async def use(client):
        server.script = lambda request: (
            [server.error(request, 'Busy', 'too much')] if request.texts == ['bad'] else server.answer(request)
        )
        bad, good = await asyncio.gather(client.encode(['bad']), client.encode(['good']), return_exceptions=True)
        assert isinstance(bad, ServerError)
        assert bad.type == 'Busy'
        np.testing.assert_array_equal(good, vectors(['good']))

    run(server, use)


# options and the other methods


def test_options_go_with_the_request(extended):
    async def use(client):
        await client.encode(['a'], normalize=True, dimensions=2, dtype='int8', truncate='left', prompt='p: ')

    run(extended, use, timeout=-1)
    assert extended.requests[0].options == {
        'normalize': True, 'dimensions': 2, 'dtype': 'int8', 'truncate': 'left', 'prompt': 'p: '
    }  # fmt: skip


def test_queries_and_documents_get_the_prompts_of_the_model(extended):
    async def use(client):
        await client.encode_query(['a'])
        await client.encode_document(['a'])

    run(extended, use, timeout=-1)
    assert [request.options for request in extended.requests] == [{'prompt_name': 'query'}, {'prompt_name': 'passage'}]


def test_predict_and_rerank(extended):
    async def use(client):
        scores = await client.predict([['q', 'a'], ('q', 'a longer one')])
        assert scores.shape == (2,)
        assert await client.rerank('q', ['a', 'the longest', 'b'], top_n=2) == [(1, 20.0), (0, 10.0)]
        with pytest.raises(ValueError, match='top_n'):
            await client.rerank('q', ['a'], top_n=0)

    run(extended, use)
    assert extended.requests[0].texts == [['q', 'a'], ['q', 'a longer one']]
    assert extended.requests[0].options['pairs'] is True


def test_details_tokens_and_descriptions(extended):
    async def use(client):
        assert (await client.encode_with_details(['a'])).token_counts == [3]
        assert (await client.encode_with_details([[7, 8]], token_ids=True)).token_counts == [3]
        await client.tokenize(['a'])
        await client.tokenize(['a'], offsets=True)
        assert await client.decode([[7, 8]]) == ['7 8']
        assert (await client.predict_with_details([['a', 'b']])).token_counts == [3]
        assert (await client.model)['task'] == 'rerank'
        assert (await client.server_config)['server_version'] == '1.10.0'
        assert (await client.server_status)['statistic'] == {'num_data_request': 6}

    run(extended, use, timeout=-1)
    assert [request.options for request in extended.requests] == [
        {'token_counts': True},
        {'token_counts': True},
        {'tokenize': True},
        {'tokenize': True, 'offsets': True},
        {'tokenize': True, 'decode': True},
        {'token_counts': True, 'pairs': True, 'raw': False},
    ]


def test_an_old_server_is_asked_for_nothing_new(server):
    async def use(client):
        for call in (
            client.encode(['a'], normalize=True),
            client.encode_query(['a']),
            client.predict(['a']),
            client.model,
        ):
            with pytest.raises(UnsupportedError):
                await call
        np.testing.assert_array_equal(await client.encode(['a']), vectors(['a']))

    run(server, use)
    assert len(server.requests) == 1


@pytest.mark.parametrize('is_async', [False, True])
def test_a_stream_of_batches(server, is_async):
    sent = [['batch %d' % number] * 2 for number in range(40)]

    async def batches():
        for batch in sent:
            yield batch

    async def use(client):
        return [response async for response in client.encode_async(batches() if is_async else iter(sent))]

    responses = sorted(run(server, use))
    assert len(responses) == 40
    for response, batch in zip(responses, sent):
        np.testing.assert_array_equal(response.embedding, vectors(batch))


def test_an_error_of_the_producer_comes_after_the_results_of_its_batches(server):
    def batches():
        yield ['a']
        yield ['b']
        raise KeyError('c')

    async def use(client):
        responses = client.encode_async(batches())
        assert [(await responses.__anext__()).shape for _ in range(2)] == [(1, 5)] * 2
        with pytest.raises(KeyError):
            await responses.__anext__()

    run(server, use)


@pytest.mark.parametrize(
    'call',
    [lambda client: client.fetch(), lambda client: client.fetch_all(), lambda client: client.listen()],
)
def test_what_tasks_are_for_is_not_implemented(server, call):
    async def use(client):
        with pytest.raises(NotImplementedError):
            call(client)
        with pytest.raises(NotImplementedError):
            await client.encode(['a'], blocking=False)

    run(server, use)


# cancelling, time, and the bound on what is pending


def test_cancelling_a_task_cancels_its_request_at_the_server(extended):
    async def use(client):
        extended.hold()
        tasks = [asyncio.ensure_future(client.encode(['task %d' % number])) for number in range(20)]
        await until(lambda: len(extended.requests) == 20)
        for task in tasks[::2]:
            task.cancel()
        await until(lambda: len(extended.cancelled) == 10)
        extended.publish(
            *(extended.result(request, vectors(request.texts), tokens='') for request in extended.requests)
        )
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for number, result in enumerate(results):
            if number % 2:
                np.testing.assert_array_equal(result, vectors(['task %d' % number]))
            else:
                assert isinstance(result, asyncio.CancelledError)
        assert client.status['num_pending_request'] == 0

    run(extended, use)
    texts = {request.id: request.texts for request in extended.requests}
    assert {texts[each][0] for each in extended.cancelled} == {'task %d' % number for number in range(0, 20, 2)}


def test_a_timeout_ends_the_call_and_leaves_nothing_pending(server):
    async def use(client):
        server.hold()
        client.timeout = 200
        with pytest.raises(TimeoutError, match='"timeout"=200 ms'):
            await client.encode(['a'])
        await until(lambda: client.status['num_pending_request'] == 0)
        server.script = server.answer
        client.timeout = 20000
        np.testing.assert_array_equal(await client.encode(['b']), vectors(['b']))

    run(server, use)


def test_no_more_rows_are_pending_than_the_bound_and_those_who_wait_get_in_in_turn(server):
    most = 0

    async def use(client):
        nonlocal most
        server.hold()
        tasks = [asyncio.ensure_future(client.encode(['task %d' % number] * 3)) for number in range(20)]
        for number in range(20):
            await until(lambda number=number: len(server.requests) > number)
            await asyncio.sleep(0.01)  # time for one too many
            most = max(most, len(server.requests) - number)
            server.publish(*server.answer(server.requests[number]))
        await asyncio.gather(*tasks)

    run(server, use, max_pending_rows=10)
    assert most == 3
    assert [request.texts[0] for request in server.requests] == ['task %d' % number for number in range(20)]


def test_a_request_above_the_bound_is_sent_alone_and_a_cancelled_waiter_takes_no_room(server):
    async def use(client):
        server.hold()
        large = asyncio.ensure_future(client.encode(['large'] * 50))
        await until(lambda: len(server.requests) == 1)
        waiter = asyncio.ensure_future(client.encode(['never sent']))
        other = asyncio.ensure_future(client.encode(['other']))
        await asyncio.sleep(0.05)
        waiter.cancel()
        server.publish(*server.answer(server.requests[0]))
        server.script = server.answer
        assert (await large).shape[0] == 50
        await other
        await client.encode(['last'])

    run(server, use, max_pending_rows=10)
    assert [request.texts[0] for request in server.requests] == ['large', 'other', 'last']


# connections


def test_pending_requests_are_sent_again_to_a_restarted_server(server):
    async def use(client):
        server.hold()
        tasks = [asyncio.ensure_future(client.encode(['task %d' % number])) for number in range(30)]
        await until(lambda: len(server.requests) == 30)
        server.script = server.answer
        await asyncio.get_running_loop().run_in_executor(None, server.restart)
        for number, answer in enumerate(await asyncio.gather(*tasks)):
            np.testing.assert_array_equal(answer, vectors(['task %d' % number]))

    run(server, use)


def test_a_restarted_server_that_is_older_gets_no_options(extended):
    async def use(client):
        extended.hold()
        plain, wishful = (asyncio.ensure_future(client.encode(['a'], **each)) for each in ({}, {'normalize': True}))
        await until(lambda: len(extended.requests) == 2)
        extended.config['extensions'] = []
        extended.script = extended.answer
        await asyncio.get_running_loop().run_in_executor(None, extended.restart)
        np.testing.assert_array_equal(await plain, vectors(['a']))
        with pytest.raises(UnsupportedError, match='normalize'):
            await wishful

    run(extended, use)
    assert len(extended.requests) == 3


def test_a_client_connects_at_its_first_call_and_checks_the_protocol(server):
    async def main():
        client = AsyncBertClient('127.0.0.1', server.port, server.port_out, timeout=20000)
        assert client.status['num_request'] == 0
        assert not client.is_connected
        with pytest.raises(AttributeError, match='version mismatch'):
            await client.encode(['a'])
        await client.close()

    server.config['server_version'] = '1.9.0'
    asyncio.run(main())
    assert not server.requests


def test_a_server_that_is_not_there_is_a_timeout_that_says_so(server):
    server.stop()
    with pytest.raises(TimeoutError, match='no connection to'):
        run(server, lambda client: client.encode(['a']), timeout=300)


def test_close_ends_pending_calls_and_can_be_called_twice(server):
    async def use(client):
        server.hold()
        tasks = [asyncio.ensure_future(client.encode(['a'])) for _ in range(3)]
        await until(lambda: len(server.requests) == 3)
        await client.close()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert str(result) == 'this client is closed'
        await client.close()
        with pytest.raises(RuntimeError, match='closed'):
            await client.encode(['a'])

    run(server, use)


def test_a_client_outlives_its_event_loop_but_never_has_two(server):
    client = AsyncBertClient('127.0.0.1', server.port, server.port_out, timeout=20000)
    for _ in range(2):
        np.testing.assert_array_equal(asyncio.run(client.encode(['a'])), vectors(['a']))

    loops = [asyncio.new_event_loop() for _ in range(2)]
    loops[0].run_until_complete(client.encode(['a']))
    with pytest.raises(SharedClientError, match='another event loop'):
        loops[1].run_until_complete(client.encode(['a']))
    loops[0].run_until_complete(client.close())
    for loop in loops:
        loop.close()


def test_a_forgotten_client_ends_its_thread(server):
    def drivers():
        return [thread for thread in threading.enumerate() if thread.name == 'bert-client-driver']

    async def main():
        client = AsyncBertClient('127.0.0.1', server.port, server.port_out, timeout=20000)
        await client.encode(['a'])
        assert drivers()
        del client
        gc.collect()
        await until(lambda: not drivers())

    asyncio.run(main())


def test_it_cannot_be_pickled(server):
    with pytest.raises(TypeError, match='cannot be pickled'):
        pickle.dumps(AsyncBertClient())


@pytest.mark.parametrize(
    ('arguments', 'error'),
    [
        ({'port': 0}, ValueError),
        ({'output_fmt': 'numpy'}, AttributeError),
        ({'timeout': 'soon'}, ValueError),
        ({'max_pending_rows': 0}, ValueError),
        ({'ip': ''}, ValueError),
    ],
)
def test_wrong_arguments_are_refused_at_once(arguments, error):
    with pytest.raises(error):
        AsyncBertClient(**arguments)


def test_a_task_with_keys_is_served_and_one_without_is_told_so(tmpdir, make_server):
    folder = str(tmpdir.mkdir('clients'))
    _, server_file = zmq.auth.create_certificates(str(tmpdir), 'server')
    _, own_file = zmq.auth.create_certificates(folder, 'alice')
    guarded = make_server(curve=(server_file, folder))

    async def use(client):
        return (await client.encode(['a'])).shape

    assert run(guarded, use, server_key=server_file, key_file=own_file) == (1, 5)
    assert guarded.requests[0].identity.startswith(b'alice.')
    with pytest.raises(AuthenticationError, match='accepts only clients with a key'):
        run(guarded, use)
    _, unknown_file = zmq.auth.create_certificates(str(tmpdir), 'eve')
    with pytest.raises(AuthenticationError, match='does not know the key'):
        run(guarded, use, server_key=server_file, key_file=unknown_file, ignore_all_checks=True)
