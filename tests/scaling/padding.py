#!/usr/bin/env python3
"""What does padding cost? Runs of a graph whose padding has states, and of one whose padding has none, in turn.

    python tests/scaling/padding.py                                        ONNX Runtime, MiniLM-L6
    python tests/scaling/padding.py -engine tensorflow -shape base         random weights in the shape of BERT-Base

The batches are those of sentences like natural text: *bulk* sorted by length and cut at 1,024 tokens, *few* 15 rows
that came together, as with 32 clients of one sentence, and *one* sentence alone. Printed are the medians of the clock
and of the processors' time of a run, in milliseconds, and the median ratio of neighbors: with padding to without.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from bert_serving.server.benchmark.random_model import SHAPES, write_model
from bert_serving.server.benchmark.sentences import make_sentences
from bert_serving.server.graph.export import GraphSpec, export
from bert_serving.server.model.folder import find_model
from bert_serving.server.model.vocabulary import load_vocab
from bert_serving.server.options.engines import ONNX_RUNTIME, TENSORFLOW
from bert_serving.server.worker.rows import Row, RowEncoder, pack
from bert_serving.server.worker.wordpiece import WordPiece
from support.engines import open_graph

MAX_SEQ_LEN = 40
BUDGET = 1024
FEW = 15


def batches_of(rows: list[Row]) -> dict[str, list[list[Row]]]:
    """The batches of each kind."""
    by_length = sorted(rows, key=len, reverse=True)
    bulk, start = [], 0
    while start < len(by_length):
        count = BUDGET // len(by_length[start])
        bulk.append(by_length[start : start + count])
        start += count
    few = [rows[start : start + FEW] for start in range(0, len(rows), FEW)]
    return {'bulk': bulk[:-1], 'few': few, 'one': [[row] for row in rows[:16]]}


def measure(encoder: Any, arrays: tuple[np.ndarray, ...]) -> tuple[float, float]:
    """The milliseconds of a run: of the clock, and of the processors."""
    clock, processors = time.perf_counter(), time.process_time()
    encoder.encode(*arrays)
    return 1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - processors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-engine', choices=[ONNX_RUNTIME, TENSORFLOW], default=ONNX_RUNTIME)
    parser.add_argument('-int8', action='store_true')
    parser.add_argument('-shape', choices=sorted(SHAPES), help='random weights (default: the embedded model)')
    parser.add_argument('-threads', type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument('-runs', type=int, default=60, help='of each kind of batch')
    parser.add_argument('-kinds', nargs='+', default=['bulk', 'few', 'one'])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='bert-serving-padding-') as folder:
        if args.shape:
            os.mkdir(os.path.join(folder, 'model'))
            write_model(os.path.join(folder, 'model'), SHAPES[args.shape])
        model = find_model(os.path.join(folder, 'model') if args.shape else None)
        layers = (model.config.num_hidden_layers - 2,)
        spec = GraphSpec(model, layers, on_cpu=True, engine=args.engine, int8=args.int8)
        encoders = []
        for packs in (False, True):
            with mock.patch.object(GraphSpec, 'packs', packs):
                path = export(spec, os.path.join(folder, 'graph-%d' % packs)).path
            encoder = open_graph(spec, path, threads=args.threads)
            encoder.load()
            encoders.append(encoder)
        word_piece = WordPiece(load_vocab(model.vocab), lower_case=model.lower_case)
        rows = RowEncoder(word_piece, MAX_SEQ_LEN, model.config.max_position_embeddings, False, False)
        for kind, batches in batches_of(list(rows.encode(make_sentences(1024)).rows)).items():
            if kind in args.kinds:
                compare(kind, batches, encoders, args.runs)


def compare(kind: str, batches: list[list[Row]], encoders: list[Any], runs: int) -> None:
    shares, times = [], []
    for number in range(-2, runs):
        batch = batches[number % len(batches)]
        width = max(map(len, batch))
        arrays = pack(batch, width)
        order = (0, 1) if number % 2 else (1, 0)
        taken = {index: measure(encoders[index], arrays) for index in order}
        if number >= 0:
            shares.append(1 - sum(map(len, batch)) / (width * len(batch)))
            times.append((taken[0], taken[1]))
    for what, which in (('clock', 0), ('processors', 1)):
        padded, packed = ([each[side][which] for each in times] for side in (0, 1))
        ratio = statistics.median(a / b for a, b in zip(padded, packed, strict=True))
        print(
            '%-5s padding %4.1f %%  %-10s  with %.2f ms (least %.2f)  without %.2f ms (least %.2f)  ratio %.3f'
            % (
                kind,
                100 * statistics.mean(shares),
                what,
                statistics.median(padded),
                min(padded),
                statistics.median(packed),
                min(packed),
                ratio,
            ),
            flush=True,
        )


if __name__ == '__main__':
    main()
