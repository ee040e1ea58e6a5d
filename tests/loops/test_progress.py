"""How far a long piece of work is: true figures, one line that is written over on a terminal, few lines elsewhere."""

from __future__ import annotations

import io

import pytest

from bert_serving.server.console.progress import Progress, ProgressDisplay
from bert_serving.server.console.terminal import ERASE_LINE

HALF = Progress('read the weights', 640_000_000, 1_280_000_000)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Bench:
    def __init__(self, stream: io.StringIO | None = None) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.display = ProgressDisplay(self.lines.append, stream, self.clock)

    def pass_time(self, seconds: float) -> None:
        """The rounds of a server that waits."""
        for _ in range(round(seconds / 0.125)):
            self.clock.now += 0.125
            self.display.refresh()


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('COLUMNS', '80')


def test_progress_is_told_in_bytes_and_percent_or_by_its_stage_alone() -> None:
    assert HALF.describe() == 'read the weights: 640MB of 1.28GB, 50%'
    assert HALF.draw() == '[============            ] read the weights: 640MB of 1.28GB, 50%'
    assert Progress('freeze the graph', 0, 0).draw() == '[                        ] freeze the graph'


def test_a_log_hears_nothing_of_what_is_soon_done() -> None:
    bench = Bench()
    bench.pass_time(10)  # in which libraries are loaded
    bench.display.show(HALF)
    bench.pass_time(1.75)
    bench.display.end()
    bench.pass_time(60)
    assert bench.lines == []


def test_a_log_hears_of_what_takes_long_every_few_seconds() -> None:
    bench = Bench()
    bench.display.show(Progress('read the weights', 0, 1_280_000_000))
    bench.pass_time(2.5)
    bench.display.show(HALF)
    bench.pass_time(10)
    assert bench.lines == [
        'read the weights: 0B of 1.28GB, 0% (2.0s)',
        'read the weights: 640MB of 1.28GB, 50% (7.0s)',
        'read the weights: 640MB of 1.28GB, 50% (12s)',
    ]
    assert not [line for line in bench.lines if '\r' in line]


def test_nothing_is_said_before_anything_was_reported() -> None:
    screen = io.StringIO()
    for bench in (Bench(), Bench(screen)):
        bench.pass_time(30)
        bench.display.end()
        assert bench.lines == []
    assert screen.getvalue() == ''


def test_a_terminal_has_one_line_that_moves_and_is_gone_at_the_end() -> None:
    screen = io.StringIO()
    bench = Bench(screen)
    bench.display.show(HALF)
    assert screen.getvalue() == '', 'what is soon done does not flicker'
    bench.pass_time(1)
    bench.display.show(Progress('read the weights', 1_280_000_000, 1_280_000_000))
    bench.pass_time(0.25)
    bench.display.end()
    written = screen.getvalue()
    assert ERASE_LINE + HALF.draw() + '  1.0s\r' in written
    assert '[========================] read the weights: 1.28GB of 1.28GB, 100%' in written
    assert written.endswith(ERASE_LINE)
    assert '\n' not in written
    assert bench.lines == []


def test_a_line_that_is_the_same_is_not_drawn_again() -> None:
    screen = io.StringIO()
    bench = Bench(screen)
    bench.display.show(HALF)
    bench.pass_time(20)
    drawn = screen.getvalue().count(ERASE_LINE)
    bench.pass_time(3)
    assert screen.getvalue().count(ERASE_LINE) == drawn + 3, 'once for each second that is shown'


def test_a_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('COLUMNS', '40')
    screen = io.StringIO()
    bench = Bench(screen)
    bench.display.show(HALF)
    bench.pass_time(1)
    drawn = screen.getvalue().split(ERASE_LINE)[1:]
    assert drawn
    assert max(len(line.rstrip('\r')) for line in drawn) == 39


def test_a_terminal_that_is_gone_does_not_end_the_work() -> None:
    class Gone(io.StringIO):
        def flush(self) -> None:
            raise OSError('Input/output error')

    bench = Bench(Gone())
    bench.display.show(HALF)
    bench.pass_time(2)
    bench.display.end()
    assert bench.lines == []
