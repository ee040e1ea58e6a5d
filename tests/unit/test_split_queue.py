"""Large requests are split by turns of their owners."""

from __future__ import annotations

import pytest

from bert_serving.server.ventilator.split_queue import SplitQueue


def test_owners_take_turns_and_the_requests_of_one_are_split_in_order() -> None:
    queue = SplitQueue()
    for owner, number in ((b'a', 1), (b'a', 2), (b'b', 3)):
        queue.add(owner, number, iter([]))
    queue.check()
    assert [queue.take_turn()[0] for _ in range(4)] == [1, 3, 1, 3]
    queue.discard(1)
    queue.discard(7)
    queue.check()
    assert [queue.take_turn()[0] for _ in range(4)] == [2, 3, 2, 3]
    queue.discard(3)
    queue.discard(2)
    queue.check()
    assert not queue
    with pytest.raises(StopIteration):
        queue.take_turn()
