"""`make serve` on the machine of a newcomer: its options, and a Python that is too old."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OF_AN_OUTER_MAKE = {'MAKEFLAGS', 'MFLAGS', 'MAKEOVERRIDES', 'MAKELEVEL', 'ARGS', 'PYTHON', 'VENV'}


def make(*words: str) -> subprocess.CompletedProcess[str]:
    command = ['make', '--no-print-directory', *words]
    environment = {name: value for name, value in os.environ.items() if name not in OF_AN_OUTER_MAKE}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment with all packages, as far as make knows."""
    (tmp_path / 'bin').mkdir()
    (tmp_path / 'bin' / 'python').symlink_to(sys.executable)
    (tmp_path / '.packages').touch()
    return tmp_path


def test_serve_passes_options_on(environment: Path) -> None:
    told = make('-n', 'serve', 'VENV=%s' % environment, 'ARGS=-num_worker 2')
    assert told.stdout.splitlines()[-1].endswith('bert-serving-start -cpu -http_port 8125 -num_worker 2'), told


def test_serve_says_what_to_run_with_paths_that_work(environment: Path) -> None:
    command = environment / 'bin' / 'bert-serving-start'
    command.write_text('#!/bin/sh\necho started "$@"\n')
    command.chmod(0o755)
    lines = make('serve', 'VENV=%s' % environment).stdout.splitlines()
    assert lines[-1] == 'started -cpu -http_port 8125'
    for words in ('/bin/python -c "from bert_serving.client import', 'curl http://localhost:8125/embed', '-terminate'):
        assert any(words in line for line in lines), lines


def an_old_python(folder: Path) -> Path:
    """A Python that fails every test of its version."""
    folder.mkdir(exist_ok=True)
    python = folder / 'python'
    python.write_text('#!/bin/sh\nexit 1\n')
    python.chmod(0o755)
    return python


def test_a_python_that_is_too_old_is_noticed_before_anything_is_installed(tmp_path: Path) -> None:
    told = make('serve', 'VENV=%s' % (tmp_path / 'venv'), 'PYTHON=%s' % an_old_python(tmp_path / 'old'))
    assert told.returncode
    assert 'is older than Python 3.11' in told.stderr
    assert not (tmp_path / 'venv').exists()


def test_an_environment_of_an_old_python_is_made_anew(environment: Path) -> None:
    (environment / 'bin' / 'python').unlink()
    an_old_python(environment / 'bin')
    told = make('-n', 'serve', 'VENV=%s' % environment, 'PYTHON=%s' % sys.executable)
    assert '%s -m venv --clear %s' % (sys.executable, environment) in told.stdout
