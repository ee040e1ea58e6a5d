"""The report of a script for a GPU: named steps, each ok, failed or skipped, within a given time.

After each step the report is on disk, so that a killed script leaves its results.
"""

from __future__ import annotations

import json
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

Facts = dict[str, Any]

RESERVE_S = 5.0
"""Seconds at the end in which no step runs: servers stop, and the report is printed."""


class Skip(Exception):
    """A step cannot run here; the message says why."""


class OutOfTime(BaseException):
    """The time of the script is over. No `except Exception` of a step catches it."""


class Report:
    """Runs the steps of a script one after another and notes how each ended."""

    def __init__(self, script: str, about: Facts, within_s: float, path: Path | None) -> None:
        """No step begins or continues later than `within_s` seconds from now. `path` is the file for the report."""
        self.about = {'script': script, **about}
        self.steps: list[Facts] = []
        self._path = path
        self._started = time.monotonic()
        self._within_s = within_s

    @property
    def left_s(self) -> float:
        """Seconds left for steps."""
        return self._within_s - RESERVE_S - (time.monotonic() - self._started)

    def step(self, name: str, run: Callable[[], Facts], needs_s: float = 0) -> Facts | None:
        """Run a step; return its facts, or None if it failed or was skipped.

        A step is skipped if fewer than `needs_s` seconds are left, or if it raises `Skip`. It fails if it raises
        anything else, or does not finish in time.
        """
        started = time.monotonic()
        facts: Facts | None = None
        entry: Facts
        result = 'ok'
        say('%s...', name)
        try:
            if self.left_s < max(needs_s, 1):
                raise Skip('the step needs %.0f s, but only %.0f s are left' % (max(needs_s, 1), max(0, self.left_s)))
            with _alarm_in(self.left_s):
                facts = run()
            entry = {'facts': facts}
        except Skip as reason:
            result, entry = 'skipped', {'reason': str(reason)}
        except OutOfTime:
            result, entry = 'failed', {'reason': 'the step did not finish in time'}
        except Exception as error:
            result, entry = 'failed', {'reason': '%s: %.600s' % (type(error).__name__, error)}
            traceback.print_exc()
        seconds = round(time.monotonic() - started, 2)
        self.steps.append({'name': name, 'result': result, 'seconds': seconds, **entry})
        say('%s: %s %s', name, result, entry.get('reason', ''))
        self._write()
        return facts

    def to_json(self) -> Facts:
        """Return the whole report."""
        results = [step['result'] for step in self.steps]
        return {
            **self.about,
            'all_ok': set(results) == {'ok'},
            **{result: results.count(result) for result in ('ok', 'failed', 'skipped')},
            'seconds': round(time.monotonic() - self._started, 1),
            'steps': self.steps,
        }

    def finish(self) -> int:
        """Print the report as one JSON object to standard output, and return the exit code: 1 if a step failed."""
        self._write()
        report = self.to_json()
        print(json.dumps(report), flush=True)
        return 1 if report['failed'] else 0

    def _write(self) -> None:
        if self._path is not None:
            self._path.write_text(json.dumps(self.to_json(), indent=1) + '\n', 'utf-8')


def say(text: str, *values: object) -> None:
    """Write a line of the log: to standard error, with the time."""
    print('%s %s' % (time.strftime('%H:%M:%S'), text % values), file=sys.stderr, flush=True)


@contextmanager
def _alarm_in(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in the block once so many seconds are over; for the main thread."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
