"""Examples as a user runs them: a process each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / 'example'

Run = Callable[..., str]


def run_example(name: str, *words: str, typed: str = '') -> str:
    """What an example prints, run with `words` as its arguments; an AssertionError shows why it failed."""
    process = subprocess.run(
        [sys.executable, str(EXAMPLE / name), *words], input=typed, capture_output=True, text=True, timeout=240
    )
    assert process.returncode == 0, process.stderr
    return process.stdout
