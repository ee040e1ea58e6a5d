"""`bert-serving-start` with a `FakeServer`; `FAKE_SINK_BOUNDS` has those bounds of its sink that are not the default."""

from __future__ import annotations

import json
import os

from bert_serving.server import cli
from serving import FakeServer

if __name__ == '__main__':
    FakeServer.sink_bounds = json.loads(os.environ.get('FAKE_SINK_BOUNDS', '{}'))
    cli.main(FakeServer)
