"""The clients of the proxy: kept for the next request of the same principal, and never more than are of use."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from bert_serving.server.http.client_pool import PRINCIPAL, ClientPool
from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.metered_backend import MeteredBackend
from bert_serving.server.http.quotas import Quotas
from bert_serving.server.http.requests import Rows
from bert_serving.server.http.server_backend import ServerBackend
from bert_serving.server.security.principals import Principal
from support.scripted_server import ScriptedServer


class FakeClient:
    def __init__(self, principal: str) -> None:
        self.principal = principal
        self.is_closed = False
        self.status = {'num_request': 3}

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def made() -> list[FakeClient]:
    return []


@pytest.fixture
def pool(made: list[FakeClient]) -> ClientPool:
    def make(principal: str) -> Any:
        made.append(FakeClient(principal))
        return made[-1]

    return ClientPool(make, max_idle=2)


def use(pool: ClientPool, *principals: str) -> None:
    """Use clients at the same time."""
    with ExitStack() as stack:
        for principal in principals:
            stack.enter_context(pool.borrow(principal))


def test_a_client_is_kept_for_the_next_request_of_its_principal_alone(pool: ClientPool, made: list[FakeClient]) -> None:
    for principal in ('alice', 'bob', 'alice', 'bob', 'alice'):
        use(pool, principal)
    assert [client.principal for client in made] == ['alice', 'bob']


def test_those_that_were_not_used_for_the_longest_are_closed_beyond_the_limit(
    pool: ClientPool, made: list[FakeClient]
) -> None:
    for principal in ('alice', 'bob', 'alice', 'carol'):
        use(pool, principal)
    assert [client.principal for client in made if client.is_closed] == ['bob']
    statuses, past_requests = pool.statuses()
    assert (len(statuses), past_requests) == (2, 3), 'its requests still count'


def test_as_many_are_kept_as_were_ever_used_at_once(pool: ClientPool, made: list[FakeClient]) -> None:
    use(pool, *['alice'] * 5)
    use(pool, *['alice'] * 5)
    assert len(made) == 5
    assert not any(client.is_closed for client in made)


def test_a_closed_pool_gives_no_more(pool: ClientPool, made: list[FakeClient]) -> None:
    use(pool, 'alice')
    pool.close()
    assert pool.is_closed
    assert made[0].is_closed
    with pytest.raises(HTTPError) as raised, pool.borrow('alice'):
        pass
    assert raised.value.name == 'ShuttingDown'


def test_a_client_that_could_not_be_made_does_not_count_as_used(made: list[FakeClient]) -> None:
    def make(principal: str) -> Any:
        if principal == 'unlucky':
            raise OSError('no socket is left')
        made.append(FakeClient(principal))
        return made[-1]

    pool = ClientPool(make, max_idle=1)
    for _ in range(3):
        with pytest.raises(OSError, match='no socket is left'):
            use(pool, 'unlucky')
    for principal in ('alice', 'bob'):
        use(pool, principal)
    assert [client.principal for client in made if client.is_closed] == ['alice'], 'one is kept'


def test_a_client_that_is_made_while_the_pool_closes_is_closed_too(made: list[FakeClient]) -> None:
    def make(principal: str) -> Any:
        made.append(FakeClient(principal))
        closing.close()
        return made[-1]

    closing = ClientPool(make)
    with pytest.raises(HTTPError) as raised, closing.borrow('alice'):
        pass
    assert raised.value.name == 'ShuttingDown'
    assert made[0].is_closed


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.stop()


def identities(server: ScriptedServer, names_principals: bool, *names: str) -> list[bytes]:
    """Those of the requests that the proxy sends for these principals, one after another."""
    backend = ServerBackend('127.0.0.1', server.port, server.port_out, names_principals=names_principals)
    current = [Principal('')]
    metered = MeteredBackend(backend, Quotas(time.monotonic), lambda: (current[0], 1))
    try:
        for name in names:
            current[0] = Principal(name)
            metered.encode(Rows(['a']), time.monotonic() + 20, lambda: False)
    finally:
        backend.close()
    assert PRINCIPAL.get() == ''
    return [request.identity for request in server.requests]


def test_the_servers_own_proxy_names_the_principal_whose_request_it_sends(server: ScriptedServer) -> None:
    first, second, third = identities(server, True, 'alice', 'bob', 'alice')
    assert first.startswith(b'_http.alice.')
    assert second.startswith(b'_http.bob.')
    assert third == first


def test_any_other_proxy_is_one_client_to_the_server(server: ScriptedServer) -> None:
    first, second = identities(server, False, 'alice', 'bob')
    assert first == second
    assert b'alice' not in first
