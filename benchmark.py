#!/usr/bin/env python3
"""`bert-serving-benchmark`, from a checkout: `python benchmark.py -help`, and docs/benchmark.md."""

from __future__ import annotations

from bert_serving.server.cli import benchmark_main

if __name__ == '__main__':
    benchmark_main()
