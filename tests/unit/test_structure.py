"""A look at the JSON of a request before it is parsed."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.errors import RequestError, TooLarge
from bert_serving.server.protocol import structure
from bert_serving.server.protocol.structure import check_rows, without_strings


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look closely at every message, and at most at 40 tokens."""
    for name, value in {'SMALL_BYTES': 10, 'SPARE_ELEMENTS': 3, 'SPARE_LISTS': 3, 'MAX_TOKENS': 40}.items():
        monkeypatch.setattr(structure, name, value)


@pytest.mark.parametrize(
    ('rows', 'payload', 'says'),
    [
        (3, b'[' + b'[],' * 20 + b'[]]', 'announces 3 rows, but its JSON has 22 lists'),
        (1, b'[' + b'[],' * 20 + b'[]]', 'announces 1 rows, but its JSON has 22 lists'),
        (3, b'[' * 30, '30 lists'),
        (3, b'[' + b'{},' * 20, '21 lists'),
        (3, b'[' + b'"a",' * 20 + b'"\\ud800"]', 'its list has 21 elements'),
    ],
)
def test_json_bombs_are_refused_before_any_parser_sees_them(rows: int, payload: bytes, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        check_rows(payload, rows)


def test_too_many_tokens_are_refused_with_advice() -> None:
    with pytest.raises(TooLarge, match='send it in parts'):
        check_rows(json.dumps([['a'] * 50]).encode(), 1)
    check_rows(memoryview(json.dumps([['a'] * 41]).encode()), 1)


def test_a_small_message_is_not_looked_at() -> None:
    check_rows(b'[[[[[[[[[[', 1)


TEXTS = st.lists(st.text('a[],{}"\\\n', max_size=30), min_size=1, max_size=20)
TOKENS = st.lists(st.lists(st.text('a[],', max_size=4), max_size=3), min_size=1, max_size=10)


@given(TEXTS | TOKENS)
def test_brackets_and_commas_in_texts_refuse_no_request(texts: list[object]) -> None:
    check_rows(json.dumps(texts).encode(), len(texts))


@given(st.lists(st.sampled_from(['"', '\\', '[', ']', ',', 'a', '\\"', '\\\\']), max_size=40).map(''.join))
def test_strings_are_left_out_whatever_they_hold(text: str) -> None:
    texts = [text, 'x', text]
    found = without_strings(json.dumps({'a': texts, 'b': [1, [2]]}).encode())
    assert found.replace(b' ', b'') == b'{:[,,],:[1,[2]]}'


def test_strings_reach_over_the_chunks_in_which_they_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, 'CHUNK_BYTES', 3)
    assert without_strings(b'["abc[,d","\\"[", [1, 2], "never ends [,') == b'[,, [1, 2], '
    assert without_strings(b'') == b''


def test_a_message_of_many_short_texts_is_looked_at_in_no_time() -> None:
    """A regular expression took six seconds and 700 MB for a list like this one of 15 MB."""
    started = time.process_time()
    with pytest.raises(RequestError, match='its list has 1000001 elements'):
        check_rows(b'[' + b'"a",' * 1_000_000 + b'"\\ud800"]', 300)
    assert time.process_time() - started < 1
