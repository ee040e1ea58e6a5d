"""Messages between the parent and a child process, and the interface of a child's `main`.

The parent writes one line of JSON, the config, to the child's standard input. The child writes one line of JSON for
each report to a second pipe. This module owns no process and no pipe: `child.py` is the parent's end, `child_main.py`
the child's end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, assert_never

from ..console.progress import Progress

Payload = dict[str, Any]
"""The data of a report, any JSON value."""

ChildConfig = dict[str, Any]
"""The data that a child gets at its start, as JSON values."""

StatusCallback = Callable[[], Payload]
"""A function that returns the payload of the next heartbeat: the child's current and finished work. Thread-safe."""


class ReportReady(Protocol):
    """Called by a child's `main` as soon as the child can do its work."""

    def __call__(self, payload: Payload, status: StatusCallback | None = None) -> None:
        """Report `payload` to the parent. From now on, `status` provides the payload of every heartbeat."""
        ...


class Reporter(ReportReady, Protocol):
    """A `ReportReady` that can also report progress, for a `main` with long work."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Report that `done` of `total` bytes of a stage are done. A `total` of 0 is unknown."""
        ...


ChildMain = Callable[[ChildConfig, Reporter], None]


@dataclass(frozen=True, slots=True)
class Ready:
    """The child can do its work."""

    payload: Payload


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The child is alive. `payload` comes from its status callback, or is {} while it has none."""

    payload: Payload


@dataclass(frozen=True, slots=True)
class Failed:
    """The child cannot do its work. `message` says why, on one or two lines, and `exit_code` is the kind of error."""

    message: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """The child has no machine yet, and waits for `resources`, in words. Its cluster sends this report."""

    resources: str


@dataclass(frozen=True, slots=True)
class Placed:
    """The child has a machine and starts there. `place` has the `node` and its `address`."""

    place: Payload


@dataclass(frozen=True, slots=True)
class Leaving:
    """The machine of the child is draining: the child should finish its work, and another one should start."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The child has exited and was reaped. No other report follows.

    `code` is the returncode of `subprocess`, negative for a signal, and `how` describes it. `expected` says whether the
    child had been told to stop, and `is_machine_lost` whether it was lost with its machine.
    """

    code: int
    how: str
    expected: bool
    is_machine_lost: bool = False


SentReport = Ready | Heartbeat | Progress | Failed
"""A report that the child itself writes to the pipe."""

PlacedReport = Waiting | Placed | Leaving
"""A report of the cluster that places a child on a machine."""

ChildReport = SentReport | PlacedReport | Exited
"""A report that the parent reads."""


def encode_report(report: SentReport | PlacedReport) -> bytes:
    """Return `report` as a line of JSON."""
    message: dict[str, Any]
    match report:
        case Ready(payload):
            message = {'ready': payload}
        case Heartbeat(payload):
            message = {'heartbeat': payload}
        case Progress(stage, done, total):
            message = {'progress': [stage, done, total]}
        case Failed(text, exit_code):
            message = {'failed': text, 'exit_code': exit_code}
        case Waiting(resources):
            message = {'waiting': resources}
        case Placed(place):
            message = {'placed': place}
        case Leaving():
            message = {'leaving': True}
        case _:
            assert_never(report)
    return json.dumps(message).encode() + b'\n'


def decode_report(line: bytes) -> SentReport | PlacedReport:
    """Decode a line of `encode_report`, with or without its line break."""
    message = json.loads(line)
    if 'ready' in message:
        return Ready(message['ready'])
    if 'heartbeat' in message:
        return Heartbeat(message['heartbeat'])
    if 'progress' in message:
        return Progress(*message['progress'])
    if 'waiting' in message:
        return Waiting(message['waiting'])
    if 'placed' in message:
        return Placed(message['placed'])
    if 'leaving' in message:
        return Leaving()
    return Failed(message['failed'], message['exit_code'])
