"""Several servers behind one address: how they are given, and which replica gets a request."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.errors import UsageError
from bert_serving.server.http.upstreams import ReplicaBook, Upstream, by_name, read_upstream, read_upstream_file


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('bge=10.0.0.7:5555,5556', Upstream('bge', '10.0.0.7', 5555, 5556)),
        ('BAAI/bge-m3=encoder:1,65535', Upstream('BAAI/bge-m3', 'encoder', 1, 65535)),
        ('a=[::1]:5555,5556', Upstream('a', '::1', 5555, 5556)),
        (' a=host:5555,5556 ', Upstream('a', 'host', 5555, 5556)),
    ],
)
def test_an_upstream_has_a_name_a_host_and_two_ports(text: str, expected: Upstream) -> None:
    assert read_upstream(text) == expected
    assert read_upstream('%s=%s' % (expected.name, expected.address)) == expected


@pytest.mark.parametrize(
    'text',
    ['', 'a', 'a=', 'a=host', 'a=host:5555', 'a=host:5555,', '=host:1,2', 'a=:1,2', 'a=host:0,1', 'a=host:1,65536',
     'a=host:x,y', 'a=::1:1,2', 'a=host:1,2,3', 'a=host:-1,2'],
)  # fmt: skip
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match='expected NAME=HOST:PORT,PORT_OUT, as in'):
        read_upstream(text)


def test_a_file_has_one_on_each_line(tmp_path: Path) -> None:
    file = tmp_path / 'upstreams'
    file.write_text('\ufeff# the encoders\na=host:1,2\n\n  b=host:3,4\n', encoding='utf-8')
    assert [upstream.name for upstream in read_upstream_file(str(file))] == ['a', 'b']


@pytest.mark.parametrize(
    ('content', 'message'),
    [(b'# nothing', 'no upstream in'), (b'a=host:1,2\nb', 'line 2 of'), (b'\xff', 'it is not UTF-8 text')],
)
def test_a_file_that_is_wrong_is_reported(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / 'upstreams'
    file.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_upstream_file(str(file))
    with pytest.raises(UsageError, match='No such file'):
        read_upstream_file(str(tmp_path / 'missing'))


def test_upstreams_of_one_name_are_replicas() -> None:
    one, other, second = Upstream('a', 'x', 1, 2), Upstream('b', 'x', 3, 4), Upstream('a', 'y', 1, 2)
    assert by_name([one, other, second]) == {'a': [one, second], 'b': [other]}
    with pytest.raises(UsageError, match='x:1,2 is given twice'):
        by_name([one, Upstream('b', 'x', 1, 2)])


def test_the_replica_with_the_fewest_unanswered_is_next_and_equal_ones_take_turns() -> None:
    book = ReplicaBook(3)
    assert [book.choose() for _ in range(5)] == [0, 1, 2, 0, 1]
    book.end(1)
    book.end(1)
    assert [book.choose() for _ in range(3)] == [1, 2, 1]


def test_one_that_is_away_gets_none_until_it_is_back_unless_all_are() -> None:
    book = ReplicaBook(2)
    book.is_away[0] = True
    assert [book.choose() for _ in range(3)] == [1, 1, 1]
    book.is_away[0] = False
    assert book.choose() == 0
    book.is_away = [True, True]
    assert book.choose() == 0
    assert book.choose_other(0) is None


def test_a_request_that_failed_goes_to_another_that_is_there() -> None:
    book = ReplicaBook(3)
    first = book.choose()
    book.is_away[first] = True
    assert book.choose_other(first) == 1
    book.is_away[2] = True
    assert book.choose_other(1) is None


def test_the_requests_and_errors_of_each_replica_are_counted() -> None:
    book = ReplicaBook(2)
    for is_error in (True, False, True):
        book.end(book.choose(), is_error)
    book.choose()
    assert (book.requests, book.errors, book.unanswered) == ([2, 2], [2, 0], [0, 1])


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2)), max_size=60))
def test_no_replica_ever_has_two_more_unanswered_than_one_that_is_chosen(steps: list[tuple[bool, int]]) -> None:
    book = ReplicaBook(3)
    for is_request, index in steps:
        if is_request:
            least = min(book.unanswered)
            assert book.unanswered[book.choose()] == least + 1
        elif book.unanswered[index]:
            book.end(index)
        assert min(book.unanswered) >= 0
