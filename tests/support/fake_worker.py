"""A worker process without TensorFlow, for tests of the whole ring; see `serving.FakeServer`."""

from __future__ import annotations

import os
import time

from bert_serving.server import worker
from bert_serving.server.child import Instructions, ReportReady
from bert_serving.server.settings import Settings
from fake_encoder import FakeEncoder


def load_fake(instructions: Instructions, settings: Settings) -> FakeEncoder:
    time.sleep(float(os.environ.get('FAKE_WORKER_LOADS_SECONDS', '0')))
    if os.environ.get('FAKE_WORKER_DIES_AT_START') == str(instructions['worker']):
        raise RuntimeError('no such device')
    return FakeEncoder(seconds=float(os.environ.get('FAKE_WORKER_SECONDS', '0')))


def main(instructions: Instructions, report_ready: ReportReady) -> None:
    worker.main(instructions, report_ready, load_fake)
