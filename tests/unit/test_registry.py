"""Accepted requests are found by number, key and client until they are finished, and their sums stay right."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.protocol.options import NO_OPTIONS
from bert_serving.server.protocol.ring import RequestRef
from bert_serving.server.ventilator.invariants import InvariantError
from bert_serving.server.ventilator.records import RequestRecord
from bert_serving.server.ventilator.registry import RequestRegistry


def a_record(number: int, identity: bytes = b'client', rows: int = 3, memory_bytes: int = 10) -> RequestRecord:
    ref = RequestRef(number, identity, b'%d' % number, 1, rows)
    key = (identity, ref.request_id, b'digest', NO_OPTIONS)
    return RequestRecord(ref, key, memory_bytes, [], arrived_at=0, last_seen_at=0)


def a_registry(*records: RequestRecord) -> RequestRegistry:
    registry = RequestRegistry()
    for record in records:
        registry.add(record)
    return registry


def test_a_request_is_found_by_number_by_key_and_by_client() -> None:
    mine, other = a_record(1), a_record(2, b'other')
    registry = a_registry(mine, other)
    assert registry[1] is registry.get(1) is registry.find(mine.key) is mine
    assert registry.of_identity(b'client') == [mine]
    assert list(registry) == [mine, other]
    assert (len(registry), registry.rows, registry.memory_bytes) == (2, 6, 20)


def test_nothing_of_a_removed_request_is_kept() -> None:
    record = a_record(1)
    registry = a_registry(record, a_record(2))
    registry.remove(record)
    assert registry.get(1) is None
    assert registry.find(record.key) is None
    assert [left.number for left in registry.of_identity(b'client')] == [2]
    assert (len(registry), registry.rows, registry.memory_bytes) == (1, 3, 10)


def test_of_two_requests_with_one_id_the_other_is_still_found() -> None:
    first, second = a_record(1), a_record(2)
    second.ref = replace(second.ref, request_id=first.ref.request_id)
    registry = a_registry(first, second)
    assert registry.with_id(b'client', b'1') == [first, second]
    registry.remove(first)
    assert registry.with_id(b'client', b'1') == [second]


def test_the_requests_of_an_unknown_client_are_none() -> None:
    assert a_registry().of_identity(b'client') == []


def test_the_requests_of_a_client_may_be_removed_one_by_one_while_they_are_looked_at() -> None:
    registry = a_registry(a_record(1), a_record(2))
    for record in registry.of_identity(b'client'):
        registry.remove(record)
    assert len(registry) == 0
    registry.check()


def test_no_number_is_given_twice() -> None:
    registry = a_registry()
    assert [registry.next_number() for _ in range(3)] == [1, 2, 3]


@given(st.lists(st.tuples(st.sampled_from([b'a', b'b']), st.integers(1, 9), st.booleans()), max_size=10))
def test_the_indexes_and_sums_agree_whatever_comes_and_goes(
    steps: list[tuple[bytes, int, bool]],
) -> None:
    registry = RequestRegistry()
    for identity, rows, removes in steps:
        registry.add(a_record(registry.next_number(), identity, rows))
        if removes:
            registry.remove(next(iter(registry)))
        registry.check()


@pytest.mark.parametrize(
    ('attribute', 'value', 'says'),
    [('rows', 5, 'rows'), ('memory_bytes', 5, 'memory'), ('_by_key', {}, 'key'), ('_by_identity', {}, 'client')],
)
def test_a_registry_that_contradicts_itself_is_noticed(attribute: str, value: object, says: str) -> None:
    registry = a_registry(a_record(1))
    setattr(registry, attribute, value)
    with pytest.raises(InvariantError, match=says):
        registry.check()
