"""The health of a server, judged by its status."""

from __future__ import annotations

from typing import Any

from bert_serving.server.http.health import StatusSnapshot, judge, judge_upstreams
from support.fake_backend import STATUS


def health(is_draining: bool = False, is_fresh: bool = True, **status: Any) -> tuple[bool, bool, str]:
    now = judge(StatusSnapshot({**STATUS, **status}, is_fresh), is_draining)
    return now.is_live, now.is_ready, now.reason


def test_health_tells_the_truth() -> None:
    assert health() == (True, True, '')
    assert health(is_fresh=False) == (False, False, 'the server does not respond')
    assert health(server_state='draining') == (True, False, 'the server is draining')
    assert health(workers=[{'state': 'starting'}]) == (True, False, 'no worker is ready')
    assert health(workers=None) == (True, True, ''), 'a server of 1.10'
    waiting = judge(StatusSnapshot({**STATUS, 'workers': [{'state': 'ready'}, {'state': 'waiting'}]}, True))
    assert (waiting.is_ready, waiting.workers_waiting) == (True, 1)
    assert health(is_draining=True) == (True, False, 'the HTTP proxy is shutting down')
    nothing = judge(StatusSnapshot(None, False))
    assert (nothing.is_live, nothing.workers, nothing.release) == (False, None, None)
    assert judge(StatusSnapshot(STATUS, True)).to_json(True) == {
        'status': 'ok',
        'live': True,
        'ready': True,
        'reason': '',
        'server': 'serving',
        'workers_ready': 1,
        'workers': 2,
        'server_release': '2.0.0',
    }


def test_a_proxy_of_several_servers_is_ready_if_each_model_has_one_that_is() -> None:
    ready, silent = StatusSnapshot(STATUS, True), StatusSnapshot(None, False)
    now, replicas = judge_upstreams({'a': [ready, silent], 'b': [ready]})
    assert (now.is_live, now.is_ready, now.reason) == (True, True, '')
    assert (now.server, now.workers_ready, now.workers) == ('upstreams', 2, 4)
    assert {name: [each.is_ready for each in of_name] for name, of_name in replicas.items()} == {
        'a': [True, False],
        'b': [True],
    }
    now, _ = judge_upstreams({'a': [silent], 'b': [silent], 'c': [ready]})
    assert (now.is_live, now.is_ready, now.reason) == (True, False, 'no server is ready for a, b')
    now, _ = judge_upstreams({'a': [silent]})
    assert not now.is_live
    now, _ = judge_upstreams({'a': [ready]}, is_draining=True)
    assert (now.is_ready, now.reason) == (False, 'the HTTP proxy is shutting down')
