"""A server with workers of `scaling_worker`, in a process of its own; see `benchmark/host.py`."""

from __future__ import annotations

from dataclasses import replace

from bert_serving.server.benchmark import host
from bert_serving.server.process.reports import ChildConfig, ReportReady
from support.serving import FakeServer


class ScalingServer(FakeServer):
    modules = replace(FakeServer.modules, worker='scaling.scaling_worker')


def main(config: ChildConfig, report_ready: ReportReady) -> None:
    host.main(config, report_ready, ScalingServer)
