"""The server connects to a cluster, and gives up where none answers or it is told to stop."""

from __future__ import annotations

import threading

import pytest

from bert_serving.server.errors import StartError, UsageError
from bert_serving.server.parent.connecting import connect_within
from support.fake_cluster import FakeCluster
from support.waiting import wait_until

ADDRESS = '127.0.0.1:1'


class SlowCluster:
    """Connects when it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.cluster = FakeCluster(a=1)

    def connect(self, address: str) -> FakeCluster:
        assert self.may.wait(10)
        return self.cluster


@pytest.fixture
def slow() -> SlowCluster:
    return SlowCluster()


def never() -> bool:
    return threading.Event().wait(0.01)


def test_a_cluster_that_answers_is_returned() -> None:
    cluster = FakeCluster(a=1)
    assert connect_within(lambda address: cluster, ADDRESS, never) is cluster
    assert not cluster.is_closed


def test_an_address_at_which_nobody_answers_is_an_error_that_names_it_and_a_late_answer_is_left(
    slow: SlowCluster,
) -> None:
    with pytest.raises(StartError, match=r'-ray 127.0.0.1:1: no cluster of Ray answered within 0.05 s: start one'):
        connect_within(slow.connect, ADDRESS, never, seconds=0.05)
    slow.may.set()
    assert wait_until(lambda: slow.cluster.is_closed)


def test_a_server_that_is_told_to_stop_does_not_wait_for_a_cluster(slow: SlowCluster) -> None:
    assert connect_within(slow.connect, ADDRESS, lambda: True) is None
    slow.may.set()
    assert wait_until(lambda: slow.cluster.is_closed)


@pytest.mark.parametrize(
    ('error', 'says'),
    [
        (UsageError('Ray is not installed'), 'Ray is not installed'),
        (OSError('no route'), '-ray 127.0.0.1:1: .*no route'),
    ],
)
def test_the_reason_why_there_is_no_connection_is_raised(error: Exception, says: str) -> None:
    def fail(address: str) -> FakeCluster:
        raise error

    with pytest.raises((UsageError, StartError), match=says):
        connect_within(fail, ADDRESS, never)
