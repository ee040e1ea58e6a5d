"""`bert-serving-benchmark` with servers that answer by `fake_encoder.FakeEncoder`; also the module of these servers."""

from __future__ import annotations

import sys

from bert_serving.server.benchmark.run import run_benchmark
from bert_serving.server.helper import get_benchmark_parser
from bert_serving.server.parent import server_process
from bert_serving.server.process.reports import ChildConfig, ReportReady
from support.serving import FakeServer


def main(config: ChildConfig, report_ready: ReportReady) -> None:
    server_process.main(config, report_ready, FakeServer)


if __name__ == '__main__':
    sys.exit(1 if run_benchmark(get_benchmark_parser().parse_args(), 'support.benchmark_cli') else 0)
