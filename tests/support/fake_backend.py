"""A backend of the HTTP app that needs no server: what it answers can be computed by hand from the rows."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_serving.server.http.backend import DEFAULT_OPTIONS, Encoding, IsGone
from bert_serving.server.http.errors import HTTPError, error_from_server
from bert_serving.server.http.health import StatusSnapshot
from bert_serving.server.http.requests import Rows
from bert_serving.server.protocol.options import EncodingOptions
from bert_serving.server.worker.postprocess import Finish

STATUS: Mapping[str, Any] = {
    'server_version': '1.10.0',
    'server_release': '2.0.0',
    'model_dir': '/snapshots/0123',
    'model': {
        'name': 'tiny',
        'model_type': 'bert',
        'task': 'embed',
        'dimensions': 3,
        'max_seq_len': 25,
        'pooling': 'REDUCE_MEAN',
        'prompts': {'query': 'query: ', 'passage': 'passage: '},
        'default_prompt_name': None,
        'labels': None,
    },
    'pooling_strategy': 2,
    'server_start_time': '2026-01-01 00:00:00',
    'server_state': 'serving',
    'extensions': ['options', 'token_ids', 'cancel'],
    'workers': [{'worker': 0, 'state': 'ready'}, {'worker': 1, 'state': 'restarting'}],
    'statistic': {
        'num_rows_done': 7,
        'padding_share': 0.25,
        'queue_time': {'count': 3, 'sum_s': 0.5, 'buckets': [[0.1, 2], [None, 3]]},
    },
}


def tokens_of(row: str | list[Any]) -> list[str]:
    return ['[CLS]', *(row.split() if isinstance(row, str) else map(str, row)), '[SEP]']


def places_of(text: str) -> list[tuple[str, int, int]]:
    return [(match[0], match.start(), match.end()) for match in re.finditer(r'\S+', text)]


def classifier(*labels: str, **more: Any) -> Mapping[str, Any]:
    """The status of a server whose model gives scores for these labels."""
    task = 'rerank' if len(labels) == 1 else 'classify'
    model = {
        **STATUS['model'],
        'task': task,
        'dimensions': len(labels),
        'pooling': None,
        'labels': list(labels),
        **more,
    }
    return {**STATUS, 'model': model}


class FakeBackend:
    """Answers [B, 3] float32: the number of a row's tokens, of the characters in them, and its place in the request.

    A row that has more tokens than the `max_seq_len` of its status is said to be cut.

    With -pooling_strategy NONE in its `status`, it answers that for each token, [B, T, 3]. `predict` answers [B, L],
    for the labels of the status: the share of the words of a row that end in the number of the label.

    While `gate` is cleared, requests wait, until their deadline or until their caller has gone. `error` is raised
    instead of an answer. `entered` counts the requests that came so far.
    """

    def __init__(self) -> None:
        self.status: Mapping[str, Any] | None = STATUS
        self.is_fresh = True
        self.error: Exception | None = None
        self.shows_tokens = True
        self.counts = True
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[Rows] = []
        self.options: list[EncodingOptions] = []
        self.entered = threading.Semaphore(0)
        self.left: list[str] = []

    def encode(
        self,
        rows: Rows,
        deadline: float,
        is_gone: IsGone,
        show_tokens: bool = False,
        options: EncodingOptions = DEFAULT_OPTIONS,
    ) -> Encoding:
        self._wait(rows, deadline, is_gone, options)
        if options.dimensions is not None and options.dimensions > 3:
            raise error_from_server('BadRequest', 'dimensions: expected at most 3')
        prompt = options.prompt or self._model['prompts'].get(options.prompt_name, '')
        texts = [prompt + row if isinstance(row, str) else row for row in rows.items]
        tokens = [tokens_of(row) for row in texts]
        counts = [len(row) for row in tokens]
        vectors: Any = np.array([[len(row), sum(map(len, row)), place] for place, row in enumerate(tokens)], np.float32)
        if self._model['pooling'] == 'NONE':
            states = np.zeros((len(tokens), max(counts), 3), np.float32)
            for place, count in enumerate(counts):
                states[place, :count] = vectors[place]
            vectors = states
        array = Finish().apply(vectors, options)
        shown = tokens if self.shows_tokens else ''
        return Encoding(array, shown, counts if self.counts else None, self._truncated(counts))

    def predict(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> Encoding:
        self._wait(rows, deadline, is_gone, options)
        words = [' '.join([row] if isinstance(row, str) else row).split() for row in rows.items]
        labels = range(len(self._model['labels']))
        shares = [
            [sum(word.endswith(str(label)) for word in row) / (len(row) + 1) for label in labels] for row in words
        ]
        counts = [len(row) + 3 for row in words]
        return Encoding(np.array(shares, np.float32), '', counts, self._truncated(counts))

    def tokenize(
        self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions = DEFAULT_OPTIONS
    ) -> Encoding:
        self._wait(rows, deadline, is_gone, options)
        if options.offsets:
            found = [[('[CLS]', -1, -1), *places_of(row), ('[SEP]', -1, -1)] for row in rows.items]
            places = np.zeros((len(found), max(map(len, found)), 3), np.int32)
            for place, spelled in enumerate(found):
                places[place, : len(spelled)] = [(100 + len(text), start, end) for text, start, end in spelled]
            return Encoding(places, [[text for text, _, _ in spelled] for spelled in found], list(map(len, found)))
        tokens = [tokens_of(row) for row in rows.items]
        ids = np.zeros((len(tokens), max(map(len, tokens))), np.int32)
        for place, row in enumerate(tokens):
            ids[place, : len(row)] = [100 + len(token) for token in row]
        counts = [len(row) for row in tokens]
        return Encoding(ids, tokens, counts, self._truncated(counts))

    def decode(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> list[str]:
        self._wait(rows, deadline, is_gone, options)
        return [' '.join(map(str, row)) for row in rows.items]

    def server_status(self, max_age_s: float = 1.0) -> StatusSnapshot:
        return StatusSnapshot(self.status, self.is_fresh)

    def client_status(self) -> Mapping[str, Any]:
        return {'identity': 'abc', 'num_request': len(self.asked)}

    @property
    def _model(self) -> Mapping[str, Any]:
        model: Mapping[str, Any] = (self.status or STATUS).get('model') or {}
        return {**STATUS['model'], **model}

    def _truncated(self, counts: list[int]) -> list[int]:
        return [row for row, count in enumerate(counts) if count > self._model['max_seq_len']]

    def _wait(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions = DEFAULT_OPTIONS) -> None:
        self.asked.append(rows)
        self.options.append(options)
        self.entered.release()
        while not self.gate.wait(0.01):
            if is_gone():
                self.left.append('gone')
                raise HTTPError('ClientGone', 'the caller has gone')
            if time.monotonic() > deadline:
                self.left.append('late')
                raise HTTPError('DeadlineExceeded', 'too late')
        if self.error is not None:
            raise self.error
