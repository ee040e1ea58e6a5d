"""What a child writes up its report pipe is what its parent reads."""

from __future__ import annotations

import pytest

from bert_serving.server.console.progress import Progress
from bert_serving.server.process.reports import (
    Failed,
    Heartbeat,
    Leaving,
    Placed,
    PlacedReport,
    Ready,
    SentReport,
    Waiting,
    decode_report,
    encode_report,
)


@pytest.mark.parametrize(
    'report',
    [
        Ready({'port_out': 5556}),
        Ready({}),
        Heartbeat({'busy_s': 0.5, 'tally': {'rows': 3}}),
        Heartbeat({}),
        Progress('read the weights', 640, 1340),
        Failed('the model is\nnot there', 2),
        Waiting('num_cpus=1 num_gpus=0.5'),
        Placed({'node': 'f00', 'address': '10.0.0.7'}),
        Leaving(),
    ],
)
def test_a_report_is_one_line_and_is_read_as_it_was_written(report: SentReport | PlacedReport) -> None:
    line = encode_report(report)
    assert line.count(b'\n') == 1
    assert line.endswith(b'\n')
    assert decode_report(line) == report
    assert decode_report(line.rstrip(b'\n')) == report
