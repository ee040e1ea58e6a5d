"""`bert-serving-http`, where the console script is not on the path."""

from __future__ import annotations

from bert_serving.server import cli

if __name__ == '__main__':
    cli.http_main()
