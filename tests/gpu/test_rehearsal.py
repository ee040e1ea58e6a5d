"""Run the scripts for a GPU on a CPU, with few cases, so that they still work when a card is available."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent

pytestmark = pytest.mark.slow


def rehearse(script: str, folder: Path) -> dict[str, Any]:
    """Run a script and return its report, after checks of the exit code and of the written report."""
    output = folder / 'report.json'
    command = [
        sys.executable,
        str(SCRIPTS / script),
        '-rehearse',
        '-few',
        '-folder',
        str(folder),
        '-output',
        str(output),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    report: dict[str, Any] = json.loads(done.stdout)
    assert report['steps'] == json.loads(output.read_text('utf-8'))['steps']
    assert report['failed'] == 0
    assert all(step['reason'] for step in report['steps'] if step['result'] == 'skipped')
    return report


def results_of(report: dict[str, Any]) -> dict[str, str]:
    return {step['name']: step['result'] for step in report['steps']}


def test_what_is_checked_on_a_card_is_checked_as_far_as_a_cpu_can(tmp_path: Path) -> None:
    results = results_of(rehearse('check.py', tmp_path))
    skipped = {name for name, result in results.items() if result == 'skipped'}
    assert skipped == {'TensorFlow sees the card', 'the server finds the card'}
    assert {'answers float32', 'answers fp16', 'answers bf16', 'a killed worker loses nothing'} < set(results)


def test_what_is_measured_on_a_card_is_measured_with_doubles(tmp_path: Path) -> None:
    report = rehearse('measure.py', tmp_path)
    results = results_of(report)
    assert results['BERT-Base in each precision'] == results['table client_batch_size and num_client'] == 'ok'
    assert '| bulk, rows/s |' in report['tables']['base, precision']


def test_a_step_that_fails_or_does_not_end_is_in_the_report(tmp_path: Path) -> None:
    code = """
import sys, threading
from pathlib import Path
sys.path.insert(0, %r)
from gpu.report import Report
report = Report('example', {}, 6.5, Path(%r))
report.step('fails', lambda: {}['missing'])
report.step('hangs', threading.Event().wait)
report.step('comes too late', dict)
sys.exit(report.finish())
"""
    path = tmp_path / 'report.json'
    words = [sys.executable, '-c', code % (str(SCRIPTS.parent), str(path))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report == json.loads(path.read_text('utf-8')) | {'seconds': report['seconds']}
    assert results_of(report) == {'fails': 'failed', 'hangs': 'failed', 'comes too late': 'skipped'}
    assert [step['reason'] for step in report['steps']][:2] == [
        "KeyError: 'missing'",
        'the step did not finish in time',
    ]
