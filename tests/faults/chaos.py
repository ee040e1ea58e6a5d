"""Children of a server killed and stopped at random, and clients that keep count of their answers meanwhile."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bert_serving.client import ServerError as RequestFailed
from bert_serving.server import BertServer
from support.processes import PROXY, SINK, WORKER, children_of, is_running, send
from support.serving import ServerProcess, connect, time_of_day
from support.waiting import wait_until

PATIENCE_MS = 120_000
"""How long an answer may take before it counts as lost."""

SHARE_OF_STOPS = 0.25

MARGIN = 0.02
"""How much less alike than `least_cosine` two different texts are: an int8 vector is not exact."""

Array = NDArray[np.float32]

Server = BertServer | ServerProcess


# --- what is asked ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """Texts, and the vectors that they have when nothing goes wrong.

    With int8 a vector depends on the batch of its text, so that only the cosine can be judged, by `least_cosine`.
    """

    texts: Sequence[str]
    expected: Array
    least_cosine: float | None = None

    def is_answered_by(self, array: object) -> bool:
        """Whether these are the vectors, but for the last digits, which depend on the batch of a row."""
        answer = np.asarray(array, np.float32)
        if answer.shape != self.expected.shape:
            return False
        if self.least_cosine is None:
            return np.allclose(answer, self.expected, rtol=1e-4, atol=2e-5)
        return bool((np.sum(_unit(answer) * _unit(self.expected), axis=-1) >= self.least_cosine).all())


def _unit(vectors: Array) -> Array:
    unit: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


class Material:
    """Texts with their vectors, no two of which are the same, taken from a server that is left in peace.

    With `least_cosine`, no vector is right for two of them.
    """

    def __init__(
        self, server: Server, words: Sequence[str], size: int = 2000, least_cosine: float | None = None
    ) -> None:
        dice = random.Random(1)
        texts = sorted({' '.join(dice.choices(words, k=dice.randint(1, 20))) for _ in range(size)})
        with connect(server, timeout=PATIENCE_MS, check_length=False) as client:
            vectors = client.encode(texts)
        if least_cosine is None:
            kept = np.unique(vectors.round(3), axis=0, return_index=True)[1].tolist()
        else:
            unit = _unit(vectors)
            alike = np.triu(unit @ unit.T, 1).max(axis=0)  # to the texts before
            kept = np.flatnonzero(alike < least_cosine - MARGIN).tolist()
        self._texts = [texts[i] for i in kept]
        self._vectors = vectors[kept]
        self._least_cosine = least_cosine
        assert len(self._texts) > size / 2

    def questions(self, seed: int, count: int, most_rows: int) -> Iterator[Question]:
        """So many, most of them small."""
        dice = random.Random(seed)
        for _ in range(count):
            rows = dice.choice((1, 1, 2, 5, 16, dice.randint(1, most_rows)))
            chosen = dice.sample(range(len(self._texts)), rows)
            yield Question([self._texts[i] for i in chosen], self._vectors[chosen], self._least_cosine)


# --- who asks --------------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What became of the requests of one client, or of all; `errors` tell the story of each that went wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    name: str = ''
    asked_at: str = ''

    def ask(self) -> None:
        """Note when the next request is sent."""
        self.asked_at = time_of_day()

    def judge(self, question: Question, answer: object) -> None:
        self.counts['answered' if question.is_answered_by(answer) else 'wrong'] += 1
        if not question.is_answered_by(answer):
            self._tell('%d rows answered wrongly' % len(question.texts))

    def fail(self, error: Exception) -> None:
        self.counts['lost' if isinstance(error, TimeoutError) else 'error'] += 1
        self._tell('%s: %s' % (type(error).__name__, error))

    def _tell(self, what: str) -> None:
        done = self.counts['answered']
        self.errors.append(
            '%s %s, after %d answers: sent at %s: %s' % (time_of_day(), self.name, done, self.asked_at, what)
        )

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.counts + other.counts, self.errors + other.errors)


Ask = Callable[[Server, Sequence[Question], Outcome], None]


def ask_one_by_one(server: Server, questions: Sequence[Question], outcome: Outcome) -> None:
    """A client that waits for each answer."""
    with connect(server, timeout=PATIENCE_MS, check_length=False) as client:
        for question in questions:
            outcome.ask()
            try:
                outcome.judge(question, client.encode(list(question.texts)))
            except (RequestFailed, TimeoutError) as error:
                outcome.fail(error)


def ask_in_a_stream(server: Server, questions: Sequence[Question], outcome: Outcome) -> None:
    """A client with up to sixteen requests on their way; answers come in any order, by growing ids."""
    answers: dict[int, object] = {}
    outcome.ask()
    with connect(server, timeout=PATIENCE_MS, check_length=False) as client:
        try:
            for response in client.encode_async(list(question.texts) for question in questions):
                outcome.counts['doubled'] += response.id in answers
                answers[response.id] = response.embedding
        except (RequestFailed, TimeoutError) as error:
            outcome.fail(error)
    for question, (_id, answer) in zip(questions, sorted(answers.items()), strict=False):
        outcome.judge(question, answer)
    outcome.counts['lost'] += max(0, len(questions) - len(answers))
    outcome.counts['doubled'] += max(0, len(answers) - len(questions))


def ask_and_fetch(server: Server, questions: Sequence[Question], outcome: Outcome, at_once: int = 8) -> None:
    """A client that sends some without waiting, and then takes all that came of them."""
    with connect(server, timeout=PATIENCE_MS, check_length=False) as client:
        for start in range(0, len(questions), at_once):
            some = questions[start : start + at_once]
            outcome.ask()
            for question in some:
                client.encode(list(question.texts), blocking=False)
            try:
                answers = client.fetch_all()
            except (RequestFailed, TimeoutError) as error:
                outcome.fail(error)
                return
            outcome.counts['doubled'] += max(0, len(answers) - len(some))
            outcome.counts['lost'] += max(0, len(some) - len(answers))
            for question, answer in zip(some, answers, strict=False):
                outcome.judge(question, answer)


def ask_by_http(server: Server, questions: Sequence[Question], outcome: Outcome) -> None:
    """A caller of the proxy, who calls again when the proxy has died under the call, or says that it is too early."""
    url = 'http://127.0.0.1:%d/encode' % server.http_port
    for question in questions:
        outcome.ask()
        try:
            outcome.judge(question, _post_until_answered(url, json.dumps({'id': 1, 'texts': list(question.texts)})))
        except (RequestFailed, TimeoutError) as error:
            outcome.fail(error)


def _post_until_answered(url: str, body: str) -> object:
    request = urllib.request.Request(url, body.encode(), {'Content-Type': 'application/json'})
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_MS / 1000) as response:
                return json.load(response)['result']
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise RequestFailed('HTTP %d' % error.code, error.read().decode()) from None
        except (OSError, ValueError):  # the connection is refused or reset: there is no proxy just now
            pass
        time.sleep(0.05)
    raise TimeoutError('no answer to an HTTP request')


def ask_what_kills(server: Server, how_often: int, outcome: Outcome) -> None:
    """A client whose every request kills the worker that computes it."""
    with connect(server, timeout=PATIENCE_MS, check_length=False) as client:
        for _ in range(how_often):
            outcome.ask()
            try:
                client.encode(['the kill'])
                outcome.counts['wrong'] += 1
            except RequestFailed as error:
                outcome.counts['poison' if error.type == 'PoisonedRequest' else 'error'] += 1
                outcome.errors += [] if error.type == 'PoisonedRequest' else [str(error)]
            except TimeoutError as error:
                outcome.fail(error)


def ask_all(
    server: Server, material: Material, requests: int, clients: Sequence[Ask], most_rows: int, poison: int = 0
) -> Outcome:
    """Have all `clients` ask at once, `requests` in all, and one ask what kills; the sum of what became of them."""
    outcomes = [Outcome(name='client %d (%s)' % (n, ask.__name__)) for n, ask in enumerate(clients)]
    outcomes.append(Outcome(name='the killing client'))
    start = threading.Barrier(len(clients))

    def be_a_client(place: int, ask: Ask) -> None:
        mine = len(range(place, requests, len(clients)))
        questions = list(material.questions(place, mine, most_rows))
        start.wait()
        ask(server, questions, outcomes[place])

    with ThreadPoolExecutor(len(clients) + 1) as pool:
        futures = [pool.submit(be_a_client, place, ask) for place, ask in enumerate(clients)]
        futures.append(pool.submit(ask_what_kills, server, poison, outcomes[-1]))
        for future in futures:
            future.result()
    return sum(outcomes, Outcome())


# --- what goes wrong meanwhile ---------------------------------------------------------------------------------------


class Mayhem:
    """Kills and stops the children of a server, as a context manager: from its beginning to its end, by a seed.

    A request that is tried alone is taken for poison when its second worker dies as well. So there is a pause between
    any two faults, and nothing else goes wrong while a child is stopped, until the server has noticed.
    """

    def __init__(self, server: ServerProcess, seed: int, pauses_s: tuple[float, float], most: int) -> None:
        """`pauses_s` are the shortest and the longest pause, `most` the number of faults after which there is peace."""
        self._server = server
        self._dice = random.Random(seed)
        self._pauses_s = pauses_s
        self._most = most
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._do_harm)
        self._failure: BaseException | None = None
        self.counts: Counter[str] = Counter()
        self.story: list[str] = []
        """What was done to which process, and when."""

    def __enter__(self) -> Mayhem:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise AssertionError('\n'.join([str(self._failure), *self.story])) from self._failure

    def _do_harm(self) -> None:
        try:
            for _ in range(self._most):
                if self._over.wait(self._dice.uniform(*self._pauses_s)):
                    return
                victim = self._choose_victim()
                if victim is not None:
                    self._harm(*victim)
        except BaseException as error:
            self._failure = error

    def _choose_victim(self) -> tuple[str, int] | None:
        kinds = {'worker': WORKER, 'sink': SINK, 'proxy': PROXY}
        there = [(kind, pid) for kind, word in kinds.items() for pid in children_of(self._server, word)]
        return self._dice.choice(there) if there else None

    def _harm(self, kind: str, pid: int) -> None:
        if self._dice.random() >= SHARE_OF_STOPS:
            self._note('%s killed' % kind, pid)
            send(pid, signal.SIGKILL)
            return
        self._note('%s stopped' % kind, pid)
        send(pid, signal.SIGSTOP)
        wait_until(lambda: not is_running(pid))
        self.story.append('%s pid=%d is gone' % (time_of_day(), pid))

    def _note(self, what: str, pid: int) -> None:
        self.counts[what] += 1
        self.story.append('%s %s pid=%d' % (time_of_day(), what, pid))
