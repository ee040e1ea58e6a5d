"""The bytes that a connection has not read are known, however large the replies are that ZeroMQ queues for it."""

from __future__ import annotations

from bert_serving.server.sink.unread import UnreadLedger
from bert_serving.server.tcp import Connection

ME, OTHER = Connection(7, '10.0.0.1', 50001), Connection(8, '10.0.0.2', 50002)


def test_a_connection_that_reads_nothing_has_no_room_soon_and_others_have() -> None:
    ledger = UnreadLedger(lambda _connection: 0, room=100)
    ledger.give(ME, 99)
    assert ledger.has_room(ME)
    ledger.give(ME, 1)
    assert not ledger.has_room(ME)
    assert ledger.has_room(OTHER)


def test_it_has_room_again_when_its_system_has_acknowledged_enough() -> None:
    acknowledged = {ME: 0}
    ledger = UnreadLedger(acknowledged.get, room=100)
    ledger.give(ME, 1000)
    assert not ledger.has_room(ME)
    acknowledged[ME] = 900
    assert not ledger.has_room(ME)
    acknowledged[ME] = 901
    assert ledger.has_room(ME)


def test_the_system_is_asked_only_in_doubt() -> None:
    asked: list[Connection] = []
    ledger = UnreadLedger(lambda connection: asked.append(connection), room=100)
    ledger.give(ME, 99)
    assert ledger.has_room(ME)
    assert asked == []
    ledger.give(ME, 1)
    assert ledger.has_room(ME), 'of a connection that is gone nobody knows'
    assert asked == [ME]


def test_heartbeats_that_were_acknowledged_are_no_room_for_replies() -> None:
    ledger = UnreadLedger(lambda _connection: 5000, room=100)
    ledger.give(ME, 100)
    assert ledger.has_room(ME)
    ledger.give(ME, 100)
    assert not ledger.has_room(ME)


def test_nothing_is_kept_of_a_connection_that_is_gone() -> None:
    ledger = UnreadLedger(lambda _connection: 0, room=100)
    ledger.give(ME, 100)
    assert not ledger.has_room(ME)
    ledger.forget(ME)
    assert ledger.has_room(ME)
    assert len(ledger) == 0
