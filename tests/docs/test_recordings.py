"""The recordings of a terminal: how they are drawn, and that the committed ones are whole and small."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs.pages import ROOT

RECORDINGS = runpy.run_path(str(ROOT / 'docs' / 'recordings.py'))
PICTURES = sorted((ROOT / 'docs' / 'pictures').glob('terminal-*.svg'))


def texts_in(svg: str) -> list[str]:
    namespace = '{http://www.w3.org/2000/svg}'
    return [''.join(text.itertext()) for text in ElementTree.fromstring(svg).iter(namespace + 'text')]


def test_lines_are_those_that_a_terminal_shows() -> None:
    chunks = [(1.0, 'a\r\n\x1b[31mred'), (2.0, '\x1b[0m <b>\r\n'), (9.0, 'progress\r\x1b[Kdone\r\nnot yet')]
    lines = RECORDINGS['with_short_pauses'](RECORDINGS['lines_of'](chunks))
    assert [(line.time_s, line.text) for line in lines] == [
        (0.0, 'a'),
        (1.0, '\x1b[31mred\x1b[0m <b>'),
        (3.0, 'done'),
    ]
    svg = RECORDINGS['draw'](lines, 'three lines')
    assert texts_in(svg) == ['a', 'red <b>', 'done']
    assert '<tspan fill="#ff8f85">red</tspan>' in svg


def test_a_wide_line_is_broken_without_its_escape_sequences_counted() -> None:
    line = RECORDINGS['Line'](0.0, '\x1b[31mabcd\x1b[0mef')
    parts = [line.text for line in RECORDINGS['wrapped']([line], columns=3)]
    assert parts == ['\x1b[31mabc', 'd\x1b[0mef']


def test_lines_that_scroll_by_at_once_are_left_out() -> None:
    lines = [RECORDINGS['Line'](0.0, 'line %d' % n) for n in range(50)] + [RECORDINGS['Line'](1.0, 'end')]
    assert texts_in(RECORDINGS['draw'](lines, 'many', rows=3)) == ['line 47', 'line 48', 'line 49', 'end']


def test_there_are_pictures() -> None:
    assert [path.name for path in PICTURES] == ['terminal-encode.svg', 'terminal-start.svg']


@pytest.mark.parametrize('path', PICTURES, ids=lambda path: path.name)
def test_a_picture_is_whole_and_small_and_names_no_folder_of_the_machine_that_made_it(path: Path) -> None:
    svg = path.read_text('utf-8')
    assert len(svg) < 40_000
    shown = '\n'.join(texts_in(svg))
    assert 'all set' in shown or 'array(' in shown
    assert not re.search(r'/(home|root|work|usr|opt)\b', shown)
