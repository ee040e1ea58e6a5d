"""Servers for the scripts, and the card as `nvidia-smi` sees it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATHS = [str(ROOT / name) for name in ('tests', 'server', 'client')]


def prepare_paths() -> None:
    """Put the tests, the server and the client of this checkout on the path of this process and its children."""
    sys.path[:0] = [path for path in PATHS if path not in sys.path]
    inherited = os.environ.get('PYTHONPATH', '').split(os.pathsep)
    os.environ['PYTHONPATH'] = os.pathsep.join([*PATHS, *(path for path in inherited if path)])


def ask_card(*names: str) -> list[str] | None:
    """Return the values of these `nvidia-smi --query-gpu` names for the first card, or None without a card."""
    if shutil.which('nvidia-smi') is None:
        return None
    command = ['nvidia-smi', '--query-gpu=' + ','.join(names), '--format=csv,noheader,nounits', '--id=0']
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return None if done.returncode else [value.strip() for value in done.stdout.strip().split(',')]


def describe_card() -> dict[str, Any]:
    """Return the name, the memory in MiB and the driver of the card, or {} without a card."""
    names = ('name', 'memory.total', 'driver_version')
    values = ask_card(*names)
    return {} if values is None else dict(zip(names, values))


def used_memory_mib() -> int | None:
    """Return the memory of the card that all processes use, in MiB, or None without a card."""
    values = ask_card('memory.used')
    return None if values is None else int(values[0])
