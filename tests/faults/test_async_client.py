"""A thousand tasks of one AsyncBertClient while they are cancelled and the server's children are killed."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal

from bert_serving.client import BertClient
from bert_serving.client.aio import AsyncBertClient
from faults.chaos import Material, Question
from support.processes import SINK, WORKER, children_of, fake_server, memory_of, send
from support.serving import ServerProcess, connect
from support.waiting import wait_until

TASKS = int(os.environ.get('ASYNC_TASKS', '1000'))
MOST_ROWS = 20
MOST_GROWTH = 20 << 20
"""Bytes that the process of the client may have grown by: the answers of all tasks at once have a fraction of that."""

WORDS = 'the of and in to was he is as for on with that it his by at from her she you had an were but be this'.split()


async def ask(client: AsyncBertClient, question: Question) -> bool:
    return question.is_answered_by(await client.encode(list(question.texts)))


async def ask_all(client: AsyncBertClient, server: ServerProcess, questions: list[Question], seed: int) -> list[object]:
    """Ask all at once, cancel a third at random, and kill two workers and the sink; the outcome of each task."""
    dice = random.Random(seed)
    tasks = [asyncio.ensure_future(ask(client, question)) for question in questions]
    to_cancel = dice.sample(tasks, TASKS // 3)
    victims = [WORKER, SINK, WORKER]
    while to_cancel:
        for task in to_cancel[: TASKS // 30]:
            task.cancel()
        del to_cancel[: TASKS // 30]
        if victims and len(to_cancel) % (TASKS // 10) < TASKS // 30:
            send(dice.choice(children_of(server, victims.pop())), signal.SIGKILL)
        await asyncio.sleep(dice.random() * 0.1)
    assert not victims
    return await asyncio.gather(*tasks, return_exceptions=True)


def nothing_is_left(client: BertClient) -> bool:
    statistic = client.server_status['statistic']
    return not statistic['unfinished_requests'] and not statistic['queue_rows']


def test_each_task_that_is_not_cancelled_gets_its_answer_and_nothing_is_left_at_the_server() -> None:
    with fake_server('-num_worker', '3', '-max_batch_size', '16', FAKE_WORKER_SECONDS='0.02') as server:
        server.wait_until_ready()
        material = Material(server, WORDS)

        async def main() -> None:
            client = AsyncBertClient(port=server.port, port_out=server.port_out, timeout=120_000, check_length=False)
            async with client:
                sizes = []
                for seed in range(3):
                    questions = list(material.questions(seed, TASKS, MOST_ROWS))
                    outcomes = await ask_all(client, server, questions, seed)
                    answered = sum(outcome is True for outcome in outcomes)
                    cancelled = sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
                    assert answered + cancelled == TASKS, [each for each in outcomes if each is not True][:20]
                    assert answered >= TASKS - TASKS // 3
                    assert cancelled > TASKS // 10, 'the tasks were too quick to be cancelled'
                    assert client.status['num_pending_request'] == 0
                    gc.collect()
                    sizes.append(memory_of(os.getpid()))
                print(
                    '\nasync client: answered %d, cancelled %d in the last round; sizes %s'
                    % (answered, cancelled, sizes)
                )
                assert sizes[-1] - sizes[0] < MOST_GROWTH

        asyncio.run(main())
        with connect(server) as observer:
            wait_until(lambda: nothing_is_left(observer))
        assert server.stop() == 0
        assert 'Traceback' not in server.log
