"""A child process and its two pipes, with children that do one thing each (`tests/support/odd_children.py`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bert_serving.server.console.progress import Progress
from bert_serving.server.process.child import describe_exit
from bert_serving.server.process.child_main import EXIT_CRASHED, EXIT_ORPHANED
from bert_serving.server.process.child_process import ChildProcess
from bert_serving.server.process.reports import ChildReport, Exited, Failed, Heartbeat, Ready
from bert_serving.server.process.states import ChildState
from support.waiting import wait_until


def make_child(what: str, **config: object) -> ChildProcess:
    about = {'context': 'ODD', 'verbose': False, 'temp_dirs': [], 'what': what, **config}
    return ChildProcess('support.odd_children', 'ODD', about)


def run_to_end(child: ChildProcess) -> list[ChildReport]:
    child.start()
    reports: list[ChildReport] = []
    while not reports or not isinstance(reports[-1], Exited):
        reports += child.read_reports()
    assert child.state is ChildState.GONE
    return reports


def test_a_child_reports_what_it_found_and_ends() -> None:
    ready, exited = run_to_end(make_child('work', number=7))
    assert ready == Ready({'number': 8})
    assert exited == Exited(0, 'ODD ended with exit code 0', expected=False)


def test_an_error_of_ours_is_reported_with_its_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    failed, exited = run_to_end(make_child('model error'))
    assert failed == Failed('the model is\nnot there', 2)
    assert exited == Exited(2, 'ODD ended with exit code 2', expected=False)
    assert 'Traceback' not in capfd.readouterr().err


def test_any_other_exception_is_reported_in_a_line_and_logged_in_full(capfd: pytest.CaptureFixture[str]) -> None:
    failed, exited = run_to_end(make_child('crash'))
    assert failed == Failed('ZeroDivisionError: division by zero', 1)
    assert isinstance(exited, Exited)
    assert exited.code == EXIT_CRASHED
    assert 'E:ODD:' in (log := capfd.readouterr().err)
    assert 'Traceback' in log


def test_a_child_that_has_ended_is_not_killed_because_another_process_can_have_its_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = make_child('work', number=7)
    child.kill_from_any_thread()
    run_to_end(child)
    monkeypatch.setattr(os, 'kill', lambda pid, _number: pytest.fail('process %d was killed' % pid))
    child.kill_from_any_thread()


def test_a_module_that_is_not_there_is_an_exit_and_no_hang() -> None:
    child = ChildProcess('no_such_module', 'ODD', {'context': 'ODD', 'verbose': False, 'temp_dirs': []})
    (exited,) = run_to_end(child)
    assert isinstance(exited, Exited)
    assert exited.code == 1


def test_a_child_that_is_killed_on_purpose_is_expected_to_go() -> None:
    child = make_child('sleep')
    child.start()
    assert child.read_reports() == [Ready({})]
    child.kill(expected=True)
    assert child.read_reports() == [Exited(-9, 'ODD was killed by SIGKILL! Perhaps out of memory?', expected=True)]
    child.kill(expected=True)


def test_a_child_that_is_killed_because_it_is_stuck_is_not_expected_to_go() -> None:
    child = make_child('sleep')
    child.start()
    child.read_reports()
    child.kill(expected=False)
    (exited,) = child.read_reports()
    assert isinstance(exited, Exited)
    assert (exited.code, exited.expected) == (-9, False)
    child.kill(expected=False)


@pytest.mark.parametrize(
    ('what', 'payload'), [({'what': 'be busy', 'busy_s': 7}, {'busy_s': 7}), ({'what': 'never ready'}, {})]
)
def test_a_child_says_that_it_is_alive_and_how_its_work_goes(
    what: dict[str, object], payload: dict[str, object]
) -> None:
    child = make_child(**what)  # type: ignore[arg-type]
    child.start()
    reports = child.read_reports()
    while not isinstance(reports[-1], Heartbeat):
        reports += child.read_reports()
    assert reports[-1] == Heartbeat(payload)
    child.kill_and_reap(10)


def test_a_child_says_how_far_it_is_now_and_then_and_when_a_stage_begins_or_ends() -> None:
    *progress, ready, _exited = run_to_end(make_child('read a lot'))
    assert ready == Ready({})
    assert progress[0] == Progress('read', 0, 1000)
    assert progress[-2:] == [Progress('read', 1000, 1000), Progress('freeze', 0, 0)]
    assert len(progress) < 100, 'a parent is not flooded'


def test_a_child_that_dies_says_how() -> None:
    assert describe_exit('SINK', 3) == 'SINK ended with exit code 3'
    assert describe_exit('SINK', -signal.SIGSEGV) == 'SINK was killed by SIGSEGV!'
    assert describe_exit('SINK', -99) == 'SINK was killed by signal 99!'


def test_a_child_makes_files_for_its_user_alone_whatever_the_umask_of_its_parent() -> None:
    umask = os.umask(0)
    try:
        ready, _exited = run_to_end(make_child('tell umask'))
    finally:
        os.umask(umask)
    assert ready == Ready({'umask': 0o077})


def test_what_a_child_prints_does_not_reach_the_standard_output_of_its_parent(
    capfd: pytest.CaptureFixture[str],
) -> None:
    run_to_end(make_child('print'))
    captured = capfd.readouterr()
    assert captured.out == ''
    assert 'a word' in captured.err


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_child_leaves_signals_to_its_parent(number: int) -> None:
    child = make_child('sleep')
    child.start()
    child.read_reports()
    assert child.pid is not None
    os.kill(child.pid, number)
    assert child.read_reports() == [Heartbeat({})], 'it is still alive'
    child.kill(expected=True)
    exited = child.read_reports()[-1]
    assert isinstance(exited, Exited)
    assert exited.code == -signal.SIGKILL


@pytest.mark.parametrize('is_stopped', [False, True])
def test_an_orphan_removes_what_its_parent_left_and_goes_even_if_it_was_stopped(
    tmp_path: Path, is_stopped: bool
) -> None:
    leftover = tmp_path / 'left'
    leftover.mkdir()
    parent = subprocess.Popen(
        [sys.executable, '-c', 'from support.odd_children import be_a_parent; be_a_parent(%r)' % str(leftover)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    orphan = int(parent.stdout.readline())
    if is_stopped:
        os.kill(orphan, signal.SIGSTOP)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not leftover.exists() and not Path('/proc/%d' % orphan).exists(), within_s=2)
    assert EXIT_ORPHANED == 71
