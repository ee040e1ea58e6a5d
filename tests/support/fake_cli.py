"""`bert-serving-start` with a `FakeServer`, and what of its patience is not the default.

`FAKE_SINK_LIMITS` has limits of its sink, `FAKE_PATIENCE` those with children that die.
"""

from __future__ import annotations

import json
import os

from bert_serving.server import cli
from bert_serving.server.process.restarts import Patience
from support.serving import FakeServer

if __name__ == '__main__':
    FakeServer.sink_limits = json.loads(os.environ.get('FAKE_SINK_LIMITS', '{}'))
    FakeServer.patience = Patience(**json.loads(os.environ.get('FAKE_PATIENCE', '{}')))
    cli.main(FakeServer)
