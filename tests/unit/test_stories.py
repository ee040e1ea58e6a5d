"""The story of a request with an unusual event: in order, bounded, and kept until the next event after its end."""

from __future__ import annotations

import pytest

from bert_serving.server.protocol.ring import ClientGone, Collected, Published, RequestRef
from bert_serving.server.protocol.wire import CancelRequest
from bert_serving.server.ventilator.events import SinkLost, SinkReady, Tick, WorkerLost, WorkerReady
from bert_serving.server.ventilator.invariants import InvariantError
from bert_serving.server.ventilator.scheduler import Scheduler
from bert_serving.server.ventilator.stories import MAX_EVENTS, MAX_FINISHED, Story
from support.scheduling import LIMITS, a_request, a_scheduler

REF = RequestRef(1, b'me\n', b'7', 3, 9)


def test_a_story_begins_with_who_asked_for_what() -> None:
    assert Story(REF, 10.0).tell() == ['0.000 s: accepted id=7 client=me\\x0a rows=9 parts=3']


def test_a_long_story_keeps_its_beginning_and_its_end() -> None:
    story = Story(REF, 10.0)
    for event in range(1, 1000):
        story.add(10.0 + event, 'event %d' % event)
    lines = story.tell()
    assert len(lines) == MAX_EVENTS + 1
    assert lines[1] == '1.000 s: event 1'
    assert lines[MAX_EVENTS // 2] == '(%d events left out)' % (1000 - MAX_EVENTS)
    assert lines[-1] == '999.000 s: event 999'


def test_the_story_of_a_poisoned_request_says_which_workers_it_killed_and_when() -> None:
    scheduler = Scheduler(LIMITS)
    for worker, now in ((0, 1.0), (1, 2.0), (2, 3.0)):
        scheduler.handle(WorkerReady(worker), now)
        if worker == 0:
            scheduler.handle(a_request(3), now)
        scheduler.handle(WorkerLost(worker), now + 0.5)
    told = scheduler.story(1)
    assert told == [
        '0.000 s: accepted id=1 client=client rows=3 parts=1',
        '0.500 s: lost part=0 attempt=0 worker=0 alone=False',
        '1.000 s: handed out part=0 attempt=1 worker=1',
        '1.500 s: lost part=0 attempt=1 worker=1 alone=True',
        '2.000 s: handed out part=0 attempt=2 worker=2',
        '2.500 s: lost part=0 attempt=2 worker=2 alone=True',
        '2.500 s: refused type=PoisonedRequest',
        'now: waiting=[] quarantined=[] with_worker={} collected=[]',
    ]
    scheduler.handle(Published(1, False), 9.0)
    assert scheduler.story(1) == [*told[:-1], '8.000 s: published answered=False']
    assert scheduler.finished_stories() == {1: scheduler.story(1)}


def test_the_story_of_a_request_that_survives_the_sink_goes_on_to_its_answer() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(10), 0.0)
    scheduler.handle(Collected(0, 1, 1, 0), 1.0)
    scheduler.handle(SinkLost(), 2.0)
    scheduler.handle(SinkReady(), 2.5)
    scheduler.handle(a_request(10), 2.75)
    for part in (0, 1):
        scheduler.handle(Collected(0, 1, part, 1), 3.0)
    scheduler.handle(Published(1, True), 4.0)
    assert scheduler.story(1) == [
        '0.000 s: accepted id=1 client=client rows=10 parts=2',
        '2.000 s: was alone in the sink that died',
        '2.000 s: began again: the sink was lost collected=1',
        '2.000 s: handed out part=1 attempt=1 worker=0',
        '2.000 s: handed out part=0 attempt=1 worker=0',
        '2.750 s: came again',
        '3.000 s: collected part=0 attempt=1 worker=0',
        '3.000 s: collected part=1 attempt=1 worker=0',
        '4.000 s: published answered=True',
    ]


@pytest.mark.parametrize(
    ('event', 'says'),
    [
        (CancelRequest(b'client', b'1'), '1.000 s: cancelled'),
        (ClientGone(b'client', 0.5), '1.000 s: dropped: its client has been away for 0.5 s'),
        (Tick(), '1.000 s: refused type=DeadlineExceeded'),
    ],
)
def test_the_story_of_a_request_that_is_not_computed_says_why(
    event: CancelRequest | ClientGone | Tick, says: str
) -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(1, deadline_ms=1000), 0.0)
    scheduler.handle(event, 1.0)
    assert says in scheduler.story(1)


def test_a_request_that_meets_nothing_unusual_is_found_while_it_lasts_and_leaves_no_story() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(34), 0.0)
    scheduler.handle(Collected(0, 1, 4, 0), 1.0)
    assert scheduler.story(1) == [
        '0.000 s: accepted id=1 client=client rows=34 parts=5',
        'now: waiting=[2, 3] quarantined=[] with_worker={0: 0, 1: 0} collected=[4]',
    ]
    scheduler.handle(Published(1, True), 2.0)
    assert scheduler.story(1) == []
    assert scheduler.finished_stories() == {}


def test_the_stories_of_finished_requests_are_bounded() -> None:
    scheduler = Scheduler(LIMITS)
    for _ in range(MAX_FINISHED + 2):
        scheduler.handle(a_request(1), 0.0)
        scheduler.handle(SinkLost(), 0.0)
    scheduler.handle(CancelRequest(b'client', b'1'), 0.0)
    assert 0 < len(scheduler.finished_stories()) <= MAX_FINISHED


def test_the_stories_of_finished_requests_are_kept_until_the_next_event() -> None:
    """The stories of a flood would be scattered over the memory that it took, and keep all of that memory."""
    scheduler = Scheduler(LIMITS)
    for request_id in (1, 2):
        scheduler.handle(a_request(1, request_id), 0.0)
    for request_id in (1, 2):
        scheduler.handle(CancelRequest(b'client', b'%d' % request_id), 0.0)
        assert list(scheduler.finished_stories()) == [request_id]
    scheduler.handle(Tick(), 0.0)
    assert scheduler.finished_stories() == {}


def test_a_broken_invariant_tells_the_story_of_the_request_that_shows_it() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(8), 0.0)
    scheduler._workers[0].forget_all()
    with pytest.raises(InvariantError, match=r'a job is nowhere: request 1\n  0\.000 s: accepted id=1 client=client'):
        scheduler.check_invariants()
