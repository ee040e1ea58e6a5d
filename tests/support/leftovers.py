"""Fixtures for folders of tests that start servers: nothing of a server is left behind by any test.

A `conftest.py` imports them; `fake_modules` leads the children of a `FakeServer` to their modules.
"""

from __future__ import annotations

import glob
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator

import pytest

from support.serving import fake_path


@pytest.fixture(autouse=True)
def fake_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PYTHONPATH', fake_path())


@pytest.fixture(autouse=True)
def leftovers(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Temporary files go to a folder of the test's own, which must be empty of ours at the end."""
    tmp_path_factory.getbasetemp()  # pytest's own folder is made where it always is
    folder = tempfile.mkdtemp(prefix='bss')  # not pytest's own: its paths are too long for a socket
    monkeypatch.setenv('TMPDIR', folder)
    monkeypatch.setattr(tempfile, 'tempdir', folder)
    yield
    left = leftovers_in(folder)
    subprocess.run(['rm', '-rf', folder], check=True)
    assert not left, left


def leftovers_in(folder: str, within_s: float = 5) -> list[str]:
    """Files of ours in `folder` and processes that were given it, once they have had a moment to go."""
    deadline = time.monotonic() + within_s
    while (left := glob.glob(folder + '/bert-serving*') + processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def processes_of(folder: str) -> list[str]:
    """The command lines of the live processes whose environment names `folder`, this one and zombies apart."""
    found = []
    for entry in os.listdir('/proc'):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open('/proc/%s/environ' % entry, 'rb') as file:
                environ = file.read()
            with open('/proc/%s/cmdline' % entry, 'rb') as file:
                words = file.read().replace(b'\0', b' ').decode(errors='replace')
        except OSError:
            continue
        if b'TMPDIR=' + folder.encode() in environ and words:
            found.append('%s: %s' % (entry, words))
    return found
