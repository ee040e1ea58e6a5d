"""A server with workers of `scaling_worker`, in a separate process; see `parent/server_process.py`."""

from __future__ import annotations

from dataclasses import replace

from bert_serving.server.parent import server_process
from bert_serving.server.process.reports import ChildConfig, ReportReady
from support.serving import FakeServer


class ScalingServer(FakeServer):
    modules = replace(FakeServer.modules, worker='scaling.scaling_worker')


def main(config: ChildConfig, report_ready: ReportReady) -> None:
    server_process.main(config, report_ready, ScalingServer)
