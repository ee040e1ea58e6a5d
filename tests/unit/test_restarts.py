"""After which pause a child is started again, and when no more."""

from __future__ import annotations

from bert_serving.server.process.restarts import RestartPolicy, Restarts

POLICY = RestartPolicy(first_pause_s=0.5, longest_pause_s=3.0, recovered_after_s=10.0, max_failed_starts=3)


def test_a_child_that_had_been_ready_is_started_again_at_once() -> None:
    restarts = Restarts(POLICY)
    assert not restarts.was_ready
    restarts.became_ready(now=5)
    assert restarts.died(now=6) == 0
    assert restarts.was_ready
    assert restarts.count == 1


def test_one_that_dies_again_and_again_waits_twice_as_long_each_time_up_to_a_bound() -> None:
    restarts = Restarts(POLICY)
    pauses = []
    for now in range(6):
        restarts.became_ready(now)
        pauses.append(restarts.died(now + 0.5))
    assert pauses == [0, 0.5, 1, 2, 3, 3]


def test_one_that_has_been_ready_for_long_has_recovered() -> None:
    restarts = Restarts(POLICY)
    for now in range(3):
        restarts.became_ready(now)
        restarts.died(now)
    restarts.became_ready(20)
    assert restarts.died(30) == 0
    assert restarts.count == 4


def test_one_that_never_becomes_ready_is_given_up_after_so_many_starts() -> None:
    restarts = Restarts(POLICY)
    assert [restarts.died(now) for now in range(3)] == [0, 0.5, None]
    assert restarts.count == 2, 'the last start was not one after a death'


def test_failed_starts_are_counted_anew_once_one_was_ready() -> None:
    restarts = Restarts(POLICY)
    restarts.died(0)
    restarts.died(1)
    restarts.became_ready(2)
    assert restarts.died(3) is not None
    assert [restarts.died(now) is None for now in (4, 5, 6)] == [False, False, False]
    assert restarts.died(64) is None, 'what had been ready once is given up only after a minute'


def test_a_thousand_deaths_in_a_row_are_no_fault_of_ours() -> None:
    restarts = Restarts(POLICY)
    for _ in range(5000):
        restarts.became_ready(0)
        assert restarts.died(1) is not None
