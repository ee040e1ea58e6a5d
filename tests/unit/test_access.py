"""The rights of a peer: its own identities, its grants, its connections."""

from __future__ import annotations

import pytest

from bert_serving.server.errors import Forbidden, RequestError
from bert_serving.server.protocol.wire import (
    BadRequest,
    CancelRequest,
    EncodeRequest,
    StatusRequest,
)
from bert_serving.server.security.access import Answerable, Peer, check_grant, check_message, identity_error, owns
from bert_serving.server.security.members import Members
from bert_serving.server.security.principals import ANONYMOUS, Grant, Principal
from bert_serving.server.tcp import Connection

ENCODE = EncodeRequest(b'alice.1', b'1', 1, b'["a"]')
CONFIG, STATUS = StatusRequest(b'alice.1', b'1', statistic=False), StatusRequest(b'alice.1', b'1', statistic=True)
ALICE = Peer('alice', 'k', '10.0.0.1')


def may(message: Answerable, *grants: Grant, use: Grant = Grant.ENCODE) -> bool:
    try:
        check_message(Principal('alice', frozenset(grants)), message, use)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize('identity', [b'alice.1', b'alice.', b'alice.bob.1'])
def test_the_identities_of_a_principal_begin_with_its_name_and_a_dot(identity: bytes) -> None:
    assert owns('alice', identity, ())


@pytest.mark.parametrize('identity', [b'', b'alice', b'alic', b'a', b'bob.1', b'alices.1', b'ALICE.1'])
def test_no_principal_has_an_identity_of_another_or_its_beginning(identity: bytes) -> None:
    assert not owns('alice', identity, ())


def test_a_peer_without_a_key_has_all_identities_but_those_of_principals() -> None:
    assert owns('', b'me', {'alice'})
    assert owns('', b'bob.1', {'alice'})
    assert owns('', b'\xff.1', {'alice'})
    assert not owns('', b'alice.1', {'alice'})


def test_the_error_of_an_identity_says_what_to_do() -> None:
    assert "begin it with 'alice.'" in identity_error('alice', b'bob.1').message
    assert 'has no key' in identity_error('', b'alice.1').message


def test_each_message_needs_its_grant() -> None:
    assert may(ENCODE, Grant.ENCODE)
    assert not may(ENCODE, Grant.PREDICT, Grant.STATUS, Grant.TERMINATE)
    assert may(ENCODE, Grant.PREDICT, use=Grant.PREDICT)
    assert not may(ENCODE, Grant.ENCODE, use=Grant.PREDICT)
    assert may(STATUS, Grant.STATUS)
    assert not may(STATUS, Grant.ENCODE)
    with pytest.raises(Forbidden):
        check_grant(Principal('alice'), Grant.TERMINATE)


def test_the_configuration_is_for_all_who_may_do_anything_with_it() -> None:
    assert may(CONFIG, Grant.ENCODE)
    assert may(CONFIG, Grant.PREDICT)
    assert may(CONFIG, Grant.STATUS)
    assert not may(CONFIG, Grant.TERMINATE)


def test_to_cancel_or_to_err_needs_no_grant() -> None:
    assert may(CancelRequest(b'alice.1', b'1'))
    assert may(BadRequest(b'alice.1', b'1', RequestError('x')))


def test_the_error_of_a_grant_names_it_and_the_principal() -> None:
    with pytest.raises(Forbidden, match=r"principal 'bob' lacks the grant 'encode' \(it has: predict, status\)"):
        check_message(Principal('bob', frozenset({Grant.STATUS, Grant.PREDICT})), ENCODE, Grant.ENCODE)
    with pytest.raises(Forbidden, match=r"principal 'anonymous' lacks the grant 'encode' \(it has: none\)"):
        check_message(Principal(ANONYMOUS, frozenset()), ENCODE, Grant.ENCODE)


def a_connection(number: int) -> Connection:
    return Connection(number, '10.0.0.1', number)


def test_the_connections_of_a_principal_are_counted_once_and_forgotten_with_it() -> None:
    members = Members()
    for number in (1, 1, 2):
        members.add(a_connection(number), ALICE)
    assert a_connection(1) in members
    assert (members.of_name('alice'), len(members)) == (2, 2)
    members.forget_closed(lambda connection: connection == a_connection(1))
    assert members.of_name('alice') == 1
    members.remove(a_connection(1))
    members.remove(a_connection(1))
    assert (members.of_name('alice'), len(members)) == (0, 0)


def test_connections_whose_key_is_revoked_are_returned_once() -> None:
    members = Members()
    bob = Peer('bob', 'k2', '10.0.0.2')
    members.add(a_connection(1), ALICE)
    members.add(a_connection(2), bob)
    assert members.take_revoked(lambda peer: peer.name != 'bob') == [(a_connection(2), bob)]
    assert members.take_revoked(lambda peer: peer.name != 'bob') == []
    assert len(members) == 1
