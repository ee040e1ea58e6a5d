"""A backend of the HTTP app that needs no server: what it answers can be computed by hand from the rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_serving.server.http.backend import Encoding, IsGone
from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.health import StatusSnapshot
from bert_serving.server.http.requests import Rows

STATUS: Mapping[str, Any] = {
    'server_version': '1.10.0',
    'server_release': '2.0.0',
    'model_dir': '/snapshots/0123',
    'model': {'name': 'tiny'},
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


class FakeBackend:
    """Answers [B, 3] float32: the number of a row's tokens, of the characters in them, and its place in the request.

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
        self.entered = threading.Semaphore(0)
        self.left: list[str] = []

    def encode(self, rows: Rows, deadline: float, is_gone: IsGone, show_tokens: bool = False) -> Encoding:
        self._wait(rows, deadline, is_gone)
        tokens = [tokens_of(row) for row in rows.items]
        array = [[len(row), sum(map(len, row)), place] for place, row in enumerate(tokens)]
        counts = [len(row) for row in tokens] if self.counts else None
        return Encoding(np.array(array, np.float32), tokens if self.shows_tokens else '', counts)

    def tokenize(self, rows: Rows, deadline: float, is_gone: IsGone) -> Encoding:
        self._wait(rows, deadline, is_gone)
        tokens = [tokens_of(row) for row in rows.items]
        ids = np.zeros((len(tokens), max(map(len, tokens))), np.int32)
        for place, row in enumerate(tokens):
            ids[place, : len(row)] = [100 + len(token) for token in row]
        return Encoding(ids, tokens, [len(row) for row in tokens])

    def server_status(self, max_age_s: float = 1.0) -> StatusSnapshot:
        return StatusSnapshot(self.status, self.is_fresh)

    def client_status(self) -> Mapping[str, Any]:
        return {'identity': 'abc', 'num_request': len(self.asked)}

    def _wait(self, rows: Rows, deadline: float, is_gone: IsGone) -> None:
        self.asked.append(rows)
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
