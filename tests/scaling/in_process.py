#!/usr/bin/env python3
"""What does the service cost over its graph? Bulk through the client beside the same sentences in this process.

    python tests/scaling/in_process.py                                   the embedded default model, float32
    python tests/scaling/in_process.py -bf16 -max_seq_len 40             any option of bert-serving-start

In this process the same sentences go through the same tokenizer, batcher and graph, one after the other and without
a socket. The two are measured in turn; printed are the medians and the share that the service reaches.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time

from bert_serving.server.benchmark.load import connect
from bert_serving.server.benchmark.sentences import make_sentences
from bert_serving.server.graph.export import GraphSpec, export
from bert_serving.server.graph.runtime import GraphEncoder
from bert_serving.server.helper import get_args_parser
from bert_serving.server.model.config import resolve_layers
from bert_serving.server.model.folder import Model, find_model
from bert_serving.server.model.vocabulary import load_vocab
from bert_serving.server.options.settings import Settings
from bert_serving.server.parent.server_process import ServerProcess
from bert_serving.server.protocol.ring import JobHeader, Lane, RequestRef
from bert_serving.server.worker.batcher import Batcher, ReadyJob
from bert_serving.server.worker.device import batch_limits
from bert_serving.server.worker.rows import RowEncoder, pack
from bert_serving.server.worker.wordpiece import WordPiece

REPEATS = 5


class InProcess:
    """The work of one worker, without its threads and sockets."""

    def __init__(self, settings: Settings, model: Model, graph: str) -> None:
        word_piece = WordPiece(load_vocab(model.vocab), lower_case=model.lower_case)
        self._settings = settings
        self._rows = RowEncoder(
            word_piece,
            settings.max_seq_len,
            model.config.max_position_embeddings,
            settings.mask_cls_sep,
            settings.no_special_token,
        )
        self._encoder = GraphEncoder(graph, threads=len(os.sched_getaffinity(0)), xla=settings.xla)
        self._encoder.load()

    def encode(self, sentences: list[str]) -> None:
        batcher = Batcher(batch_limits(self._settings, device=-1))
        size = self._settings.max_batch_size
        for part, first in enumerate(range(0, len(sentences), size)):
            texts = sentences[first : first + size]
            header = JobHeader(RequestRef(1, b'', b'1', 1, len(sentences)), part, 0, first, len(texts), Lane.BULK)
            encoded = self._rows.encode(texts)
            batcher.add(ReadyJob(header, encoded.rows, encoded.max_len))
        while (batch := batcher.next_batch()) is not None:
            for _answer in batcher.finish(batch, self._encoder.encode(*pack(batch.rows, batch.width))):
                pass


def main() -> None:
    parser = get_args_parser()
    parser.add_argument('-rows', type=int, default=4096)
    args = parser.parse_args([*sys.argv[1:], '-cpu', '-port', '0', '-port_out', '0'])
    settings = Settings.from_args(args)
    model = find_model(settings.model_dir)
    sentences = make_sentences(args.rows)
    with tempfile.TemporaryDirectory(prefix='bert-serving-in-process-') as folder:
        graph = os.path.join(folder, 'graph.pb')
        layers = resolve_layers(settings.pooling_layer, model.config)
        export(GraphSpec(model=model, layers=layers, bf16=settings.bf16, on_cpu=True), graph)
        here = InProcess(settings, model, graph)
        with (
            ServerProcess(settings, os.path.join(folder, 'log'), ready_within_s=300) as server,
            connect(server.address) as client,
        ):
            speeds = [(measure(here.encode, sentences), measure(client.encode, sentences)) for _ in range(REPEATS + 1)]
    in_process, through_client = (statistics.median(column) for column in zip(*speeds[1:]))
    print(
        'in process %.0f rows/s, through the client %.0f rows/s: %.3f'
        % (in_process, through_client, through_client / in_process)
    )


def measure(encode, sentences: list[str]) -> float:
    """Rows a second."""
    started = time.perf_counter()
    encode(sentences)
    return len(sentences) / (time.perf_counter() - started)


if __name__ == '__main__':
    main()
