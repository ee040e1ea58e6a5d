"""A JSON list is cut into shorter ones without being parsed, and what is wrong with it is an error all the same."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.errors import RequestError, TooLarge
from bert_serving.server.protocol import elements
from bert_serving.server.protocol.elements import MAX_LISTS, cut_list
from bert_serving.server.protocol.texts import decode_texts, parse_texts

TEXTS = st.lists(st.text('ab[],{}"\\\n é\U0001f600\ud800', max_size=12), min_size=1, max_size=20)
TOKENS = st.lists(st.lists(st.text('a[],"', max_size=4), max_size=3), min_size=1, max_size=10)
IDS = st.lists(st.lists(st.integers(-5, 40_000), max_size=4), min_size=1, max_size=10)
SEPARATORS = st.sampled_from([(', ', ': '), (',', ':'), (' ,\n\t', ':')])


def cut(text: bytes, rows: int, at_once: int = 3, slice_bytes: int = 5) -> list[bytes]:
    return [piece for lists in cut_list(text, rows, at_once, slice_bytes) for piece in lists]


def parse_all(text: bytes, rows: int, at_once: int, slice_bytes: int) -> None:
    """Check a list as the ventilator and the workers do together."""
    for number, piece in enumerate(cut(text, rows, at_once, slice_bytes)):
        parse_texts(decode_texts(piece), min(at_once, rows - number * at_once))


@given(TEXTS | TOKENS | IDS, st.integers(1, 7), st.integers(1, 60), SEPARATORS, st.booleans())
def test_the_lists_have_together_the_elements_of_the_whole_in_order(
    value: list[Any], at_once: int, slice_bytes: int, separators: tuple[str, str], ascii_only: bool
) -> None:
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_only).encode('utf-8', 'backslashreplace')
    whole = json.loads(text)
    pieces = [json.loads(piece) for piece in cut(b' \n' + text + b'\t ', len(whole), at_once, slice_bytes)]
    assert [element for piece in pieces for element in piece] == whole
    assert {len(piece) for piece in pieces[:-1]} <= {at_once}


@given(
    st.lists(st.sampled_from(['"a"', '"', '\\', '[', ']', ',', '{', '}', ' ', '1', 'null', '\\"', '\0', 'x', ':']))
    .map(''.join)
    .map(lambda text: ('["b",%s]' % text).encode()),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 9),
)
def test_whatever_is_not_right_is_refused_here_or_in_a_list_of_its_own(
    text: bytes, rows: int, at_once: int, slice_bytes: int
) -> None:
    """So that what the workers check of each list is as good as what a parser would check of the whole."""
    try:
        expected = parse_texts(decode_texts(text), rows)
    except RequestError:
        with pytest.raises(RequestError):
            parse_all(text, rows, at_once, slice_bytes)
    else:
        pieces = cut(text, rows, at_once, slice_bytes)
        assert [element for piece in pieces for element in json.loads(piece)] == expected


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-16-be', 'utf-32', 'utf-32-le'])
def test_other_encodings_are_recoded(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '["é","b","c"]'.encode(encoding)
    assert cut(text, 3, 2) == ['["é","b"]'.encode(), b'["c"]']
    monkeypatch.setattr(elements, 'MAX_RECODED_BYTES', 3)
    if encoding != 'utf-8-sig':
        with pytest.raises(RequestError, match='not UTF-8'):
            cut(text, 3)


@pytest.mark.parametrize(
    ('rows', 'text', 'says'),
    [
        (3, b'', 'its list does not end'),
        (3, b'["a","b"', 'its list does not end'),
        (3, b'["a","b","c', 'its list does not end'),
        (3, b'{"a":1}', 'expected a list of texts or of lists of tokens, got dict'),
        (3, b' "a"', 'got str'),
        (3, b'-1.5', 'got float'),
        (3, b'x', 'got invalid JSON'),
        (3, b'["a","b","c"] x', 'something follows its list'),
        (3, b'["a","b","c"]        ["d"]', 'something follows its list'),
        (3, b'["a","b","c"}', 'something follows its list'),
        (3, b'[[["a"]]]', 'nested too deeply'),
        (1, b'[]', 'expected at least one text, got an empty list'),
        (3, b'["a","b"]', 'announces 3 rows, but its list has 2 elements'),
        (3, b'["a","b","c","d"]', 'announces 3 rows, but its list has more elements'),
        (3, b'["a","b",]', 'expected a text, like element 0, as element 2, got invalid JSON'),
        (4, b'["a","b",["c"],"d"]', 'expected a text, like element 0, as element 2, got list'),
        (4, b'[["a"],["b"],[],null]', 'expected a list of tokens, like element 0, as element 3, got NoneType'),
        (2, b'[1,2]', 'expected a text or a list of tokens as element 0, got int'),
        (2, b'[true,2]', 'as element 0, got bool'),
        (3, b'[[],[1],["a"]]', 'expected an id in element 2 as token 0, got str'),
        (3, b'[["a"],[],[1]]', 'expected a string in element 2 as token 0, got int'),
        (3, b'[[],[null],["a"]]', 'expected a string in element 1 as token 0, got NoneType'),
        (3, b'\xff\xfe["a', 'cannot be decoded'),
    ],
)
@pytest.mark.parametrize('slice_bytes', [3, 1000])
def test_an_error_says_what_is_wrong_and_where(rows: int, text: bytes, says: str, slice_bytes: int) -> None:
    with pytest.raises(RequestError, match=says):
        cut(text, rows, slice_bytes=slice_bytes)


def test_too_many_tokens_are_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, 'MAX_TOKENS', 40)
    with pytest.raises(TooLarge, match='send it in parts'):
        cut(json.dumps([['a'] * 50]).encode(), 1)
    assert len(cut(json.dumps([['a'] * 41]).encode(), 1)) == 1


def test_a_step_yields_no_more_lists_than_its_caller_can_work_off_soon() -> None:
    rows = 2 * MAX_LISTS + 1
    steps = list(cut_list(json.dumps(['a'] * rows).encode(), rows, 1))
    assert [len(lists) for lists in steps] == [MAX_LISTS, MAX_LISTS, 1]


@pytest.mark.parametrize(
    ('rows', 'payload', 'says'),
    [
        (3, b'[' + b'[],' * 20 + b'[]]', 'announces 3 rows, but its list has more elements'),
        (1, b'[' + b'[],' * 20 + b'[]]', 'announces 1 rows, but its list has more elements'),
        (3, b'[' * 30, 'nested too deeply'),
        (3, b'[' + b'{},' * 20, 'as element 0, got dict'),
        (3, b'[' + b'"a",' * 20 + b'"\\ud800"]', 'its list has more elements'),
    ],
)
@pytest.mark.parametrize('slice_bytes', [7, 1000])
def test_json_bombs_are_refused_before_any_parser_sees_them(
    rows: int, payload: bytes, says: str, slice_bytes: int
) -> None:
    with pytest.raises(RequestError, match=says):
        cut(payload, rows, slice_bytes=slice_bytes)


def test_a_list_that_is_not_cut_is_the_message_as_it_is() -> None:
    text = b' [ "a" , "b" ] '
    (piece,) = cut(text, 2, at_once=2)
    assert piece is text


def test_a_message_of_many_short_texts_is_looked_at_in_no_time() -> None:
    """A regular expression took six seconds and 700 MB for a list like this one of 15 MB."""
    text = b'[' + b'"a",' * 1_000_000 + b'"\\ud800"]'
    started = time.process_time()
    assert len(cut(text, 1_000_001, 256, elements.SLICE_BYTES)) == 3907
    assert time.process_time() - started < 1


def test_a_bomb_is_noticed_in_the_first_slice() -> None:
    pieces = cut_list(b'[' + b'[],' * 1_000_000 + b'[]]', 300, 16)
    with pytest.raises(RequestError, match='more elements'):
        next(pieces)
