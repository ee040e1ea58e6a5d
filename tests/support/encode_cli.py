"""`bert-serving-encode` whose server is a `FakeServer`."""

from __future__ import annotations

from bert_serving.server import cli
from bert_serving.server.parent import server_process
from bert_serving.server.process.reports import ChildConfig, ReportReady
from support.serving import FakeServer


def main(config: ChildConfig, report_ready: ReportReady) -> None:
    """Be the server."""
    server_process.main(config, report_ready, FakeServer)


if __name__ == '__main__':
    cli.encode_main('support.encode_cli')
