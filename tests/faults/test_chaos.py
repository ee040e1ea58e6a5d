"""Nothing is lost, wrong or doubled while the children of a server are killed and stopped at random, seeded, times.

`CHAOS_SEED` chooses another seed, `CHAOS_REQUESTS` another number of requests, `CHAOS_FAULTS` of faults; with
`CHAOS_KEYS=1` the server has keys, and so have the clients. `CHAOS_INT8=1` tests the int8 of ONNX Runtime with the
embedded model instead of the real graph of TensorFlow. The counts are printed (`pytest -s`).
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from faults.chaos import (
    Ask,
    Material,
    Mayhem,
    Outcome,
    ask_all,
    ask_and_fetch,
    ask_by_http,
    ask_in_a_stream,
    ask_one_by_one,
)
from support.keyring import Keyring
from support.processes import fake_server
from support.serving import SMALL_MODEL, ServerProcess, connect
from support.waiting import wait_until

SEED = int(os.environ.get('CHAOS_SEED', '5'))
REQUESTS = int(os.environ.get('CHAOS_REQUESTS', '5000'))
FAULTS = int(os.environ.get('CHAOS_FAULTS', '20'))
HAS_KEYS = os.environ.get('CHAOS_KEYS', '') == '1'
HAS_INT8 = os.environ.get('CHAOS_INT8', '') == '1'
LEAST_COSINE = 0.97 if HAS_INT8 else None
MOST_ROWS = 60

WORDS = (
    'the of and in to was he is as for on with that it his by at from her she you had an were but be this are'.split()
)

POISON = 2
SAID = re.compile('is ready|finished request number=')
COUNTERS = """
    num_worker_restart num_sink_restart num_http_restart num_requeued_job num_poisoned_request num_given_up_reply
    num_gone_request
""".split()
WITH_PROXY: Sequence[Ask] = [ask_one_by_one] * 11 + [ask_in_a_stream] * 2 + [ask_and_fetch] * 2 + [ask_by_http]
WITHOUT: Sequence[Ask] = [ask_one_by_one] * 12 + [ask_in_a_stream] * 2 + [ask_and_fetch] * 2


@pytest.fixture
def key_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The options of a server with keys, whose clients find theirs in the environment; () without keys."""
    if not HAS_KEYS:
        return ()
    keys = Keyring(tmp_path, 'chaos')
    for name, value in keys.of('chaos').items():
        monkeypatch.setenv('BERT_SERVING_' + name.upper(), value)
    return keys.words


def report(name: str, outcome: Outcome, mayhem: Mayhem, server: ServerProcess, seconds: float) -> None:
    """Print what was asked, done, and counted by the server."""
    with connect(server) as client:
        statistic = client.server_status['statistic']
    print('\nchaos %s seed=%d seconds=%.0f' % (name, SEED, seconds))
    print('  requests: %s' % dict(+outcome.counts))
    print('  faults: %s' % dict(mayhem.counts))
    print('  status: %s' % {name: statistic[name] for name in COUNTERS})


def story_of(outcome: Outcome, mayhem: Mayhem, server: ServerProcess) -> str:
    """Which requests went wrong and when, what was done to which process, and what the server said of both.

    A server in verbose mode tells the story of each request that met something unusual, when it has finished.
    """
    said = [line for line in server.timed_log if line.split()[1][:2] in ('E:', 'W:') or SAID.search(line)]
    parts = {'requests': outcome.errors[:20], 'faults': mayhem.story, 'server': said}
    return '\n'.join('%s\n  %s' % (title, '\n  '.join(lines)) for title, lines in parts.items())


