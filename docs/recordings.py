"""Record a start of the server and a client that encodes, as animated pictures: `python docs/recordings.py`.

It runs `bert-serving-start` with the embedded model on a terminal, and Python statements against that server, and
writes `terminal-start.svg` and `terminal-encode.svg` into docs/pictures. The output is that of the programs, at the
times at which it came; only folders are shortened, and pauses of more than two seconds. Ports 5555, 5556 and 8125 have
to be free.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
from code import InteractiveConsole
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

PICTURES = Path(__file__).resolve().parent / 'pictures'

COLUMNS, ROWS = 104, 22
CHAR_PX, LINE_PX, MARGIN_PX, FONT_PX = 7.83, 18, 14, 13
LONGEST_PAUSE_S, LAST_PAUSE_S = 2.0, 6.0
TYPING_S = 0.03
"""Seconds for each character that a person types."""

START = 'bert-serving-start -cpu -http_port 8125'
STATEMENTS = (
    'from bert_serving.client import BertClient',
    'bc = BertClient()',
    "bc.encode(['First do it', 'then do it right', 'then do it better'])",
    "food, meal, sky = bc.encode(['A man is eating food.', 'Someone has a meal.', 'The sky is blue.'])",
    "print('%.2f %.2f' % (food @ meal, food @ sky))  # cosine similarities",
)

COLORS = {31: '#ff8f85', 32: '#4fd3a9', 33: '#f0b649', 34: '#56b4e9', 35: '#e08fc0', 36: '#63d3e0'}
"""Of the escape sequences that the log uses."""

_ESCAPE = re.compile(r'\x1b\[([\d;?]*)([A-Za-z])')


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the terminal, with its escape sequences, which was complete at `time_s`."""

    time_s: float
    text: str


def lines_of(chunks: Iterable[tuple[float, str]]) -> list[Line]:
    """The complete lines in what a program wrote, a chunk at a time, to a terminal."""
    lines, rest = [], ''
    for time_s, chunk in chunks:
        *complete, rest = (rest + chunk).split('\n')
        for text in complete:
            lines.append(Line(time_s, re.split(r'\r(?!$)|\x1b\[K', text.rstrip('\r'))[-1]))
    return lines


def wrapped(lines: Iterable[Line], columns: int = COLUMNS) -> list[Line]:
    """The lines as a terminal shows them, which breaks those that are wider."""
    return [Line(line.time_s, part) for line in lines for part in _broken(line.text, columns)]


def _broken(text: str, columns: int) -> list[str]:
    parts, part, width, position = [], '', 0, 0
    while position < len(text):
        found = _ESCAPE.match(text, position)
        if found:
            part += found[0]
            position = found.end()
            continue
        if width == columns:
            parts.append(part)
            part, width = '', 0
        part += text[position]
        width, position = width + 1, position + 1
    return [*parts, part]


def with_short_pauses(lines: Sequence[Line]) -> list[Line]:
    """The lines at times from zero on, without the part of a pause that is longer than `LONGEST_PAUSE_S`."""
    short, now, before = [], 0.0, lines[0].time_s if lines else 0.0
    for line in lines:
        now += min(line.time_s - before, LONGEST_PAUSE_S)
        before = line.time_s
        short.append(Line(round(now, 2), line.text))
    return short


def draw(lines: Sequence[Line], title: str, rows: int = ROWS) -> str:
    """An SVG that shows the lines one after the other, in a window of `rows`, again and again.

    Fewer lines have a window of their number. Where nothing moves, it shows the last lines. Lines that scrolled by at
    once are left out.
    """
    rows = min(rows, len(lines))
    times = sorted({line.time_s for line in lines})
    ends = {time_s: sum(line.time_s <= time_s for line in lines) for time_s in times}
    shown = sorted({n for end in ends.values() for n in range(max(0, end - rows), end)})
    total = times[-1] + LAST_PAUSE_S
    percent = {time_s: 100 * time_s / total for time_s in times}
    width, height = COLUMNS * CHAR_PX + 2 * MARGIN_PX, rows * LINE_PX + 2 * MARGIN_PX
    first = {time_s: shown.index(max(0, end - rows)) for time_s, end in ends.items()}
    scroll = ''.join('%.2f%%{transform:translateY(%dpx)}' % (percent[t], -LINE_PX * first[t]) for t in times)
    steps = ''.join(
        '@keyframes a%d{0%%,%.2f%%{opacity:0}%.2f%%,to{opacity:1}}.a%d{animation:a%d %.1fs infinite}'
        % (n, percent[t], percent[t] + 0.01, n, n, total)
        for n, t in enumerate(times)
        if t > 0
    )
    body = ''.join(
        '<text y="%d" class="a%d">%s</text>'
        % (LINE_PX * place + FONT_PX, times.index(lines[n].time_s), _spans(lines[n]))
        for place, n in enumerate(shown)
    )
    style = (
        'text{fill:#dfe4ea;white-space:pre}'
        '@keyframes scroll{%s}.scroll{transform:translateY(%dpx);animation:scroll %.1fs step-end infinite}%s'
        '@media(prefers-reduced-motion:reduce){*{animation:none!important}}'
    ) % (scroll, -LINE_PX * first[times[-1]], total, steps)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" xml:space="preserve" '
        'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,\'Liberation Mono\',monospace" font-size="%d">'
        '<title>%s</title><style>%s</style><rect width="100%%" height="100%%" rx="8" fill="#14181d"/>'
        '<svg x="%d" y="%d" width="%d" height="%d"><g class="scroll">%s</g></svg></svg>\n'
    ) % (
        *(width, height, width, FONT_PX, escape(title), style),
        *(MARGIN_PX, MARGIN_PX, COLUMNS * CHAR_PX + MARGIN_PX, rows * LINE_PX, body),
    )


