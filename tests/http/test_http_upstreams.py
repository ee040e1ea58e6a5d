"""Several models behind one address, and several servers of one model, one of which goes away."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from support.proxies import ProxyProcess
from support.scripted_server import Request, ScriptedServer, vectors
from support.waiting import wait_until

pytestmark = pytest.mark.slow

EXTENSIONS = ['options', 'token_ids', 'cancel', 'prompt_name', 'prompt', 'normalize', 'dimensions', 'dtype', 'truncate',
              'pairs', 'raw']  # fmt: skip
ENCODER = {'name': 'some/encoder', 'task': 'embed', 'dimensions': 5, 'pooling': 'mean', 'labels': None, 'prompts': {}}
RANKER = {
    'name': 'some/ranker',
    'task': 'rerank',
    'dimensions': 1,
    'pooling': 'cls',
    'labels': ['LABEL_0'],
    'prompts': {},
}


class Fleet:
    """Two servers of an encoder, and one of a ranker; the vectors of the first two are the same."""

    def __init__(self) -> None:
        self.encoders = [self._encoder(), self._encoder()]
        self.ranker = ScriptedServer(
            model=RANKER, server_state='serving', workers=[{'worker': 0, 'state': 'ready'}], extensions=EXTENSIONS
        )
        self.ranker.script = self._rank

    def _encoder(self) -> ScriptedServer:
        server = ScriptedServer(
            model=ENCODER, server_state='serving', workers=[{'worker': 0, 'state': 'ready'}], extensions=EXTENSIONS
        )
        server.script = lambda request: [
            server.result(request, vectors(request.texts), token_counts=[3] * request.rows)
        ]
        return server

    def _rank(self, request: Request) -> list[Any]:
        scores = np.array([[len(pair[1])] for pair in request.texts], np.float32)
        return [self.ranker.result(request, scores, tokens='', token_counts=[3] * request.rows)]

    @property
    def words(self) -> list[str]:
        names = [('encoder', self.encoders[0]), ('ranker', self.ranker), ('encoder', self.encoders[1])]
        found = []
        for name, server in names:
            found += ['-upstream', '%s=127.0.0.1:%d,%d' % (name, server.port, server.port_out)]
        return found

    def stop(self) -> None:
        for server in (*self.encoders, self.ranker):
            server.stop()


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    fleet = Fleet()
    yield fleet
    fleet.stop()


@pytest.fixture
def proxy(fleet: Fleet) -> Iterator[ProxyProcess]:
    with ProxyProcess(1, 2, *fleet.words, '-http_max_connect', '8') as proxy:
        proxy.wait_until_ready()
        wait_until(lambda: proxy.curl('/health/ready')[0] == 200)
        yield proxy


Post = Callable[..., tuple[int, Any]]


@pytest.fixture
def post(proxy: ProxyProcess) -> Post:
    def post(path: str, **body: Any) -> tuple[int, Any]:
        return proxy.curl(path, '-H', 'content-type: application/json', '-d', json.dumps(body))

    return post


def test_requests_go_to_the_model_that_they_name_or_else_to_one_that_does_the_task(
    fleet: Fleet, proxy: ProxyProcess, post: Post
) -> None:
    assert [model['id'] for model in proxy.curl('/v1/models')[1]['data']] == ['encoder', 'ranker']
    for names in ({'model': 'encoder'}, {}):
        status, answer = post('/v1/embeddings', input=['a'], **names)
        assert (status, answer['model']) == (200, 'encoder')
        assert answer['data'][0]['embedding'] == vectors(['a'])[0].tolist()
    status, answer = post('/rerank', query='q', texts=['b', 'bbb'])
    assert (status, [each['index'] for each in answer]) == (200, [1, 0])
    status, answer = post('/v1/rerank', model='ranker', query='q', documents=['b', 'bbb'])
    assert (status, [each['index'] for each in answer['results']]) == (200, [1, 0])
    assert len(fleet.ranker.requests) == 2
    assert post('/embed', inputs='a')[0] == 200
    assert post('/encode', id=1, texts=['a'])[0] == 200

    status, answer = post('/v1/embeddings', model='other', input=['a'])
    assert (status, answer['error']['code']) == (404, 'model_not_found')
    assert 'there is encoder, ranker' in answer['error']['message']
    assert post('/v1/embeddings', model='ranker', input=['a'])[0] == 400


def test_replicas_share_the_requests(fleet: Fleet, post: Post) -> None:
    for _ in range(6):
        assert post('/v1/embeddings', input=['a'])[0] == 200
    assert [len(server.requests) for server in fleet.encoders] == [3, 3]


def test_a_replica_that_dies_under_load_costs_no_answer_and_gets_requests_again_when_it_is_back(
    fleet: Fleet, proxy: ProxyProcess, post: Post
) -> None:
    statuses: list[int] = []
    stopping = threading.Event()

    def ask() -> None:
        while not stopping.is_set():
            statuses.append(post('/v1/embeddings', input=['a'])[0])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(statuses) > 20)
        victim = fleet.encoders[0]
        victim.hold()  # so that it dies with requests unanswered
        wait_until(lambda: len(victim.requests) > 12)
        victim.stop()
        labels = 'replica="127.0.0.1:%d,%d",upstream="encoder"' % (victim.port, victim.port_out)
        wait_until(lambda: 'bert_serving_up{%s} 0.0' % labels in proxy.curl('/metrics')[1])
        assert proxy.curl('/health/ready')[0] == 200, 'the name still has a server'
        before, answered = len(victim.requests), len(statuses)
        wait_until(lambda: len(statuses) > answered + 20)
        assert len(victim.requests) == before
        victim.script = fleet.encoders[1].script
        victim.start()
        wait_until(lambda: len(victim.requests) > before)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}
    assert 'sent a request to another replica' in proxy.log


def test_a_name_without_a_server_is_not_ready_and_the_status_lists_all(
    fleet: Fleet, proxy: ProxyProcess, post: Post
) -> None:
    listed = proxy.curl('/status/server')[1]['upstreams']
    assert [(each['name'], each['is_away']) for each in listed] == [('encoder', False)] * 2 + [('ranker', False)]
    fleet.ranker.stop()
    wait_until(lambda: proxy.curl('/health/ready')[0] == 503)
    health = proxy.curl('/health/ready')[1]
    assert health['reason'] == 'no server is ready for ranker'
    assert [each['ready'] for each in health['upstreams']] == [True, True, False]
    assert proxy.curl('/health/live')[0] == 200
    before = {each['name']: each for each in proxy.curl('/status/server')[1]['upstreams']}['ranker']
    assert post('/rerank', query='q', texts=['b'])[0] == 503
    assert post('/v1/embeddings', input=['a'])[0] == 200
    assert post('/v1/embeddings', input=[''])[0] == 400
    *encoders, ranker = proxy.curl('/status/server')[1]['upstreams']
    assert (ranker['is_away'], ranker['unanswered_requests']) == (True, 0)
    assert (ranker['requests'], ranker['errors']) == (before['requests'] + 1, before['errors'] + 1)
    assert sum(each['requests'] for each in encoders) > 0, "a request that was refused at once was nobody's"


def test_wrong_upstreams_are_refused_in_one_line(fleet: Fleet) -> None:
    for words, message in (
        (['-upstream', 'a=host'], 'expected NAME=HOST:PORT,PORT_OUT'),
        (['-upstream', 'a=host:1,2', 'a=host:1,2'], 'host:1,2 is given twice'),
        (['-upstream_file', '/nowhere'], 'cannot read /nowhere'),
        (['-upstream', 'a=host:1,2', '-http_model_name', 'b'], 'cannot be combined with -upstream'),
    ):
        with ProxyProcess(1, 2, *words) as proxy:
            assert proxy.process.wait(60) == 2
            proxy.wait_for_log(message)
