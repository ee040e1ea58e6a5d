"""`bert-serving-start` with a `FakeServer`."""

from __future__ import annotations

from bert_serving.server import cli
from serving import FakeServer

if __name__ == '__main__':
    cli.main(FakeServer)
