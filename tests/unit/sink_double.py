"""A sink in memory: its decider with imaginary readers, and parts to feed it with."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import numpy as np

from bert_serving.server.protocol.ring import (
    JobHeader,
    Lane,
    Part,
    RequestRef,
)
from bert_serving.server.protocol.wire import Answer
from bert_serving.server.sink.decider import SinkDecider
from bert_serving.server.sink.events import (
    AcceptSubscription,
    Action,
    Blocked,
    CutOffReaders,
    CutOffSlowReaders,
    EmitSpans,
    Event,
    LogWarning,
    Publish,
    SendFeedback,
    Sent,
    Unsubscribed,
)
from bert_serving.server.sink.limits import DEFAULT_LIMITS, SinkLimits

ME = b'client'


class SinkDouble:
    """The decider of a sink, with readers that have room, or none if their identity is in `full`.

    It performs the actions, keeps all that was published, reported, logged and accepted, and checks the books.
    """

    def __init__(self, limits: SinkLimits = DEFAULT_LIMITS) -> None:
        self.decider = SinkDecider(limits)
        self.published: list[list[Any]] = []
        self.reports: list[Any] = []
        self.warnings: list[str] = []
        self.accepted: list[bytes] = []
        self.cut_off: list[bytes] = []
        self.emitted: list[EmitSpans] = []
        self.full: set[bytes] = set()
        self.room = 0
        self.forced = 0

    def handle(self, event: Event, now: float = 0.0) -> None:
        actions: deque[Action] = deque(self.decider.handle(event, now))
        while actions:
            match actions.popleft():
                case Publish(reply, force, topic):
                    self.forced += force
                    is_blocked = reply.identity in self.full and not force and not self.room
                    if not is_blocked:
                        self.room = max(0, self.room - 1)
                        first = reply.identity if topic is None else topic
                        self.published.append([first, *(bytes(frame) for frame in reply.frames[1:])])
                    actions += self.decider.handle(Blocked(reply) if is_blocked else Sent(reply), now)
                case SendFeedback(report):
                    self.reports.append(report)
                case LogWarning(text):
                    self.warnings.append(text)
                case AcceptSubscription(granted):
                    self.accepted.append(granted)
                case EmitSpans() as emission:
                    self.emitted.append(emission)
                case CutOffReaders(cut_off) | CutOffSlowReaders(cut_off):
                    self.cut_off.append(cut_off)
                    actions += self.decider.handle(Unsubscribed(cut_off), now)
        self.decider.check_invariants()

    @property
    def ids(self) -> list[bytes]:
        return [frames[-1] for frames in self.published]


def a_part(
    part: int = 0,
    parts: int = 1,
    first_row: int = 0,
    rows: int = 2,
    total: int = 2,
    number: int = 1,
    identity: bytes = ME,
    array: np.ndarray | None = None,
    width: int = 0,
    tokens: list[list[str]] | None = None,
    attempt: int = 0,
    token_counts: list[int] | None = None,
    truncated_rows: list[int] | None = None,
) -> Part:
    if array is None:
        array = np.arange(first_row * 3, (first_row + rows) * 3, dtype=np.float32).reshape(rows, 3)
    header = JobHeader(
        RequestRef(number, identity, b'%d' % number, parts, total), part, attempt, first_row, rows, Lane.URGENT
    )
    answer = Answer(str(array.dtype), list(array.shape), array.tobytes(), tokens, token_counts, truncated_rows)
    return Part(4, header, answer, width)


def array_of(frames: list[bytes]) -> np.ndarray:
    head = json.loads(frames[1])
    return np.frombuffer(frames[2], head['dtype']).reshape(head['shape'])
