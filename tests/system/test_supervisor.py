"""Slots whose child is restarted: what a supervisor makes of children that die, are silent, or never begin."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from bert_serving.server.console.progress import ProgressDisplay
from bert_serving.server.errors import StartError
from bert_serving.server.process import supervisor as supervisor_module
from bert_serving.server.process import watch
from bert_serving.server.process.child_process import ChildProcess
from bert_serving.server.process.restarts import RestartPolicy, Restarts
from bert_serving.server.process.supervisor import ChildSlot, Supervisor
from bert_serving.server.process.watch import ChildFailed
from bert_serving.server.transport import Reactor


class Bench:
    """A supervisor with one slot; its child does next the first of `whats`, the last of them again and again."""

    def __init__(self, hang_s: float = 60) -> None:
        self.reactor = Reactor()
        self.supervisor = Supervisor(self.reactor, hang_s)
        self.whats: list[dict[str, Any]] = []
        self.ready: list[dict[str, Any]] = []
        self.heartbeats: list[dict[str, Any]] = []
        self.lost: list[tuple[str, ChildFailed | None]] = []
        self.given_up: list[str] = []
        self.slot = ChildSlot(
            spawn=self.spawn,
            on_ready=self.ready.append,
            on_heartbeat=self.heartbeats.append,
            on_lost=lambda how, error: self.lost.append((how, error)),
            on_given_up=self.given_up.append,
            restarts=Restarts(RestartPolicy(first_pause_s=0.01, max_failed_starts=3)),
        )

    def spawn(self) -> ChildProcess:
        what = self.whats.pop(0) if len(self.whats) > 1 else self.whats[0]
        return ChildProcess(
            'support.odd_children', 'ODD', {'context': 'ODD', 'verbose': False, 'temp_dirs': [], **what}
        )

    def supervise(self, *whats: dict[str, Any]) -> None:
        self.whats = list(whats)
        self.supervisor.supervise(self.slot)

    def run_until(self, condition: Callable[[], bool], within_s: float = 20) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, 'nothing has come of it'
            self.reactor.run_once(20)
            self.supervisor.tick()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.supervisor.kill_all()
    assert bench.supervisor.num_process == 0


@pytest.fixture
def strict() -> Iterator[Bench]:
    bench = Bench(hang_s=2)
    yield bench
    bench.supervisor.kill_all()


def quiet() -> ProgressDisplay:
    return ProgressDisplay(lambda _line: None, None)


SLEEP = {'what': 'sleep'}


def test_a_child_that_dies_is_started_again(bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / 'now'
    bench.supervise({'what': 'die when told', 'path': str(path)}, SLEEP)
    bench.run_until(lambda: bool(bench.ready))
    before = bench.slot.describe()
    assert before == {'state': 'ready', 'pid': bench.ready[0]['pid'], 'restarts': 0}
    path.touch()
    bench.run_until(lambda: len(bench.ready) == 2)
    after = bench.slot.describe()
    assert (after['state'], after['restarts']) == ('ready', 1)
    assert after['pid'] not in (None, before['pid'])
    assert bench.lost == [('ODD was killed by SIGKILL! Perhaps out of memory?', None)]
    assert 'it is started again in 0.0 s' in caplog.text


def test_while_a_slot_waits_for_its_next_child_it_says_so_and_when(bench: Bench) -> None:
    bench.slot.restarts = Restarts(RestartPolicy(first_pause_s=100, longest_pause_s=100))
    bench.supervise({'what': 'model error'})
    bench.run_until(lambda: len(bench.lost) == 2)
    assert bench.slot.describe() == {'state': 'restarting', 'pid': None, 'restarts': 2}
    assert bench.supervisor.next_start == pytest.approx(time.monotonic() + 100, abs=5)


def test_a_child_that_is_stopped_is_killed_and_replaced(strict: Bench) -> None:
    strict.supervise({'what': 'stop'}, SLEEP)
    strict.run_until(lambda: len(strict.ready) == 2)
    ((how, failure),) = strict.lost
    assert re.fullmatch(r'ODD sent no heartbeat for \d+ s; killed', how)
    assert failure is None


def test_a_child_that_is_stopped_while_it_starts_is_replaced_as_soon_as_any_other(strict: Bench) -> None:
    """It used to get the 30 s of a child that loads libraries, and the requests that it was started for waited."""
    strict.supervise({'what': 'stop while starting'}, SLEEP)
    strict.run_until(lambda: len(strict.ready) == 1)
    silent = re.fullmatch(r'ODD sent no heartbeat for (\d+) s; killed', strict.lost[0][0])
    assert silent is not None
    assert int(silent[1]) < watch.LOADING_TIMEOUT_S / 2


def test_a_child_that_is_too_long_at_one_piece_of_work_is_killed_and_replaced(strict: Bench) -> None:
    strict.supervise({'what': 'be busy', 'busy_s': 2.5}, SLEEP)
    strict.run_until(lambda: len(strict.ready) == 2)
    assert [how for how, _ in strict.lost] == ['ODD was busy with one piece of work for 2 s; killed']
    assert strict.heartbeats == [{'busy_s': 2.5}]


def test_a_child_that_is_busy_for_less_is_left_alone(strict: Bench) -> None:
    strict.supervise({'what': 'be busy', 'busy_s': 1.5})
    strict.run_until(lambda: len(strict.heartbeats) == 3)
    assert strict.lost == []


def test_when_we_were_stopped_ourselves_nobody_is_taken_for_silent(
    strict: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict.supervise({'what': 'be busy', 'busy_s': 0})
    strict.run_until(lambda: bool(strict.ready))
    monkeypatch.setattr(watch, 'time', Mock(monotonic=lambda: time.monotonic() + 2.5))  # so long were we stopped
    strict.supervisor.tick()
    strict.run_until(lambda: len(strict.heartbeats) > 2)
    assert strict.lost == []


def test_a_child_that_is_not_ready_in_time_is_killed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, 'START_TIMEOUT_S', 0.5)
    bench.supervise({'what': 'never ready'}, SLEEP)
    bench.run_until(lambda: bool(bench.lost))
    assert bench.lost[0][0] == 'ODD was not ready within 0 s; killed'


def test_a_child_that_can_not_be_killed_is_replaced_and_no_longer_watched(
    strict: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, 'KILL_TIMEOUT_S', 0.1)
    strict.supervise({'what': 'be busy', 'busy_s': 2.5}, SLEEP)
    stuck = strict.slot.child
    assert stuck is not None
    with monkeypatch.context() as patch:
        patch.setattr(stuck, 'kill', lambda expected: None)  # a driver that hangs keeps the process from ending
        strict.run_until(lambda: len(strict.ready) == 2)
    assert [how for how, _ in strict.lost] == ['ODD was busy with one piece of work for 2 s but could not be killed']
    assert strict.supervisor.num_process == 1
    assert strict.supervisor.are_alive([stuck])
    pipe = stuck.fileno()
    stuck.kill(expected=False)
    strict.run_until(lambda: not strict.supervisor.are_alive([stuck]))
    with pytest.raises(OSError, match='Bad file descriptor'):
        os.fstat(pipe)
    assert len(strict.lost) == 1, 'its late end is no second loss'


def test_a_child_that_never_becomes_ready_is_given_up_after_so_many_starts_with_its_last_words(bench: Bench) -> None:
    bench.supervise({'what': 'model error'})
    bench.run_until(lambda: bool(bench.given_up))
    assert len(bench.lost) == 3
    how, failure = bench.lost[-1]
    assert how == 'ODD ended with exit code 2 (the model is\nnot there)'
    assert isinstance(failure, ChildFailed)
    assert failure.exit_code == 2
    assert bench.given_up == [how + '; 3 starts have failed']
    assert bench.slot.describe() == {'state': 'gone', 'pid': None, 'restarts': 2}
    assert bench.supervisor.next_start is None


def test_a_process_that_the_system_does_not_grant_is_a_failed_start(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_child: ChildProcess) -> None:
        raise OSError(errno.EAGAIN, 'Resource temporarily unavailable')

    monkeypatch.setattr(ChildProcess, 'start', refuse)
    bench.supervise(SLEEP)
    bench.run_until(lambda: bool(bench.given_up))
    assert 'ODD could not be started' in bench.lost[0][0]


def test_a_child_for_which_no_file_is_left_is_tried_again_and_not_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, 'POSTPONED_S', 0.01)
    start, refused = ChildProcess.start, 0

    def refuse(child: ChildProcess) -> None:
        nonlocal refused
        if len(bench.ready) == 1 and refused < 10:
            refused += 1
            raise OSError(errno.EMFILE, 'Too many open files')
        start(child)

    monkeypatch.setattr(ChildProcess, 'start', refuse)
    bench.supervise({'what': 'die when told', 'path': '/'}, SLEEP)
    bench.run_until(lambda: len(bench.ready) == 2)
    assert refused == 10, 'more often than starts may fail'
    assert bench.given_up == []
    assert len(bench.lost) == 1
    assert bench.slot.restarts.failed_starts == 0


def test_slots_that_are_released_get_no_other_child(bench: Bench) -> None:
    bench.supervise(SLEEP)
    bench.run_until(lambda: bool(bench.ready))
    (child,) = bench.supervisor.release([bench.slot])
    bench.supervisor.kill([child])
    bench.run_until(lambda: not bench.supervisor.are_alive([child]))
    assert bench.lost == []
    assert len(bench.ready) == 1


def test_a_child_that_is_not_yet_ready_when_its_slot_is_released_is_killed(bench: Bench) -> None:
    bench.supervise({'what': 'never ready'})
    children = bench.supervisor.release([bench.slot])
    bench.run_until(lambda: not bench.supervisor.are_alive(children))
    assert bench.lost == []


def test_a_child_that_can_not_be_killed_is_no_loss_to_a_slot_that_was_released(
    strict: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, 'KILL_TIMEOUT_S', 0.1)
    strict.supervise({'what': 'be busy', 'busy_s': 2.5})
    stuck = strict.slot.child
    assert stuck is not None
    with monkeypatch.context() as patch:
        patch.setattr(stuck, 'kill', lambda expected: None)
        strict.run_until(lambda: bool(strict.heartbeats))
        strict.supervisor.release([strict.slot])
        strict.run_until(lambda: strict.supervisor.num_process == 0)
    assert strict.lost == []
    stuck.kill_and_reap(10)


def test_a_child_that_is_run_to_its_end_gives_what_it_found_or_says_why_not(bench: Bench) -> None:
    bench.whats = [{'what': 'work', 'number': 1}, {'what': 'model error'}, {'what': 'print'}, SLEEP]
    assert bench.supervisor.run_to_end(bench.spawn(), lambda: False, quiet()) == {'number': 2}
    with pytest.raises(ChildFailed, match='ODD: the model is'):
        bench.supervisor.run_to_end(bench.spawn(), lambda: False, quiet())
    with pytest.raises(StartError, match='exit code 0'):
        bench.supervisor.run_to_end(bench.spawn(), lambda: False, quiet())
    assert bench.supervisor.run_to_end(bench.spawn(), lambda: True, quiet()) is None
