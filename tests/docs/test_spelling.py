"""Spelling of the documentation and of the code's own texts: no common mistake of codespell's lists, and American."""

from __future__ import annotations

import subprocess
import sys

import pytest

from docs.pages import PAGES, ROOT

CODE = ('client/bert_serving', 'server/bert_serving', 'example', 'tests/docs', 'Makefile', 'noxfile.py')
LISTS = 'clear,rare,en-GB_to_en-US'
SKIPPED = '*.html,*.tsv'  # the figures of the examples were measured with the sentences as they are
OF_THE_INTERFACE = 'cancelled'  # a parameter of the client, part of a status key


@pytest.mark.slow
def test_spelling() -> None:
    pages = map(str, [*PAGES, *ROOT.glob('docs/*.py')])
    command = [sys.executable, '-m', 'codespell_lib', '--builtin', LISTS, '-L', OF_THE_INTERFACE, '--skip', SKIPPED]
    process = subprocess.run([*command, *pages, *CODE], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stdout + process.stderr