def seconds_of(line: str) -> float:
    """The time of day at the beginning of a line."""
    hours, minutes, seconds = line.split()[0].split(':')
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def count_unlucky(outcome: Outcome, mayhem: Mayhem, server: ServerProcess) -> int:
    """The harmless requests that were refused as poison because `mayhem` ended both workers that they were alone on.

    The server cannot tell them from poison. Each loss must follow a fault of `mayhem` as soon as the server can notice.
    """
    told = sum('PoisonedRequest: this request crashed two workers' in error for error in outcome.errors)
    killed = [seconds_of(line) for line in mayhem.story if ' worker killed ' in line]
    stopped = [seconds_of(line) for line in mayhem.story if ' worker stopped ' in line]
    explained = 0
    for line in server.timed_log:
        if 'refused type=PoisonedRequest' in line:
            accepted_at = seconds_of(line) - float(re.findall(r'([\d.]+) s: ', line)[-1])
            lost = re.findall(r'([\d.]+) s: lost part=\d+ attempt=\d+ worker=\d+ alone=True', line)[-2:]
            ended_by_mayhem = [
                any(-0.2 < accepted_at + float(at) - fault < 0.8 for fault in killed)
                or any(2 < accepted_at + float(at) - fault < 4 for fault in stopped)
                for at in lost
            ]
            explained += ended_by_mayhem == [True, True]
    return min(told, explained)


def assert_all_well(server: ServerProcess, outcome: Outcome, mayhem: Mayhem, expected: dict[str, int]) -> None:
    """What became of the requests is what is expected, and the server, at peace again, has nothing left to do."""
    unlucky = count_unlucky(outcome, mayhem, server)
    counts = Counter(outcome.counts)
    counts.update({'answered': unlucky, 'error': -unlucky})
    assert dict(+counts) == expected, story_of(outcome, mayhem, server)
    with connect(server) as client:
        wait_until(lambda: client.server_status['statistic']['unfinished_requests'] == 0)
        statistic = client.server_status['statistic']
    assert statistic['queue_rows'] == 0
    poisoned = set(re.findall(r'refused a request (id=\d+ client=\S+): this request crashed two workers', server.log))
    assert len(poisoned) == expected.get('poison', 0) + unlucky, (
        'one that is told so twice had lost its first answer with the sink'
    )


@pytest.mark.timeout(280)
def test_requests_are_answered_once_and_rightly_while_children_are_killed_and_stopped(
    key_words: tuple[str, ...],
) -> None:
    words = ('-verbose', '-num_worker', '3', '-worker_timeout', '3', '-http_port', '0', '-http_host', '127.0.0.1')
    with fake_server(*words, *key_words, FAKE_WORKER_SECONDS='0.03', FAKE_SINK_LIMITS='{"gone_s": 5}') as server:
        server.wait_until_ready()
        material = Material(server, WORDS)
        started = time.monotonic()
        with Mayhem(server, SEED, pauses_s=(0.3, 0.7), most=FAULTS) as mayhem:
            outcome = ask_all(server, material, REQUESTS, WITH_PROXY, MOST_ROWS, POISON)
        report('with fake workers', outcome, mayhem, server, time.monotonic() - started)
        assert_all_well(server, outcome, mayhem, {'answered': REQUESTS, 'poison': POISON})
        assert server.stop() == 0
        assert 'Traceback' not in server.log


@pytest.mark.timeout(280)
def test_requests_to_the_real_graph_are_answered_once_and_rightly_while_children_are_killed(
    key_words: tuple[str, ...],
) -> None:
    engine = ('-engine', 'onnxruntime', '-int8') if HAS_INT8 else ('-model_dir', SMALL_MODEL)
    words = ('-verbose', *engine, '-num_worker', '2', '-worker_timeout', '5', '-max_batch_size', '64')
    with ServerProcess(*words, *key_words) as server:
        server.wait_until_ready()
        material = Material(server, WORDS, least_cosine=LEAST_COSINE)
        started = time.monotonic()
        with Mayhem(server, SEED, pauses_s=(1.0, 4.0), most=FAULTS // 3) as mayhem:
            outcome = ask_all(server, material, REQUESTS, WITHOUT, MOST_ROWS)
        report('with the real graph', outcome, mayhem, server, time.monotonic() - started)
        assert_all_well(server, outcome, mayhem, {'answered': REQUESTS})
        assert server.stop() == 0
        assert 'Traceback' not in server.log
