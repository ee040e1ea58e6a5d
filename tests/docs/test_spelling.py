"""No misspelt word in the documentation, nor in what the code says of itself: codespell's list of common ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

from docs.pages import PAGES, ROOT

CODE = ('client/bert_serving', 'server/bert_serving', 'example', 'tests/docs', 'Makefile', 'noxfile.py')


@pytest.mark.slow
def test_spelling() -> None:
    process = subprocess.run(
        [sys.executable, '-m', 'codespell_lib', '--skip', '*.html', *map(str, [*PAGES, *ROOT.glob('docs/*.py')]), *CODE],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
