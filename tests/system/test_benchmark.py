"""`bert-serving-benchmark` as a user runs it: the files that it writes, and that it leaves nothing else behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from support.serving import SMALL_MODEL, serve
from support.waiting import wait_until

BENCHMARK = str(Path(__file__).resolve().parents[2] / 'benchmark.py')
MINIMAL = ('-cpu', '-test_num_worker', '1', '-test_precision', 'fp32', '-test_rows', '8', '-num_repeat', '2')


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, BENCHMARK, *MINIMAL, '-output_dir', str(folder), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_measures_its_own_server_beside_another_and_writes_files(tmp_path: Path) -> None:
    with serve('-model_dir', SMALL_MODEL) as other:
        words = (
            '-experiments targets client_batch_size max_seq_len -test_client_batch_size 1 4 -test_max_seq_len 12 9999'
        )
        against = '127.0.0.1:%d,%d' % (other.port, other.port_out)
        with start(tmp_path, '-model_dir', SMALL_MODEL, *words.split(), '-against', against) as process:
            output, errors = process.communicate(timeout=240)
    assert process.returncode == 1, errors  # of the one cell that cannot work
    report = (tmp_path / 'report.md').read_text('utf-8')
    assert report in output
    assert '|  | fp32 | %s | ratio |' % against in report
    assert '- failed: 9999, 1 worker: ' in report
    experiments = json.loads((tmp_path / 'results.json').read_text('utf-8'))['experiments']
    assert [experiment['name'] for experiment in experiments] == ['max_seq_len', 'client_batch_size', 'targets']
    measured = [cell for experiment in experiments for cell in experiment['cells'] if not cell['failure']]
    assert len(measured) == 1 + 2 + 4
    assert all(len(cell['values']) == 2 and min(cell['values']) > 0 for cell in measured)
    assert [bool(cell['ratio']) for cell in measured] == [False] + 6 * [True]
    assert 'all set' in (tmp_path / 'server.log').read_text('utf-8')


def test_a_wrong_option_is_one_line(tmp_path: Path) -> None:
    for words, text in (
        (('-model_dir', SMALL_MODEL, '-random_model', 'mini'), '-random_model and -model_dir are mutually exclusive'),
        (('-model_dir', SMALL_MODEL, '-against', 'somewhere'), 'expected HOST:PORT,PORT_OUT'),
        (('-model_dir', str(tmp_path)), 'holds no model'),
    ):
        with start(tmp_path, *words) as process:
            _output, errors = process.communicate(timeout=60)
        assert process.returncode == 2
        assert text in errors
        assert len(errors.splitlines()) == 1


def test_nothing_is_left_when_it_is_interrupted(tmp_path: Path) -> None:
    with start(tmp_path, '-random_model', 'mini') as process:
        log = tmp_path / 'server.log'
        wait_until(lambda: log.exists() or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        _output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert 'Traceback' not in errors
