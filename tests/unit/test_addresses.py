"""The address that a server listens on, where it is reached, and who is on the same machine."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from bert_serving.server.addresses import (
    is_local,
    is_loopback,
    own_address,
    reachable,
    with_brackets,
    without_brackets,
)
from support.ipv6 import needs_ipv6


@pytest.mark.parametrize(
    ('host', 'address'),
    [('*', '0.0.0.0'), ('0.0.0.0', '0.0.0.0'), ('127.0.0.1', '127.0.0.1'), ('localhost', '127.0.0.1')],
)
def test_an_address_of_this_machine_is_taken_as_numbers(host: str, address: str) -> None:
    assert own_address(host) == address


@needs_ipv6
@pytest.mark.parametrize(
    ('host', 'address'), [('::', '::'), ('[::]', '::'), ('::1', '::1'), ('[::1]', '::1'), ('0::1', '::1')]
)
def test_an_ipv6_address_of_this_machine_is_taken_with_or_without_brackets(host: str, address: str) -> None:
    assert own_address(host) == address


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name have these addresses."""

    def getaddrinfo(_name: str, _port: int, **_options: Any) -> list[tuple[Any, ...]]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 0, '', (address, 0, 0, 0))
            if ':' in address
            else (socket.AF_INET, socket.SOCK_STREAM, 0, '', (address, 0))
            for address in addresses
        ]

    monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)


@needs_ipv6
@pytest.mark.parametrize(
    ('addresses', 'taken'),
    [
        (['::1'], '::1'),
        (['::1', '127.0.0.1'], '127.0.0.1'),
        (['203.0.113.7', '127.0.0.1'], '127.0.0.1'),
        (['2001:db8::7', '203.0.113.7', '::1'], '::1'),
    ],
)
def test_of_a_name_the_first_address_of_this_machine_is_taken_and_ipv4_before_ipv6(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], taken: str
) -> None:
    resolve_to(monkeypatch, *addresses)
    assert own_address('a-name') == taken


@pytest.mark.parametrize('host', ['no.such.host.invalid', 'with space', 'a' * 70 + '.example', '1.2.3.4.5'])
def test_a_name_without_an_address_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r'^cannot resolve it .*: use an address'):
        own_address(host)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ValueError, match=r'^cannot listen on it \(Cannot assign.*\): use an address'):
        own_address('203.0.113.7')


@pytest.mark.parametrize(
    ('host', 'address'),
    [
        ('*', '127.0.0.1'),
        ('', '127.0.0.1'),
        ('0.0.0.0', '127.0.0.1'),
        ('::', '::1'),
        ('[::]', '::1'),
        ('10.1.2.3', '10.1.2.3'),
        ('a-name', 'a-name'),
    ],
)
def test_who_listens_everywhere_is_reached_by_the_loopback_interface(host: str, address: str) -> None:
    assert reachable(host) == address


@pytest.mark.parametrize('host', ['::1', '127.0.0.1', 'a-name', 'fe80::1%lo'])
def test_brackets_are_for_ipv6_alone_and_come_off_again(host: str) -> None:
    written = with_brackets(host)
    assert written == ('[%s]' % host if ':' in host else host)
    assert with_brackets(written) == written
    assert without_brackets(written) == host


@pytest.mark.parametrize('address', ['127.0.0.1', '127.3.4.5', '::1', '::ffff:127.0.0.1'])
def test_a_peer_on_this_machine_is_known_by_its_address(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    'address', ['10.0.0.1', '::ffff:10.0.0.1', 'fe80::1', '0.0.0.0', '', 'localhost', '127.0.0.1:5']
)
def test_any_other_peer_is_taken_for_remote(address: str) -> None:
    assert not is_loopback(address)


@pytest.mark.parametrize(
    ('peer', 'listening', 'expected'),
    [
        ('127.0.0.1', '0.0.0.0', True),
        ('::1', '::', True),
        ('10.1.2.3', '10.1.2.3', True),
        ('fd00::2', 'fd00::2', True),
        ('10.1.2.4', '10.1.2.3', False),
        ('10.1.2.3', '0.0.0.0', False),
        ('::', '::', False),
        ('0.0.0.0', '0.0.0.0', False),
        ('', '', False),
    ],
)
def test_a_peer_is_local_if_it_comes_from_loopback_or_from_the_servers_only_address(
    peer: str, listening: str, expected: bool
) -> None:
    assert is_local(peer, listening) is expected
