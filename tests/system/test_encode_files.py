"""`bert-serving-encode` as a user runs it: with its own server, killed while it works, and interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.serving import SMALL_MODEL, FakeServer, fake_path, serve
from support.waiting import wait_until

pytestmark = pytest.mark.slow

ROWS = 20_000


def start(*words: object, **environment: str) -> subprocess.Popen[str]:
    """Start the command; without `-server` its server has fake workers."""
    return subprocess.Popen(
        [sys.executable, '-m', 'support.encode_cli', *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, 'PYTHONPATH': fake_path(), **environment},
    )


def run(*words: object) -> tuple[int, str, str]:
    with start(*words) as process:
        output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob('part-*'))}


def test_killed_while_it_works_it_goes_on_and_writes_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / 'in.txt'
    source.write_text(''.join('row number %d\n' % number for number in range(ROWS)))
    with serve('-model_dir', SMALL_MODEL, server_class=FakeServer) as server:
        address = '127.0.0.1:%d,%d' % (server.port, server.port_out)
        words = (source, '-server', address, '-output_format', 'jsonl', '-part_rows', 1000, '-output')
        code, output, errors = run(*words, tmp_path / 'whole')
        assert (code, output.split(' time=')[0]) == (0, 'rows=20000 errors=0 tokens=%d' % token_count(output)), errors
        killed = tmp_path / 'killed'
        for complete in (1, 7, 12):
            with start(*words, killed) as process:
                kill_after(process, killed, complete)
        assert len(parts(killed)) < 20
        code, output, errors = run(*words, killed)
    assert code == 0, errors
    assert output.startswith('rows=20000 errors=0 ')
    assert parts(killed) == parts(tmp_path / 'whole')
    ids = [json.loads(line)['id'] for content in parts(killed).values() for line in content.splitlines()]
    assert ids == list(range(ROWS))


def kill_after(process: subprocess.Popen[str], folder: Path, complete: int) -> None:
    """Kill the command when it has completed more parts than so many."""
    wait_until(lambda: len(parts(folder)) > complete or process.poll() is not None, within_s=60)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def token_count(output: str) -> int:
    return int(output.split('tokens=')[1].split()[0])


def test_its_own_server_gets_its_options_and_is_stopped(tmp_path: Path) -> None:
    (tmp_path / 'in.txt').write_text('one\n\nthree\n')
    words = (tmp_path / 'in.txt', '-output', tmp_path / 'out', '-output_format', 'jsonl', '-cpu')
    code, output, errors = run(*words, '-model_dir', SMALL_MODEL, '-num_worker', 2)
    assert code == 0, errors
    assert output.startswith('rows=3 errors=1 ')
    log = (tmp_path / 'out' / '_server.log').read_text()
    assert 'all set, ready to serve request!' in log
    assert 'WORKER-1' in log


def test_interrupted_it_stops_its_server_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / 'in.txt').write_text('row\n' * 50_000)
    words = (tmp_path / 'in.txt', '-output', tmp_path / 'out', '-output_format', 'jsonl', '-cpu')
    gate = str(tmp_path / 'gate')
    with start(*words, '-model_dir', SMALL_MODEL, FAKE_WORKER_GATE=gate) as process:
        log = tmp_path / 'out' / '_server.log'
        wait_until(lambda: (log.exists() and 'all set' in log.read_text()) or process.poll() is not None, within_s=60)
        process.send_signal(signal.SIGINT)
        _output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == 'interrupted: run the same command again to continue'
    assert 'Traceback' not in errors


@pytest.mark.parametrize(
    ('words', 'says'),
    [
        (('in.txt', '-output', 'out', '-model_dir', 'nothing'), 'error: '),
        (('in.txt', '-output', 'out', '-server', 'somewhere'), "expected HOST:PORT,PORT_OUT, got 'somewhere'"),
        (('nothing.txt', '-output', 'out'), 'no such file or folder'),
        ((), 'the following arguments are required: INPUT'),
    ],
)
def test_a_command_that_cannot_work_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'in.txt').write_text('one\n')
    code, output, errors = run(*words, *(('-output_format', 'jsonl') if words else ()))
    lines = [
        line for line in errors.splitlines() if ' started a server ' not in line and ':started a server' not in line
    ]
    assert (code, output, len(lines)) in ((2, '', 1), (1, '', 1)), errors
    assert says in lines[0]
