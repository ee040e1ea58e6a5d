"""Escape sequences are for a terminal that takes them, and for nobody who has said no."""

from __future__ import annotations

import io

import pytest

from bert_serving.server.console import terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return not super().isatty()  # raises ValueError if it is closed


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('NO_COLOR', raising=False)
    monkeypatch.setenv('TERM', 'xterm')


def test_a_terminal_has_colors_and_bold_type() -> None:
    assert terminal.color('x', 'red', Terminal()) == '\x1b[31mx\x1b[0m'
    assert terminal.bold('x', Terminal()) == '\x1b[1mx\x1b[0m'


def test_a_pipe_or_a_file_has_none() -> None:
    assert terminal.color('x', 'red', io.StringIO()) == 'x'
    assert terminal.bold('x', io.StringIO()) == 'x'


def test_no_stream_a_closed_one_and_one_that_only_writes_have_none() -> None:
    closed = Terminal()
    closed.close()
    for stream in (None, closed, object()):
        assert terminal.color('x', 'red', stream) == 'x'  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ('variable', 'value', 'takes'), [('NO_COLOR', '1', False), ('NO_COLOR', '', True), ('TERM', 'dumb', False)]
)
def test_a_terminal_may_say_no(variable: str, value: str, takes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    assert terminal.takes_escapes(Terminal()) is takes


@pytest.mark.parametrize(('columns', 'width'), [('20', 40), ('60', 60), ('200', 120)])
def test_a_text_is_as_wide_as_the_terminal_within_reason(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('COLUMNS', columns)
    assert terminal.text_width() == width