def _spans(line: Line) -> str:
    """The text of a line as SVG: each colored part is a `tspan`."""
    spans, position, color, is_bold = '', 0, '', False
    for found in [*_ESCAPE.finditer(line.text), None]:
        part = escape(line.text[position : found.start() if found else None])
        style = (' fill="%s"' % color if color else '') + (' font-weight="700"' if is_bold else '')
        spans += '<tspan%s>%s</tspan>' % (style, part) if style and part else part
        if found:
            position = found.end()
            for code in map(int, found[1].split(';')) if found[2] == 'm' and found[1] else ():
                color = COLORS.get(code, '' if code in (0, 37, 39) else color)
                is_bold = code == 1 or (is_bold and code not in (0, 22))
    return spans


class Recorder:
    """The chunks of a session, each with its time."""

    def __init__(self, names: dict[str, str]) -> None:
        """`names` has the short names of folders."""
        self.chunks: list[tuple[float, str]] = []
        self._names = names

    def note(self, text: str) -> None:
        self.chunks.append((time.monotonic(), text))

    def type(self, prompt: str, text: str) -> None:
        """Note what a person types, after the time that this takes."""
        time.sleep(TYPING_S * len(text))
        self.note(prompt + text + '\r\n')

    def save(self, path: Path, title: str) -> None:
        lines = [Line(line.time_s, self._shorten(line.text)) for line in lines_of(self.chunks)]
        path.write_text(draw(wrapped(with_short_pauses(lines)), title))
        print('%s: %d bytes' % (path, path.stat().st_size))

    def _shorten(self, text: str) -> str:
        for long, short in self._names.items():
            text = text.replace(long, short)
        return text


def record_start(recorder: Recorder, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the server on a terminal, and note its output until it is ready."""
    recorder.note('')
    recorder.type('$ ', START)
    ours, theirs = pty.openpty()
    server = subprocess.Popen(
        START.split(), stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    log = ''
    while not re.search('all set.*\n', log):
        text = os.read(ours, 65536).decode()
        recorder.note(text)
        log += text
    return server


def record_statements(recorder: Recorder) -> None:
    """Run the statements, and note them and what they print."""
    console = InteractiveConsole()
    recorder.note('')
    recorder.type('$ ', 'python')
    for statement in STATEMENTS:
        recorder.type('>>> ', statement)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            console.push(statement)
        recorder.note(printed.getvalue())
    console.push('bc.close()')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-out', type=Path, default=PICTURES, help='folder of the pictures')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        temporary = Path(home, 'tmp')
        temporary.mkdir()
        names = {sys.prefix: '.venv', str(temporary): '/tmp', home: '~'}
        ours = ('BERT_SERVING_', 'XDG_')
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        environment |= {'HOME': home, 'TMPDIR': str(temporary), 'TERM': 'xterm-256color', 'COLUMNS': str(COLUMNS)}
        environment['PATH'] = str(Path(sys.executable).parent) + os.pathsep + os.environ.get('PATH', '')
        start, statements = Recorder(names), Recorder(names)
        server = record_start(start, environment)
        try:
            start.save(args.out / 'terminal-start.svg', 'A start of the server: ' + START)
            record_statements(statements)
            statements.save(args.out / 'terminal-encode.svg', 'A client encodes sentences in Python')
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


if __name__ == '__main__':
    main()
