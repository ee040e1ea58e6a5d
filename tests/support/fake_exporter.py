"""An exporter process that exports nothing; see `serving.FakeServer`."""

from __future__ import annotations

from bert_serving.server.child import Instructions, ReportReady


def main(instructions: Instructions, report_ready: ReportReady) -> None:
    report_ready({'bytes': 0})
