"""A worker process without TensorFlow, for tests of the whole ring; see `serving.FakeServer`.

Some words of a text are spells (`SPELLS`): they do to the worker that computes them what happens to real ones.
Variables of the environment do the rest; `FAKE_WORKER_...=N` is for worker N alone where it says so:

- `_LOADS_SECONDS`, `_SECONDS`: how long it takes to load, and each batch;
- `_GATE`: no batch ends before there is a file at that path;
- `_DIES_AT_START=N`, `_KILLED_AT_START=N`: it says that it cannot start; it is killed before it is ready;
- `_BROKEN_BY`: it is killed before it is ready, once there is a file at that path;
- `_CRASHES=N`: its compute thread ends by an exception;
- `_ROOM_MB`: how much memory it may take beyond what it has once it is loaded.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from typing import NoReturn

import numpy as np

from bert_serving.server.model.vocabulary import load_vocab
from bert_serving.server.options.settings import Settings
from bert_serving.server.process.reports import ChildConfig, ReportReady
from bert_serving.server.worker import worker
from support.fake_encoder import FakeEncoder, SpellboundEncoder

HUGE_ROW_BYTES = 128 << 20
"""What a row with the word "huge" takes while it is computed."""

HEAVY_ROWS = 4
"""A batch with more rows than this that have the word "heavy" is one too many for the machine."""


def _kill(_rows: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang(_rows: int) -> None:
    threading.Event().wait()


def _take_memory(rows: int) -> None:
    """MemoryError if there is not so much."""
    np.empty(rows * HUGE_ROW_BYTES, np.uint8)


def _be_killed_for_memory(rows: int) -> None:
    """What the kernel does to a process that takes the memory which others need."""
    if rows > HEAVY_ROWS:
        _kill(rows)


SPELLS = {'kill': _kill, 'stuck': _hang, 'huge': _take_memory, 'heavy': _be_killed_for_memory}


def load_fake(config: ChildConfig, settings: Settings) -> FakeEncoder:
    number = str(config['worker'])
    time.sleep(float(os.environ.get('FAKE_WORKER_LOADS_SECONDS', '0')))
    if os.environ.get('FAKE_WORKER_DIES_AT_START') == number:
        raise RuntimeError('no such device')
    if os.environ.get('FAKE_WORKER_KILLED_AT_START') == number or os.path.exists(
        os.environ.get('FAKE_WORKER_BROKEN_BY', '')
    ):
        _kill(0)
    vocab = load_vocab(config['vocab'])
    spells = {vocab[word]: spell for word, spell in SPELLS.items() if word in vocab}
    encoder = SpellboundEncoder(spells, seconds=float(os.environ.get('FAKE_WORKER_SECONDS', '0')))
    gate = os.environ.get('FAKE_WORKER_GATE')
    if gate is not None:
        encoder.gate.clear()
        threading.Thread(target=_open_when_there, args=(encoder, gate), daemon=True).start()
    if os.environ.get('FAKE_WORKER_CRASHES') == number:
        encoder.encode = _crash  # type: ignore[method-assign, assignment]
    room_mb = os.environ.get('FAKE_WORKER_ROOM_MB')
    if room_mb is not None:
        _limit_memory(int(room_mb) << 20)
    return encoder


def _limit_memory(room: int) -> None:
    """Let this process take so many bytes of addresses more, and then no more."""
    with open('/proc/self/statm') as file:
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _open_when_there(encoder: FakeEncoder, path: str) -> None:
    """Let the batches go on once there is a file at `path`."""
    while not os.path.exists(path):
        time.sleep(0.01)
    encoder.gate.set()


def _crash(*_arrays: object) -> NoReturn:
    raise KeyboardInterrupt('the compute thread is ended by this')


def main(config: ChildConfig, report_ready: ReportReady) -> None:
    worker.main(config, report_ready, load_fake)
