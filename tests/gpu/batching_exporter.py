"""The exporter of a `batching.BatchingServer`: with `PACKS` in the environment, the graph leaves out padding."""

from __future__ import annotations

import os
from typing import Any

from bert_serving.server.graph import exporter
from bert_serving.server.graph.spec import GraphSpec
from bert_serving.server.process.reports import ChildConfig

PACKS = 'GPU_PACKS'


def leave_out_padding() -> None:
    """Make every graph of this process leave out padding, as on CPUs. The key of a kept export ignores this."""
    GraphSpec.packs = property(lambda spec: True)  # type: ignore[method-assign, assignment]


def main(config: ChildConfig, report_ready: Any) -> None:
    if os.environ.get(PACKS, '0') != '0':
        leave_out_padding()
    exporter.main(config, report_ready)
