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


def test_a_worker_on_another_machine_has_a_name_which_no_other_has_had() -> None:
    endpoints = Endpoints('/sockets', remote=range(1, 2))
    for worker in (0, 1):
        endpoints.move_worker(worker)
    first = endpoints.workers[1]
    endpoints.move_worker(1)
    assert endpoints.workers[0].startswith('ipc:///sockets/worker-0-')
    assert first.startswith('tcp:worker-1-')
    assert endpoints.workers[1] not in (first, endpoints.workers[0])


def test_a_worker_moves_alone() -> None:
    endpoints = Endpoints('/sockets')
    endpoints.move_worker(0)
    endpoints.move_worker(1)
    before = dict(endpoints.workers), endpoints.sink, endpoints.feedback
    endpoints.move_worker(1)
    assert (endpoints.workers[0], endpoints.sink, endpoints.feedback) == (before[0][0], *before[1:])
    assert endpoints.workers[1] != before[0][1]
