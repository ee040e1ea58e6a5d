"""The counts of the status outlive the children that have counted."""

from __future__ import annotations

from bert_serving.server.parent.counters import ChildCounters
from bert_serving.server.process.reports import Payload
from bert_serving.server.stats import WorkerTally


def heartbeat(rows: int) -> Payload:
    """A heartbeat of a worker that has computed one batch of so many rows."""
    tally = WorkerTally()
    tally.count_batch(rows, tokens=10 * rows, computed_tokens=20 * rows, seconds=0.5)
    return {'busy_s': 0.0, 'tally': tally.to_json()}


def test_the_rows_of_a_dead_worker_are_still_counted() -> None:
    counters = ChildCounters()
    counters.update_worker(0, heartbeat(rows=3))
    counters.update_worker(1, heartbeat(rows=4))
    assert counters.to_dict()['num_computed_row'] == 7
    counters.worker_lost(0)
    assert counters.to_dict()['num_computed_row'] == 7
    counters.update_worker(0, heartbeat(rows=2))
    assert counters.to_dict()['num_computed_row'] == 9, 'its successor counts from 0'


def test_the_rows_that_were_cut_by_living_and_dead_workers_are_counted() -> None:
    counters = ChildCounters()
    counters.update_worker(0, {'tally': WorkerTally(truncated_rows=2).to_json()})
    counters.worker_lost(0)
    counters.update_worker(0, {'tally': WorkerTally(truncated_rows=3).to_json()})
    assert (counters.truncated_rows, counters.to_dict()['num_truncated_row']) == (5, 5)


def test_a_worker_that_dies_before_its_first_heartbeat_has_counted_nothing() -> None:
    counters = ChildCounters()
    counters.update_worker(0, {})
    counters.worker_lost(0)
    assert counters.to_dict()['num_computed_row'] == 0


def test_the_replies_that_dead_sinks_discarded_are_still_counted() -> None:
    counters = ChildCounters()
    counters.update_sink({'given_up': 2})
    counters.update_sink({})
    assert counters.to_dict()['num_given_up_reply'] == 2
    counters.sink_lost()
    counters.update_sink({'given_up': 1})
    counters.sink_lost()
    assert counters.to_dict()['num_given_up_reply'] == 3


def test_the_readers_that_dead_sinks_have_cut_off_are_still_counted() -> None:
    counters = ChildCounters()
    counters.update_sink({'slow_readers': 2})
    counters.sink_lost()
    counters.update_sink({'slow_readers': 1})
    assert counters.to_dict()['num_slow_reader'] == 3


def test_what_the_audits_of_dead_sinks_have_counted_is_still_counted() -> None:
    counters = ChildCounters()
    assert counters.to_dict()['num_security_refused'] == 0
    counters.update_sink({'security': {'num_security_refused': 2}})
    counters.sink_lost()
    counters.update_sink({'security': {'num_security_refused': 1}})
    assert counters.to_dict()['num_security_refused'] == 3
    assert counters.to_dict()['num_security_quota'] == 0
