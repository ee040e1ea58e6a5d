"""Quotas of principals over HTTP: whose limit it was, when to come again, and that all is given back."""

from __future__ import annotations

import threading

import pytest

from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.quotas import BURST_S, Holding, Quotas
from bert_serving.server.security.principals import Principal, Quota
from support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quotas(clock: Clock) -> Quotas:
    return Quotas(clock)


def alice(**quota: int) -> Principal:
    return Principal('alice', quota=Quota(**quota))


def refuse(quotas: Quotas, principal: Principal, rows: int, size: int = 1) -> HTTPError:
    with pytest.raises(HTTPError) as caught:
        quotas.take(principal, rows, size)
    return caught.value


def test_without_a_quota_all_is_allowed(quotas: Quotas) -> None:
    for _ in range(3):
        quotas.take(alice(), 1_000_000, 1 << 40)


@pytest.mark.parametrize(('name', 'what'), [('rows_queued', 'rows'), ('bytes_queued', 'bytes')])
def test_what_is_in_hand_has_a_bound_and_is_given_back(quotas: Quotas, name: str, what: str) -> None:
    principal = alice(**{name: 10})
    small, large, huge = ((n, 1) if what == 'rows' else (1, n) for n in (6, 5, 11))
    quotas.take(principal, *small)
    error = refuse(quotas, principal, *large)
    assert (error.name, error.status, error.retry_after_s) == ('QuotaExceeded', 429, 1)
    assert "'alice' has reached its quota %s = 10: 6 pending" % name in error.message
    quotas.take(Principal('bob', quota=principal.quota), *large)
    error = refuse(quotas, principal, *huge)
    assert (error.name, error.status) == ('TooLarge', 413), 'waiting cannot help'
    quotas.give_back(principal, *small)
    quotas.take(principal, *large)
    quotas.take(principal, *large)


def test_rows_per_second_are_an_average_over_some_seconds(quotas: Quotas, clock: Clock) -> None:
    principal = alice(rows_per_second=10)
    for _ in range(int(BURST_S)):
        quotas.take(principal, 10, 1)
    error = refuse(quotas, principal, 25)
    assert (error.name, error.retry_after_s) == ('QuotaExceeded', 3)
    assert "'alice' has reached its quota rows_per_second = 10: retry in 3 s" in error.message
    clock.now += 3
    quotas.take(principal, 25, 1)
    assert refuse(quotas, principal, 25).retry_after_s == 2


def test_a_request_of_more_rows_than_the_average_allows_waits_and_delays_the_next(quotas: Quotas, clock: Clock) -> None:
    principal = alice(rows_per_second=10)
    quotas.take(principal, 150, 1)
    assert refuse(quotas, principal, 1).retry_after_s == 11
    clock.now += 14
    assert refuse(quotas, principal, 150).retry_after_s == 1
    clock.now += 1
    quotas.take(principal, 150, 1)


def test_a_refused_request_costs_nothing(quotas: Quotas) -> None:
    principal = alice(rows_queued=10, rows_per_second=10)
    for _ in range(100):
        refuse(quotas, principal, 11)
    quotas.take(principal, 10, 1)


def test_a_connection_counts_for_the_principal_of_its_latest_request(quotas: Quotas) -> None:
    principal, bob = alice(connections=1), Principal('bob')
    first, second = Holding(), Holding()
    for _ in range(3):
        first.pass_to(principal, quotas)
    with pytest.raises(HTTPError, match="'alice' has reached its quota connections = 1"):
        second.pass_to(principal, quotas)
    first.pass_to(bob, quotas)
    second.pass_to(principal, quotas)
    second.close()
    second.close()
    first.pass_to(principal, quotas)
    first.close()
    first.pass_to(principal, quotas)  # it is closed, and counts no more
    Holding().pass_to(principal, quotas)


def test_all_is_given_back_by_many_threads(quotas: Quotas) -> None:
    principal = alice(rows_queued=8)

    def work() -> None:
        for _ in range(2000):
            quotas.take(principal, 1, 1)
            quotas.give_back(principal, 1, 1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    quotas.take(principal, 8, 1)
