"""Principals: whose an identity is, what each gets of the workers, and what it may have at a time."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.errors import QuotaExceeded
from bert_serving.server.protocol.ring import Job, JobHeader, Lane, Refuse, Register, RequestRef
from bert_serving.server.protocol.wire import EncodeRequest
from bert_serving.server.security.principals import Principal, Quota
from bert_serving.server.security.shares import NO_QUOTA, PrincipalShares, Shares
from bert_serving.server.ventilator.events import SendToSink
from bert_serving.server.ventilator.limits import AdmissionLimits
from bert_serving.server.ventilator.quotas import QuotaCheck
from bert_serving.server.ventilator.registry import NOTHING, Holding
from bert_serving.server.ventilator.scheduler import Scheduler
from bert_serving.server.ventilator.turns import TurnQueue

WEIGHTS = {'a': 1.0, 'b': 1.0, 'c': 3.0}
LARGEST = 16


class Directory:
    """The principals of a test."""

    def __init__(self, *principals: Principal) -> None:
        self._principals = {principal.name: principal for principal in principals}

    def principal(self, name: str) -> Principal:
        return self._principals.get(name, Principal(name))

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._principals)


def shares_of(*principals: Principal) -> PrincipalShares:
    return PrincipalShares(Directory(*principals), '_http')


ALL = shares_of(*(Principal(name, weight=weight) for name, weight in WEIGHTS.items()))


def a_job(number: int, identity: bytes, rows: int) -> Job:
    ref = RequestRef(number, identity, b'1', 1, rows)
    return Job(JobHeader(ref, 0, attempt=0, first_row=0, rows=rows, lane=Lane.BULK), b'["text"]')


@pytest.mark.parametrize(
    ('identity', 'owner'),
    [
        (b'a.1', b'a'),
        (b'a', b'anonymous'),
        (b'me', b'anonymous'),
        (b'x.1', b'anonymous'),
        (b'\xff.1', b'anonymous'),
        (b'_http.1', b'_http'),
        (b'_http.a.1', b'a'),
    ],
)
def test_the_owner_of_an_identity_is_the_principal_whose_name_it_begins_with(identity: bytes, owner: bytes) -> None:
    assert ALL.owner_of(identity) == owner


def test_weights_and_quotas_are_those_of_the_principal_and_without_keys_all_are_equal() -> None:
    assert ALL.weight_of(b'c') == 3.0
    assert ALL.weight_of(b'\xff') == 1.0
    assert ALL.quota_of(b'a') == Quota()
    assert Shares().owner_of(b'me') == b'me'
    assert Shares().weight_of(b'me') == 1.0
    assert Shares().quota_of(b'me') is NO_QUOTA


CLIENTS = [b'a.1', b'a.2', b'a.3', b'b.1', b'c.1', b'c.2']


@given(
    st.lists(st.tuples(st.sampled_from(CLIENTS), st.integers(1, LARGEST)), min_size=1, max_size=60),
    st.lists(st.integers(0, 60), max_size=60),
)
def test_no_principal_with_work_waiting_gets_less_than_its_weighted_share_over_any_window_and_nobody_starves(
    jobs: list[tuple[bytes, int]], pauses: list[int]
) -> None:
    """However many clients a principal has. The clients of one principal share alike what it gets."""
    turns = TurnQueue(ALL.weight_of, ALL.owner_of)
    waiting: Counter[str] = Counter()
    history: list[tuple[dict[str, bool], str, int]] = []
    coming = [a_job(number, identity, rows) for number, (identity, rows) in enumerate(jobs)]
    takes = iter([*pauses, *[len(coming)] * (len(coming) + 1)])
    while coming or turns.next_job(Lane.BULK):
        for job in coming[: max(1, len(coming) // 2)]:
            turns.add(job)
            waiting[job.header.request.identity[:1].decode()] += 1
        del coming[: max(1, len(coming) // 2)]
        for _ in range(next(takes, 60)):
            head = turns.next_job(Lane.BULK)
            if head is None:
                break
            backlog = {name: waiting[name] > 0 for name in WEIGHTS}
            assert turns.take(Lane.BULK) is head
            turns.check()
            name = head.header.request.identity[:1].decode()
            waiting[name] -= 1
            history.append((backlog, name, head.header.rows))
    for first in range(len(history)):
        served: Counter[str] = Counter()
        always = dict(history[first][0])
        for backlog, name, rows in history[first:]:
            always = {who: always[who] and backlog[who] for who in always}
            served[name] += rows
            for one in (who for who in always if always[who]):
                for other in (who for who in always if always[who] and who != one):
                    lag = served[other] / WEIGHTS[other] - served[one] / WEIGHTS[one]
                    assert lag <= 2 * (LARGEST / WEIGHTS[one] + LARGEST / WEIGHTS[other]), 'less than its share'
    assert not any(waiting.values()), 'somebody starved'


def test_the_clients_of_a_principal_share_alike_what_it_gets() -> None:
    turns = TurnQueue(ALL.weight_of, ALL.owner_of)
    for number in range(100):
        turns.add(a_job(number, b'a.1', 1))
    turns.add(a_job(100, b'a.2', 1))
    turns.add(a_job(101, b'b.1', 1))
    assert {turns.take(Lane.BULK).header.request.number for _ in range(4)} >= {100, 101}


def test_jobs_of_owners_are_withdrawn_dropped_and_cleared() -> None:
    turns = TurnQueue(ALL.weight_of, ALL.owner_of)
    for number, identity in enumerate([b'a.1', b'a.1', b'a.2', b'b.1']):
        turns.add(a_job(number, identity, 1))
    turns.withdraw(0, 0)
    turns.withdraw(7, 0)
    turns.drop_request(2)
    turns.check()
    assert [job.header.request.number for job in turns] == [1, 3]
    turns.clear()
    turns.check()
    assert turns.next_job(Lane.BULK) is None


# ---- quotas


def exceeded(quota: Quota, own: Holding, more: Holding) -> str:
    with pytest.raises(QuotaExceeded) as raised:
        QuotaCheck().check(b'alice', quota, own, more, 0.0)
    return raised.value.message


def test_a_quota_that_is_reached_says_whose_it_is_and_when_to_retry() -> None:
    assert exceeded(Quota(rows_queued=100), Holding(90, 0, 1), Holding(30, 0, 1)) == (
        "quota rows_queued=100 of principal 'alice' is reached: 90 are pending and this request has 30: retry when 20 "
        'of them are answered'
    )
    assert 'bytes_queued=100' in exceeded(Quota(bytes_queued=100), Holding(0, 90, 1), Holding(0, 30, 1))


def test_a_request_that_never_fits_is_to_be_sent_in_parts() -> None:
    assert exceeded(Quota(rows_queued=100), NOTHING, Holding(101, 0, 1)).endswith(
        'this request alone has 101: split it'
    )


def test_up_to_a_quota_everything_is_accepted() -> None:
    QuotaCheck().check(b'alice', Quota(100, 100), Holding(60, 60, 1), Holding(40, 40, 1), 0.0)


def test_the_rows_a_second_are_averaged_and_the_error_says_in_how_many_seconds_there_is_room() -> None:
    quotas, quota = QuotaCheck(), Quota(rows_per_second=10)
    quotas.check(b'alice', quota, NOTHING, Holding(70, 0, 1), 0.0)
    quotas.note(b'alice', quota, 70, 0.0)
    with pytest.raises(QuotaExceeded, match=r"rows_per_second=10 of principal 'alice' .* retry in 2\.1 seconds"):
        quotas.check(b'alice', quota, NOTHING, Holding(1, 0, 1), 0.0)
    quotas.check(b'bob', quota, NOTHING, Holding(1, 0, 1), 0.0)
    quotas.check(b'alice', quota, NOTHING, Holding(1, 0, 1), 2.1)
    quotas.note(b'carol', Quota(), 70, 0.0)


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30)), max_size=60))
def test_nobody_sends_much_more_than_its_rate_over_any_time(requests: list[tuple[float, int]]) -> None:
    quotas, quota, now = QuotaCheck(), Quota(rows_per_second=10), 0.0
    accepted: list[tuple[float, int]] = []
    for pause, rows in requests:
        now += pause
        try:
            quotas.check(b'a', quota, NOTHING, Holding(rows, 0, 1), now)
        except QuotaExceeded:
            continue
        quotas.note(b'a', quota, rows, now)
        accepted.append((now, rows))
    for start, _ in accepted:
        sent = sum(rows for at, rows in accepted if at >= start)
        assert sent <= 10 * (now - start) + 50 + 30 + 1e-6


def test_the_scheduler_counts_all_clients_of_a_principal_together() -> None:
    limits = AdmissionLimits(4, 1, 2, 1000, 1000, 1000, 1 << 30)
    scheduler = Scheduler(limits)
    scheduler.share_by(shares_of(Principal('alice', quota=Quota(rows_queued=2)), Principal('bob')))

    def ask(identity: bytes, request_id: bytes) -> type[object]:
        (action,) = scheduler.handle(EncodeRequest(identity, request_id, 1, b'["a"]'), 0.0)
        scheduler.check_invariants()
        assert isinstance(action, SendToSink)
        return type(action.message)

    assert ask(b'alice.1', b'1') is Register
    assert ask(b'alice.2', b'2') is Register
    assert ask(b'alice.3', b'3') is Refuse
    assert ask(b'bob.1', b'4') is Register
    assert scheduler.outcomes.busy == 1
