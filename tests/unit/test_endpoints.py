"""Each child has its own endpoints, and its successor has others: no message reaches the wrong one."""

from __future__ import annotations

from bert_serving.server.parent.endpoints import Endpoints


def test_no_endpoint_is_ever_used_twice() -> None:
    endpoints = Endpoints('/sockets')
    seen = [endpoints.sink, endpoints.feedback]
    for _ in range(3):
        endpoints.move_sink()
        seen += [endpoints.sink, endpoints.feedback]
        for worker in range(2):
            endpoints.move_worker(worker)
            seen.append(endpoints.workers[worker])
    assert len(set(seen)) == len(seen)
    assert all(endpoint.startswith('ipc:///sockets/') for endpoint in seen)


def test_a_worker_moves_alone() -> None:
    endpoints = Endpoints('/sockets')
    endpoints.move_worker(0)
    endpoints.move_worker(1)
    before = dict(endpoints.workers), endpoints.sink, endpoints.feedback
    endpoints.move_worker(1)
    assert (endpoints.workers[0], endpoints.sink, endpoints.feedback) == (before[0][0], *before[1:])
    assert endpoints.workers[1] != before[0][1]
