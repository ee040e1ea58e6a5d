"""What a child runs: `python -m bert_serving.server.process.child_main MODULE`, where MODULE has a `main` for `run_child`.

A module of its own, so that MODULE is imported under its real name, and not as `__main__`.
"""

from __future__ import annotations

import importlib
import sys

from .child import run_child

if __name__ == '__main__':
    run_child(importlib.import_module(sys.argv[1]).main)
