#!/usr/bin/env python3
"""Measure sentence-transformers with a model and texts. `measure.py` starts it, without our paths and packages.

    python tests/gpu/peer.py MODEL TEXTS.json -batch_sizes 64 256 -max_seq_len 40

Prints one JSON object: rows per second for each batch size, as median of three, and the median time of one sentence.
Uses mean pooling, with float16 on a GPU and float32 on a CPU.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import time
from pathlib import Path

REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='a folder for transformers, without modules, so that mean pooling is the default')
    parser.add_argument('texts', type=Path)
    parser.add_argument('-batch_sizes', type=int, nargs='+', default=[64, 256, 1024])
    parser.add_argument('-max_seq_len', type=int, default=40)
    parser.add_argument('-cpu', action='store_true')
    args = parser.parse_args()
    torch = importlib.import_module('torch')
    library = importlib.import_module('sentence_transformers')
    texts = json.loads(args.texts.read_text('utf-8'))
    model = library.SentenceTransformer(args.model, device='cpu' if args.cpu else 'cuda')
    model.max_seq_length = args.max_seq_len
    if not args.cpu:
        model.half()

    def seconds(some: list[str], size: int) -> float:
        started = time.perf_counter()
        model.encode(some, batch_size=size, convert_to_numpy=True, show_progress_bar=False)
        return time.perf_counter() - started

    rates = {}
    for size in args.batch_sizes:
        seconds(texts, size)
        rates[size] = len(texts) / statistics.median(seconds(texts, size) for _ in range(REPEATS))
    seconds(texts[:1], 1)
    one = statistics.median(seconds([text], 1) for text in texts[:32])
    best = max(rates, key=lambda size: rates[size])
    facts = {
        'sentence_transformers': library.__version__,
        'torch': torch.__version__,
        'dtype': str(next(model.parameters()).dtype),
        'device': str(next(model.parameters()).device),
        'modules': str(model),
        'tokens_of_first': len(model.tokenizer(texts[0], truncation=True, max_length=args.max_seq_len)['input_ids']),
        'rows_per_s': {size: round(rate, 1) for size, rate in rates.items()},
        'best': round(rates[best], 1),
        'best_batch_size': best,
        'one_sentence_ms': round(1000 * one, 2),
    }
    print(json.dumps(facts))


if __name__ == '__main__':
    main()
