"""The worker of a `batching.BatchingServer`."""

from __future__ import annotations

from bert_serving.server.process.reports import ChildConfig, ReportReady
from bert_serving.server.worker import worker
from gpu.batching import change_batching


def main(config: ChildConfig, report_ready: ReportReady) -> None:
    change_batching()
    worker.main(config, report_ready)
