"""A server whose workers batch in another way, to find the best way on a GPU. `measure.py` starts it.

The environment chooses the way: `WINDOW` is the number of batches whose rows are sorted at a time, and `RUN_COST` is
the cost of a run of the graph in tokens (`worker/batch_limits.py`). `batching_exporter.py` has a third variable.
"""

from __future__ import annotations

import os
from dataclasses import replace

from bert_serving.server import BertServer
from bert_serving.server.options.settings import Settings
from bert_serving.server.parent import server_process
from bert_serving.server.process.reports import ChildConfig, ReportReady
from bert_serving.server.worker import batcher, worker
from bert_serving.server.worker.batch_limits import BatchLimits
from bert_serving.server.worker.device import batch_limits

WINDOW, RUN_COST = 'GPU_WINDOW_BATCHES', 'GPU_RUN_COST'


class BatchingServer(BertServer):
    modules = replace(BertServer.modules, exporter='gpu.batching_exporter', worker='gpu.batching_worker')


def change_batching() -> None:
    """Change the batcher of this process according to the environment."""
    batcher.WINDOW_BATCHES = int(os.environ.get(WINDOW, batcher.WINDOW_BATCHES))
    run_cost = int(os.environ.get(RUN_COST, '0')) or None

    def changed(settings: Settings, device: int) -> BatchLimits:
        return replace(batch_limits(settings, device), run_cost=run_cost)

    worker.batch_limits = changed  # type: ignore[attr-defined]


def main(config: ChildConfig, report_ready: ReportReady) -> None:
    server_process.main(config, report_ready, BatchingServer)
