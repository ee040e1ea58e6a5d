"""Build both wheels, install them side by side in an empty environment and import from both.

    python tests/wheels/check.py

They share the package `bert_serving`, so this is where a fault in that would show. The dependencies are not installed:
what is imported needs none but the client's, which are taken from the environment that runs this.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEFT_BEHIND = shutil.ignore_patterns('__pycache__', 'build', 'dist', '*.egg-info')
DASHBOARD = 'bert_serving/server/http/dashboard.html'

LOOK = """
import bert_serving.client, bert_serving.server, bert_serving.server.helper
from bert_serving.server.graph import PoolingStrategy
assert bert_serving.client.__file__ != bert_serving.server.__file__
assert bert_serving.client.__file__.startswith(%(prefix)r), bert_serving.client.__file__
assert bert_serving.server.__file__.startswith(%(prefix)r), bert_serving.server.__file__
print('side by side:', bert_serving.client.__version__, bert_serving.server.__version__, PoolingStrategy.REDUCE_MEAN)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder, 'wheels')
        for side in ('client', 'server'):  # of copies: a build leaves files, and others may build at the same time
            source = shutil.copytree(ROOT / side, Path(folder, side), ignore=LEFT_BEHIND)
            run(sys.executable, '-m', 'build', '--wheel', '--outdir', str(wheels), str(source))
        names = sorted(wheel.name for wheel in wheels.iterdir())
        print(*names, sep='\n')
        expect(names[0].endswith('-py2.py3-none-any.whl'), 'the client is a wheel for Python 2 and 3')
        for wheel in wheels.iterdir():
            files = zipfile.ZipFile(wheel).namelist()
            expect(any(name.endswith('py.typed') for name in files), '%s has py.typed' % wheel.name)
            expect('bert_serving/__init__.py' in files, '%s has the namespace file' % wheel.name)
            expect(not any('tests' in name for name in files), '%s has no tests' % wheel.name)
        in_wheel = zipfile.ZipFile(next(wheels.glob('bert_serving_server-*'))).read(DASHBOARD)
        expect(in_wheel == (ROOT / 'server' / DASHBOARD).read_bytes(), 'the server has the page of the dashboard')
        target = Path(folder, 'installed')
        run(
            sys.executable,
            '-m',
            'pip',
            'install',
            '--quiet',
            '--no-deps',
            '--target',
            str(target),
            '--upgrade',
            *map(str, wheels.iterdir()),
        )
        look = 'import sys; sys.path.insert(0, %r)' % str(target) + LOOK % {'prefix': str(target)}
        run(sys.executable, '-c', look, cwd=folder)


def expect(true: bool, what: str) -> None:
    if not true:
        sys.exit('not so: %s' % what)


def run(*command: str, cwd: str | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit('%s\n%s%s' % (' '.join(command), done.stdout, done.stderr))
    if command[1] == '-c':
        print(done.stdout.strip())


if __name__ == '__main__':
    main()
