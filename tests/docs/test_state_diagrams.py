"""The state diagrams of docs/architecture.md are those of the code."""

from __future__ import annotations

import subprocess
import sys

from docs.pages import ROOT


def test_the_diagrams_are_current() -> None:
    """After a change of a table in process/states.py: python docs/state_diagrams.py."""
    process = subprocess.run(
        [sys.executable, str(ROOT / 'docs' / 'state_diagrams.py'), '--check'],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 0, process.stderr


def test_every_machine_has_a_diagram() -> None:
    page = (ROOT / 'docs' / 'architecture.md').read_text('utf-8')
    for name in ('server', 'child', 'slot'):
        assert '<!-- states: %s -->\n\n```text\nstarting ' % name in page
