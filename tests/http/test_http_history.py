"""The last hour of the counters over HTTP, and when its samples are taken."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from flask.testing import FlaskClient

from bert_serving.server.http.app import create_app
from bert_serving.server.http.health import StatusSnapshot
from bert_serving.server.http.history_recorder import HistoryRecorder
from bert_serving.server.http.status_history import EVERY_S
from support.fake_backend import STATUS, FakeBackend


class FakeServer:
    """Answers for its status, when it was asked, a moment later; its clock is moved by the test."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.is_there = True
        self.status: Mapping[str, Any] = STATUS
        self.questions = 0
        self._asked_at = float('-inf')

    def clock(self) -> float:
        return self.time

    def last_status(self) -> tuple[StatusSnapshot, float]:
        last = self._asked_at
        if self.time - last > 1:
            self.questions += 1
            self._asked_at = self.time
        return StatusSnapshot(self.status if self.is_there else None, self.is_there), last

    def pass_time(self, recorder: HistoryRecorder, seconds: int) -> None:
        for _ in range(seconds):
            self.time += 1
            recorder.refresh()


def recorder_of(server: FakeServer) -> HistoryRecorder:
    return HistoryRecorder(server.last_status, server.clock, lambda: 1_800_000_000 + server.time)


def times_in(recorder: HistoryRecorder, server: FakeServer) -> list[float]:
    times: list[float] = recorder.history.to_json(1_800_000_000 + server.time)['time']
    return times


def test_a_sample_is_taken_every_ten_seconds_with_the_time_at_which_the_status_was_asked_for() -> None:
    server = FakeServer()
    recorder = recorder_of(server)
    server.pass_time(recorder, 100)
    times = times_in(recorder, server)
    assert times[0] == 1_800_001_001, 'at once'
    steps = {later - earlier for earlier, later in pairwise(times)}
    assert steps == {EVERY_S}
    assert len(times) == server.questions, 'nobody else was asking, and no answer is asked for in vain'


def test_a_server_that_does_not_answer_leaves_a_gap() -> None:
    server = FakeServer()
    recorder = recorder_of(server)
    server.pass_time(recorder, 5)
    server.is_there = False
    server.pass_time(recorder, 60)
    assert len(times_in(recorder, server)) == 1
    server.is_there = True
    server.pass_time(recorder, 15)
    earlier, later = times_in(recorder, server)[:2]
    assert later - earlier > 50


def test_a_status_that_cannot_be_read_leaves_a_gap_and_does_not_end_the_proxy() -> None:
    server = FakeServer()
    recorder = recorder_of(server)
    for server.status in ({'statistic': None}, {'statistic': {'total_time': {'buckets': [1, 2]}}}, STATUS):
        server.pass_time(recorder, 10)
    assert len(times_in(recorder, server)) == 1


def test_the_route_shows_the_samples_with_the_errors_over_http_so_far(backend: FakeBackend) -> None:
    server = FakeServer()
    recorder = HistoryRecorder(server.last_status, server.clock)
    http: FlaskClient = create_app(backend, recorder=recorder, waiting=lambda: 7).test_client()
    assert http.post('/encode', json={'id': 1, 'texts': []}).status_code == 400
    assert http.get('/nowhere').status_code == 404, 'no request that encodes'
    server.pass_time(recorder, 3)
    answer = http.get('/status/history')
    assert answer.headers['cache-control'] == 'no-store'
    history: Any = answer.json
    assert history['status'] == 200
    assert history['statistic']['num_rows_done'] == [7]
    assert history['http'] == {'invalid': [1], 'turned_away': [0], 'failed': [0], 'waiting': [7]}
    assert abs(history['now'] - history['time'][0]) < 60
