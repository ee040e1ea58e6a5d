"""A worker process without TensorFlow, for tests of the whole ring; see `serving.FakeServer`."""

from __future__ import annotations

import os
import threading
import time
from typing import NoReturn

from bert_serving.server import worker
from bert_serving.server.child import Instructions, ReportReady
from bert_serving.server.settings import Settings
from fake_encoder import FakeEncoder


def load_fake(instructions: Instructions, settings: Settings) -> FakeEncoder:
    time.sleep(float(os.environ.get('FAKE_WORKER_LOADS_SECONDS', '0')))
    if os.environ.get('FAKE_WORKER_DIES_AT_START') == str(instructions['worker']):
        raise RuntimeError('no such device')
    encoder = FakeEncoder(seconds=float(os.environ.get('FAKE_WORKER_SECONDS', '0')))
    gate = os.environ.get('FAKE_WORKER_GATE')
    if gate is not None:
        encoder.gate.clear()
        threading.Thread(target=_open_when_there, args=(encoder, gate), daemon=True).start()
    if os.environ.get('FAKE_WORKER_CRASHES') == str(instructions['worker']):
        encoder.encode = _crash  # type: ignore[method-assign]
    return encoder


def _open_when_there(encoder: FakeEncoder, path: str) -> None:
    """Let the runs go on once there is a file at `path`."""
    while not os.path.exists(path):
        time.sleep(0.01)
    encoder.gate.set()


def _crash(*_arrays: object) -> NoReturn:
    raise KeyboardInterrupt('the compute thread is ended by this')


def main(instructions: Instructions, report_ready: ReportReady) -> None:
    worker.main(instructions, report_ready, load_fake)
