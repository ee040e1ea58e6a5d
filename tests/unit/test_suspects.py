"""One request cannot kill the sink again and again: those whose parts it had begin again one at a time."""

from __future__ import annotations

from bert_serving.server.protocol.ring import Collected, Published, Refuse, Register
from bert_serving.server.ventilator.events import SendJob, SinkLost, SinkReady
from bert_serving.server.ventilator.scheduler import Scheduler
from support.scheduling import a_request, a_scheduler, jobs_in, messages_in


def lose_the_sink(scheduler: Scheduler) -> list[SendJob]:
    jobs = jobs_in(scheduler.handle(SinkLost(), 0))
    jobs += jobs_in(scheduler.handle(SinkReady(), 0))
    scheduler.check_invariants()
    return jobs


def collect(scheduler: Scheduler, job: SendJob) -> list[SendJob]:
    header = job.job.header
    collected = Collected(job.worker, header.request.number, header.part, header.attempt)
    more = jobs_in(scheduler.handle(collected, 0))
    scheduler.check_invariants()
    return more


def numbers_of(jobs: list[SendJob]) -> list[int]:
    return [action.job.header.request.number for action in jobs]


def two_requests_in_the_sink() -> Scheduler:
    """A part of each of two requests has reached the sink."""
    scheduler = a_scheduler(workers=4)
    for request_id in (1, 2):
        for job in jobs_in(scheduler.handle(a_request(16, request_id, b'client%d' % request_id), 0))[:1]:
            collect(scheduler, job)
    return scheduler


def test_suspects_begin_again_one_at_a_time_and_others_at_once() -> None:
    scheduler = two_requests_in_the_sink()
    again = lose_the_sink(scheduler)
    assert numbers_of(again) == [1, 1]
    assert scheduler.gauge()['queue_rows'] == 16
    assert scheduler.gauge()['queue_requests'] == 1
    assert scheduler.story(2)[-1].endswith('suspect')
    innocent = jobs_in(scheduler.handle(a_request(1, 3, b'innocent'), 0))
    assert numbers_of(innocent) == [3]
    assert collect(scheduler, again[0]) == []
    assert numbers_of(collect(scheduler, again[1])) == [2, 2], 'the sink has joined the first, and lives'
    assert scheduler.gauge()['queue_rows'] == 0


def test_a_request_that_kills_two_sinks_alone_is_answered_with_an_error_and_the_others_are_served() -> None:
    scheduler = two_requests_in_the_sink()
    collect(scheduler, lose_the_sink(scheduler)[0])  # the first is on trial
    again = lose_the_sink(scheduler)
    assert numbers_of(again) == [2, 2], 'after a strike it waits behind the other'
    collect(scheduler, again[0])
    again = collect(scheduler, again[1])
    assert numbers_of(again) == [1, 1]
    collect(scheduler, again[0])
    actions = scheduler.handle(SinkLost(), 0)
    (refusal,) = [message for message in messages_in(actions) if isinstance(message, Refuse)]
    assert (refusal.number, refusal.error.type) == (1, 'PoisonedRequest')
    assert 'split it' in refusal.error.message
    assert numbers_of(jobs_in(actions)) == [2, 2], 'whose answer nobody had read'
    assert scheduler.outcomes.poisoned == 1
    scheduler.handle(Published(1, False), 0)
    assert scheduler.unanswered == 1


def test_the_only_request_in_two_sinks_that_died_has_killed_them() -> None:
    scheduler = a_scheduler()
    collect(scheduler, jobs_in(scheduler.handle(a_request(16), 0))[0])
    again = lose_the_sink(scheduler)
    assert numbers_of(again) == [1, 1]
    collect(scheduler, again[0])
    (refusal,) = messages_in(scheduler.handle(SinkLost(), 0))
    assert isinstance(refusal, Refuse)


def test_a_reply_that_only_waits_for_its_reader_has_killed_nobody() -> None:
    scheduler = a_scheduler()
    again = jobs_in(scheduler.handle(a_request(8), 0))
    for _ in range(4):
        collect(scheduler, again[0])
        again = lose_the_sink(scheduler)
    assert scheduler.outcomes.poisoned == 0
    assert numbers_of(again) == [1]


def test_a_request_whose_only_part_kills_every_sink_at_once_is_found_too() -> None:
    """No report of such a part comes, so it is suspect from the second death on."""
    scheduler = a_scheduler(workers=4)
    scheduler.handle(a_request(8), 0)
    scheduler.handle(a_request(16, 2, b'other'), 0)
    assert numbers_of(lose_the_sink(scheduler)) == [1, 2, 2]
    assert numbers_of(lose_the_sink(scheduler)) == [1], 'both are suspect'
    assert numbers_of(lose_the_sink(scheduler)) == [2, 2], 'the first has a strike'
    for part in (0, 1):
        again = jobs_in(scheduler.handle(Collected(0, 2, part, 2), 0))
    assert numbers_of(again) == [1]
    refusal = messages_in(scheduler.handle(SinkLost(), 0))[0]
    assert isinstance(refusal, Refuse)
    assert refusal.number == 1


def test_a_sink_that_dies_before_it_is_ready_was_killed_by_nobody() -> None:
    scheduler = two_requests_in_the_sink()
    again = jobs_in(scheduler.handle(SinkLost(), 0))
    for _ in range(5):
        again = jobs_in(scheduler.handle(SinkLost(), 0))
        assert len(set(numbers_of(again))) == 1
    assert scheduler.outcomes.poisoned == 0
    scheduler.check_invariants()


def test_a_suspect_that_is_answered_or_cancelled_makes_room_for_the_next() -> None:
    scheduler = two_requests_in_the_sink()
    lose_the_sink(scheduler)
    assert numbers_of(jobs_in(scheduler.handle(Published(1, False), 0))) == [2, 2]


def test_a_suspect_that_waits_is_registered_and_forgotten_like_any_other() -> None:
    scheduler = two_requests_in_the_sink()
    registered = messages_in(scheduler.handle(SinkLost(), 0))
    assert [message.request.number for message in registered if isinstance(message, Register)] == [1, 2]
    scheduler.handle(Published(2, False), 0)
    assert scheduler.gauge()['unfinished_requests'] == 1
    scheduler.check_invariants()


def test_parts_that_come_late_to_a_suspect_are_not_computed_again() -> None:
    scheduler = two_requests_in_the_sink()
    again = lose_the_sink(scheduler)
    for part in (0, 1):
        scheduler.handle(Collected(0, 2, part, 0), 0)
        scheduler.check_invariants()
    for job in again:
        assert collect(scheduler, job) == []
    assert scheduler.gauge()['queue_rows'] == 0
