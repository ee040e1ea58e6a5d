"""Load on a server whose workers run on a cluster, while the cluster changes under it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from bert_serving.server import BertServer
from faults.chaos import Ask, Material, Outcome, ask_all, ask_in_a_stream, ask_one_by_one
from support.waiting import wait_until

WORDS = 'the quick brown fox jumps over a lazy dog in the garden of its house while it rains there'.split()

READY, WAITING = 'ready', 'waiting'


def states_of(server: BertServer) -> list[str]:
    """The states of the workers, in the order of their numbers."""
    return [slot.state.value for slot in server._children.workers.values()]


def wait_for_workers(server: BertServer, ready: int, waiting: int = 0) -> None:
    """Wait until so many workers are ready, and so many wait for room."""
    wait_until(lambda: (states_of(server).count(READY), states_of(server).count(WAITING)) == (ready, waiting), 120)


def ask_while(
    server: BertServer, material: Material, requests: int, clients: int, changes: Sequence[Callable[[], None]]
) -> Outcome:
    """Have clients ask, half of them in streams, and make each of the `changes` when its share is answered.

    The changes are made by the calling thread: Ray starts nodes in the main thread alone.
    """
    before = server._ventilator.outcomes.published
    asks: list[Ask] = [ask_in_a_stream if number % 2 else ask_one_by_one for number in range(clients)]
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(ask_all, server, material, requests, asks, most_rows=40)
        for number, change in enumerate(changes):
            due = before + requests * (number + 1) // (len(changes) + 2)
            wait_until(partial(_is_due, server, answers, due), 600)
            change()
        return answers.result()


def _is_due(server: BertServer, answers: Future[Outcome], due: int) -> bool:
    return answers.done() or server._ventilator.outcomes.published >= due
