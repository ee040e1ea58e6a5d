"""Measure all participants in turn: in each round of a task, each of them gets the same load once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from numpy.typing import NDArray

from ...parent.address import Address
from ..load import LoadGenerator, connect
from ..plan import Load
from ..results import Timing, least_cosine
from ..sentences import make_sentences
from ..servers import CLIENT_ERRORS, describe_error
from .catalog import turns
from .processes import PeerError
from .tables import EXACT_ROWS, Line, Task


class RunsLoad(Protocol):
    """The connected clients of one load."""

    def run(self, sentences: Sequence[str]) -> Timing: ...


class Measured(Protocol):
    """A running server, or a loaded library."""

    def encode(self, sentences: Sequence[str]) -> NDArray[Any]: ...
    def load(self, load: Load) -> AbstractContextManager[RunsLoad]: ...


class OurServer:
    """A server of our protocol."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def encode(self, sentences: Sequence[str]) -> NDArray[Any]:
        with connect(self._address) as client:
            vectors: NDArray[Any] = client.encode(list(sentences))
            return vectors

    def load(self, load: Load) -> AbstractContextManager[RunsLoad]:
        return LoadGenerator(partial(connect, self._address), load)


@dataclass(frozen=True, slots=True)
class Participant:
    """A line of the report, and the server or library that it is about."""

    line: Line
    measured: Measured


FAILURES = (*CLIENT_ERRORS, PeerError, KeyError)
"""The errors of a participant that cost only its own cells. A KeyError is a reply without the vectors."""


def describe_failure(error: Exception) -> str:
    return str(error) if isinstance(error, PeerError) else describe_error(error)


def compare_vectors(participants: Sequence[Participant], sentences: Sequence[str]) -> None:
    """Set the smallest cosine of each participant's vectors to those of the first one that answers."""
    exact = None
    for participant in participants:
        try:
            vectors = participant.measured.encode(sentences[:EXACT_ROWS])
            exact = vectors if exact is None else exact
            participant.line.cosine = least_cosine(vectors, exact)
        except FAILURES as error:
            participant.line.failure = 'no vectors to compare: ' + describe_failure(error)


def measure(
    participants: Sequence[Participant],
    tasks: Sequence[Task],
    vocabulary: Sequence[str],
    num_repeat: int,
    show: Callable[[str], None],
) -> None:
    """Measure all tasks and add the values to the lines. The first round is a warm-up that does not count."""
    for task in tasks:
        sentences = make_sentences(task.load.rows, vocabulary=vocabulary)
        with contextlib.ExitStack() as stack:
            loads = {}
            for number, participant in enumerate(participants):
                try:
                    loads[number] = stack.enter_context(participant.measured.load(task.load))
                except FAILURES as error:
                    participant.line.failures[task.title] = describe_failure(error)
            for turn in range(1 + num_repeat):
                for number in turns(list(loads), turn):
                    line = participants[number].line
                    try:
                        value = loads[number].run(sentences).value(task.metric)
                    except FAILURES as error:
                        line.failures[task.title] = describe_failure(error)
                        line.values.pop(task.title, None)
                        del loads[number]
                        continue
                    if turn:
                        line.values.setdefault(task.title, []).append(value)
                show('%s: round %d of %d' % (task.title, turn + 1, 1 + num_repeat))
