"""A worker whose device is a clock: every batch takes the same time and answers rows of so many floats.

What stands in front of the device, and after it, is the real worker.
"""

from __future__ import annotations

import os
import time

import numpy as np
from numpy.typing import NDArray

from bert_serving.server.options.settings import Settings
from bert_serving.server.process.reports import ChildConfig, ReportReady
from bert_serving.server.worker import worker

SECONDS, FLOATS = 'SCALING_SECONDS', 'SCALING_FLOATS'
"""The environment variables that say how long a batch takes and how many floats a row's answer has."""

Int32 = NDArray[np.int32]


class Clock:
    """An encoder that computes nothing.

    A sleep ends a little late, which no device does: what one batch took too long, the next takes less.
    """

    def __init__(self, seconds: float, floats: int) -> None:
        self.seconds = seconds
        self.floats = floats
        self._overslept = 0.0

    def will_compile(self, rows: int, width: int) -> bool:
        return False

    def encode(
        self, input_ids: Int32, input_mask: Int32, input_type_ids: Int32, pooling_mask: Int32 | None = None
    ) -> NDArray[np.generic]:
        started = time.perf_counter()
        due = self.seconds - self._overslept
        time.sleep(max(0, due))
        self._overslept = time.perf_counter() - started - due
        return np.zeros((len(input_ids), self.floats), np.float32)


def load_clock(config: ChildConfig, settings: Settings) -> Clock:
    return Clock(float(os.environ[SECONDS]), int(os.environ[FLOATS]))


def main(config: ChildConfig, report_ready: ReportReady) -> None:
    worker.main(config, report_ready, load_clock)
