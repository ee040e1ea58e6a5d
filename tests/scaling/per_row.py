#!/usr/bin/env python3
"""How much CPU does a worker need for a row, apart from computing it? A device of 10,000 rows/s leaves 100 µs.

    python tests/scaling/per_row.py                                     WordPiece, jobs of 256 rows of 22 tokens
    python tests/scaling/per_row.py -words 40 -floats 1024 -rows 64     longer texts, wider vectors, smaller jobs
    python tests/scaling/per_row.py -model_dir FOLDER                   the tokenizer of that model

The real worker takes in jobs and computes batches on a double that computes nothing, both in this thread and without
sockets. Prints a Markdown table of microseconds of CPU for a row, medians of `-repeats`. Only the CPU of this thread
counts, so the times hardly depend on other programs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bert_serving.server.benchmark.random_model import make_vocabulary
from bert_serving.server.benchmark.sentences import make_sentences
from bert_serving.server.links.worker_links import LocalLinks
from bert_serving.server.model.folder import find_model
from bert_serving.server.model.vocabulary import load_vocab
from bert_serving.server.protocol.ring import Job, JobHeader, Lane, RequestRef
from bert_serving.server.protocol.texts import decode_texts, parse_texts
from bert_serving.server.worker.batch_limits import BatchLimits
from bert_serving.server.worker.published_tokenizer import PublishedTokenizer
from bert_serving.server.worker.rows import RowEncoder, pack
from bert_serving.server.worker.tokenizer import Tokenizer
from bert_serving.server.worker.wordpiece import WordPiece
from bert_serving.server.worker.worker import Worker

BATCH_ROWS = 256


class NoDevice:
    """An encoder that takes no time: it answers rows of the same zeros."""

    def __init__(self, floats: int) -> None:
        self._answers = np.zeros((BATCH_ROWS, floats), np.float32)

    def will_compile(self, rows: int, width: int) -> bool:
        return False

    def encode(self, input_ids: NDArray[np.int32], *_masks: NDArray[np.int32]) -> NDArray[np.generic]:
        return self._answers[: len(input_ids)]


class NoSink:
    """A socket to which parts are sent and lost."""

    def send_multipart(self, frames: Sequence[Any], copy: bool) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-rows', type=int, default=256, help='rows of a job')
    parser.add_argument('-jobs', type=int, default=16, help='jobs that wait at the same time')
    parser.add_argument('-words', type=int, help='words of each text (default: as in natural text, 20 on average)')
    parser.add_argument('-floats', type=int, default=768, help='floats of the answer to a row')
    parser.add_argument('-model_dir', help='the model whose tokenizer is used (default: a WordPiece of 30,522 tokens)')
    parser.add_argument('-repeats', type=int, default=9)
    args = parser.parse_args()
    rows = RowEncoder(load_tokenizer(args.model_dir), 512, 512, mask_cls_sep=False, no_special_token=False)
    texts = make_sentences(args.rows * args.jobs, args.words)
    measured = [measure(args, rows, texts) for _ in range(1 + args.repeats)][1:]
    print('| part of the work | thread | µs/row |\n|---|---|---:|')
    for (name, thread), values in zip(measured[0], zip(*(each.values() for each in measured))):
        print('| %s | %s | %.1f |' % (name, thread, statistics.median(values)))


def load_tokenizer(folder: str | None) -> Tokenizer:
    """The tokenizer of the model in a folder; without one, a WordPiece of 30,522 tokens."""
    model = None if folder is None else find_model(folder)
    if model is None:
        return WordPiece({token: index for index, token in enumerate(make_vocabulary(30522))}, lower_case=True)
    if model.tokenizer_files is None:
        return WordPiece(load_vocab(model.vocab), lower_case=model.lower_case)
    return PublishedTokenizer(model.tokenizer_files.load(model.config.vocab_size))


def measure(args: argparse.Namespace, rows: RowEncoder, texts: list[str]) -> dict[tuple[str, str], float]:
    """Microseconds a row of each part of the work, by its name and the thread of a worker that does it."""
    jobs = []
    for first in range(0, len(texts), args.rows):
        some = texts[first : first + args.rows]
        header = JobHeader(RequestRef(first, b'client', b'1', 1, len(some)), 0, 0, 0, len(some), Lane.BULK)
        jobs.append(Job(header, orjson.dumps(some)))
    limits = BatchLimits(BATCH_ROWS, BATCH_ROWS * 64, 2**26)
    sink: Any = NoSink()
    worker = Worker(0, LocalLinks(''), '', rows, NoDevice(args.floats), limits, False, None)
    costs: dict[tuple[str, str], float] = {}

    def note(name: str, thread: str, started: float) -> None:
        costs[name, thread] = 1e6 * (time.thread_time() - started) / len(texts)

    started = time.thread_time()
    decoded = [parse_texts(decode_texts(job.payload), args.rows) for job in jobs]
    note('decode the texts', 'intake', started)
    started = time.thread_time()
    encoded = [rows.encode(some) for some in decoded]
    note('tokenize', 'intake', started)
    started = time.thread_time()
    for job in jobs:
        worker._take_in(job, sink)
    note('all of the intake', 'intake', started)
    batches = []
    started = time.thread_time()
    while len(worker._batcher) and (batch := worker._batcher.next_batch()) is not None:
        batches.append(batch)
    note('choose batches', 'compute', started)
    started = time.thread_time()
    for batch in batches:
        pack(batch.rows, batch.width)
    note('pack', 'compute', started)
    started = time.thread_time()
    for batch in batches:
        worker._compute(batch, sink)
    note('pack, finish and send', 'compute', started)
    names = ('choose batches', 'compute'), ('pack, finish and send', 'compute')
    costs['all of the compute thread', 'compute'] = sum(costs[name] for name in names)
    assert sum(len(each.rows) for each in encoded) == len(texts)
    return costs


if __name__ == '__main__':
    main()
