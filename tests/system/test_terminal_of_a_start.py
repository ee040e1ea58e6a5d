"""What whoever starts a server sees: on a terminal, in a pipe, at the start, at the end, and after a mistake."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from support.processes import WORKER, children_of, fake_server, send
from support.raw_client import raw_client
from support.serving import SMALL_MODEL, ServerProcess, connect

ESCAPE = re.compile(r'\x1b\[[0-9;]*[A-Za-z]')
START = ('-model_dir', SMALL_MODEL, '-cpu', '-port', '0', '-port_out', '0')


class Terminal:
    """A command at a pseudo-terminal of 80 columns, which it is told of by nobody."""

    def __init__(self, module: str, *words: str, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        environ = {name: value for name, value in os.environ.items() if name not in ('NO_COLOR', 'COLUMNS')}
        self.process = subprocess.Popen(
            [sys.executable, '-m', module, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**environ, 'TERM': 'xterm', **environment},
        )
        os.close(theirs)
        self.screen = ''
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nobody is left at the other end
            while data := os.read(self._ours, 1 << 16):
                self.screen += data.decode(errors='replace')

    def wait_for(self, pattern: str, within_s: float = 60) -> None:
        deadline = time.monotonic() + within_s
        while not re.search(pattern, self.screen):
            assert time.monotonic() < deadline, self.screen
            assert self._reader.is_alive(), self.screen
            time.sleep(0.01)

    def press_ctrl_c(self) -> None:
        os.write(self._ours, b'\x03')

    def wait(self) -> int:
        """The exit code, once all is read."""
        code = self.process.wait(60)
        self._reader.join(10)
        return code

    @property
    def lines(self) -> list[str]:
        """What stands on the screen in the end: of a line that was written over, what was written last."""
        lines = self.screen.replace('\r\n', '\n').split('\n')
        return [ESCAPE.sub('', line).rpartition('\r')[2] for line in lines]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(10)
        os.close(self._ours)


@contextlib.contextmanager
def at_a_terminal(module: str, *words: str, **environment: str) -> Iterator[Terminal]:
    terminal = Terminal(module, *words, **environment)
    try:
        yield terminal
    finally:
        terminal.close()


def test_a_terminal_has_colors_a_line_that_moves_and_ctrl_c_ends_with_a_summary() -> None:
    with at_a_terminal('support.fake_cli', *START, FAKE_EXPORTER_SECONDS='2') as terminal:
        terminal.wait_for('all set, ready to serve request!')
        terminal.press_ctrl_c()
        assert terminal.wait() == 0
        assert 'I:\x1b[35mVENTILATOR\x1b[0m:[' in terminal.screen
        shown = re.findall(r'\[(=*) *\] read the weights: \S+ of 1.28GB, (\d+)%  [\d.]+s\r', terminal.screen)
        percents = [int(percent) for _, percent in shown]
        assert len(set(percents)) > 3, 'it moves with the work'
        assert percents == sorted(percents)
        assert [len(bar) for bar, _ in shown] == [24 * percent // 100 for percent in percents]
        assert not [line for line in terminal.lines if 'read the weights' in line], 'it leaves nothing'
        assert 'export: ' not in terminal.screen
        assert re.search(r':terminated! rows=0 requests=0 uptime=[\d.]+s$', terminal.lines[-2])


def test_ctrl_c_during_the_export_leaves_a_clean_terminal_and_no_half_graph(tmp_path: Path) -> None:
    with at_a_terminal(
        'support.fake_cli', *START, '-graph_tmp_dir', str(tmp_path), FAKE_EXPORTER_SECONDS='60'
    ) as terminal:
        terminal.wait_for('read the weights')
        assert len(list(tmp_path.iterdir())) == 1
        terminal.press_ctrl_c()
        assert terminal.wait() == 0
        assert not [line for line in terminal.lines if 'read the weights' in line]
        assert re.search(r':terminated! it never became ready \([\d.]+s\)$', terminal.lines[-2])
    assert not list(tmp_path.iterdir())


def test_a_line_of_the_log_leaves_what_a_program_has_on_the_terminal() -> None:
    with at_a_terminal('support.fake_cli', *START) as terminal:
        terminal.wait_for('all set, ready to serve request!')
        before, _, line = terminal.screen.rpartition('all set')[0].rpartition('\n')
        assert before
        assert '\x1b[K' not in line, 'there is no progress by now'
        terminal.press_ctrl_c()
        assert terminal.wait() == 0


def test_no_color_means_no_escape_sequence_at_all() -> None:
    with at_a_terminal('support.fake_cli', *START, FAKE_EXPORTER_SECONDS='5', NO_COLOR='1') as terminal:
        terminal.wait_for('all set, ready to serve request!')
        terminal.press_ctrl_c()
        assert terminal.wait() == 0
        assert '\x1b' not in terminal.screen
        assert '\r' not in terminal.screen.replace('\r\n', '')
        assert 'export: read the weights: ' in terminal.screen


def test_a_pipe_has_whole_lines_and_few_of_them() -> None:
    with fake_server(FAKE_EXPORTER_SECONDS='3') as server:
        server.wait_until_ready()
        assert server.stop() == 0
        assert '\r' not in server.log
        assert '\x1b' not in server.log
        progress = re.findall(r'I:VENTILATOR:.*:export: read the weights: (\S+) of 1.28GB, \d+% \(', server.log)
        assert 1 <= len(progress) <= 3
        assert '0B' not in progress


def test_an_export_that_is_soon_done_says_nothing_of_its_progress() -> None:
    with fake_server(FAKE_EXPORTER_SECONDS='0.5') as server:
        server.wait_until_ready()
        assert server.stop() == 0
        assert 'read the weights' not in server.log


def test_each_stage_of_the_start_says_what_is_done_and_then_how_long_it_took() -> None:
    with ServerProcess('-model_dir', SMALL_MODEL, '-http_port', '0', '-export_cache', 'NONE') as server:
        server.wait_until_ready()
        assert server.stop() == 0
        seconds, size = r'\d+\.?\d*s', r'[\d.]+[kMG]?B'
        stages = [
            r'VENTILATOR.*model: bert, 4 layers, 32 wide; ',
            r'VENTILATOR.*files: .*uncased_L-4_H-32_A-4/bert_model.ckpt \(bert, 4 layers, 32 hidden units, vocabulary of \d+, lower-cased\)',
            r'VENTILATOR.*freeze, optimize and export graph, could take a while\.\.\.',
            r'GRAPHOPT.*load TensorFlow \(seconds=\d',
            r'GRAPHOPT.*load checkpoint \(variables=\d+ parameters=[\d.]+k seconds=\d',
            r'GRAPHOPT.*build graph \(layers=1-3 of 4 seconds=\d',
            r'GRAPHOPT.*freeze \(size=%s seconds=\d' % size,
            r'GRAPHOPT.*write graph to: .* \(bytes=\d+ seconds=\d',
            r'VENTILATOR.*optimized graph is stored at: .* \(%s, %s\)' % (size, seconds),
            r'VENTILATOR.*start the sink and 1 worker, could take a while\.\.\.',
            r'VENTILATOR.*SINK is ready \(%s\)' % seconds,
            r'VENTILATOR.*start the HTTP server\.\.\.',
            r'VENTILATOR.*all set, ready to serve request! port=\d+ port_out=\d+ http_port=\d+ start=%s' % seconds,
        ]
        places = [re.search(' I:%s' % stage, server.log, re.MULTILINE) for stage in stages]
        assert None not in places, server.log
        assert [place.start() for place in places if place] == sorted(place.start() for place in places if place)
        for stage in (
            r'WORKER-0.*load TensorFlow \(seconds=\d',
            r'WORKER-0.*load graph and run it once \(size=%s seconds=\d' % size,
            r'VENTILATOR.*WORKER-0 is ready \(%s\)' % seconds,
            r'VENTILATOR.*PROXY is ready \(%s\)' % seconds,
        ):
            assert re.search(' I:%s' % stage, server.log, re.MULTILINE), stage


def test_the_last_line_counts_what_was_answered_and_what_went_wrong() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        with connect(server) as client:
            client.encode(['a', 'b'])
            send(children_of(server, WORKER)[0], signal.SIGKILL)
            server.wait_for_log('it is started again')
            client.encode(['c'])
        with raw_client(server) as raw:
            raw.ask([{'no': 'text'}])
            assert raw.receive_error() == 'BadRequest'
        assert server.stop() == 0
        assert re.search(r':terminated! rows=3 requests=2 uptime=[\dms.]+ errors=1 restarts=1\n$', server.log)


def test_a_start_that_fails_does_not_speak_of_rows() -> None:
    with fake_server(FAKE_WORKER_DIES_AT_START='0') as server:
        assert server.wait() == 1
        assert re.search(r':terminated! it never became ready \([\d.]+s\)\n$', server.log)
        assert 'rows=' not in server.log


def test_the_help_is_bold_on_a_terminal_and_as_wide_as_it_is() -> None:
    with at_a_terminal('bert_serving.server.cli', '-help', COLUMNS='60') as terminal:
        assert terminal.wait() == 0
        assert '\x1b[1mServing\x1b[0m: ports' in terminal.screen
        assert max(map(len, terminal.lines)) <= 60


def test_without_tensorflow_the_start_says_how_to_install_it_before_any_process() -> None:
    program = 'import sys; sys.modules["tensorflow"] = None; from bert_serving.server.cli import main; main()'
    command = [sys.executable, '-c', program, *START]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert 'TensorFlow is not installed' in line
    assert "pip install 'bert-serving-server[cpu]'" in line
