"""Virtual environments of the Pythons that the client supports, for noxfile.py, tests/interop and tests/golden."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

# The last virtualenv that can make an environment of Python 2.7; it needs no Python 2.7 of its own.
VIRTUALENV = 'virtualenv<20.22'


class PythonMissingError(Exception):
    """There is no such Python on this machine."""


def must_run() -> bool:
    """Whether a test that lacks something of the machine fails: in CI, and in a target that was asked for by name.

    It is skipped otherwise.
    """
    return bool(os.environ.get('CI') or os.environ.get('TESTS_MUST_RUN'))


def find_python(version: str) -> str:
    """The interpreter of a version like '2.7': on PATH, or among those of pyenv."""
    pyenv = Path(os.environ.get('PYENV_ROOT', '~/.pyenv')).expanduser()
    candidates = [shutil.which('python' + version), *sorted(map(str, pyenv.glob(f'versions/{version}.*/bin/python')))]
    ask = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)"
    for candidate in filter(None, candidates):
        # A shim of pyenv is on PATH for versions that are installed but not chosen, and then only complains.
        answer = subprocess.run([candidate, '-c', ask], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.split('\n')[0] == version:
            return answer.stdout.split('\n')[1]
    raise PythonMissingError(f'Python {version} is neither on PATH nor in {pyenv}/versions')


def make_environment(folder: Path, version: str, *requirements: str) -> str:
    """An environment with these packages; returns its interpreter. What is there already is used again.

    Tests that run side by side may ask for the same one.
    """
    interpreter = folder / 'bin/python'
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(folder.name + '.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not interpreter.exists():
            base = find_python(version)
            if version == '2.7':
                maker = make_environment(folder.parent / 'virtualenv', '%d.%d' % sys.version_info[:2], VIRTUALENV)
                _run(maker, '-m', 'virtualenv', '--quiet', '--no-periodic-update', '--python', base, str(folder))
            else:
                _run(base, '-m', 'venv', str(folder))
        _run(str(interpreter), '-m', 'pip', '--quiet', '--disable-pip-version-check', 'install', *requirements)
    return str(interpreter)


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError('%s: exit code %d\n%s' % (' '.join(command), done.returncode, done.stdout))
