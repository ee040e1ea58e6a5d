"""`bert-serving-start` with a `FakeServer`, with what the test sets of its limits.

`FAKE_SINK_LIMITS` has limits of its sink, `FAKE_RESTART_POLICY` the fields of its restart policy.
"""

from __future__ import annotations

import json
import os

from bert_serving.server import cli
from bert_serving.server.process.restarts import RestartPolicy
from support.serving import FakeServer

if __name__ == '__main__':
    FakeServer.sink_limits = json.loads(os.environ.get('FAKE_SINK_LIMITS', '{}'))
    FakeServer.restart_policy = RestartPolicy(**json.loads(os.environ.get('FAKE_RESTART_POLICY', '{}')))
    cli.main(FakeServer)
