"""Validation: each field is checked, and the message names an invalid one without repeating a text of the user."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.requests import (
    MAX_FIELDS,
    MAX_ROWS,
    Rows,
    check_fields,
    check_form,
    check_structure,
    check_values,
    read_encode,
    read_encode_form,
    read_object,
    read_tokenize,
)


def test_a_body_is_a_json_object() -> None:
    assert read_object(b'{"texts": ["a"]}') == {'texts': ['a']}
    assert read_object(b'{"texts": ["half a pair: \\ud800"]}') == {'texts': ['half a pair: \ud800']}


@pytest.mark.parametrize('body', [b'', b'{', b'{"a": }', b'\xff{}', b'[' * 100, b'{"a": "\\x"}'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(HTTPError) as caught:
        read_object(body)
    assert (caught.value.name, caught.value.type_name) == ('BadRequest', 'ValueError')


@pytest.mark.parametrize(('body', 'name'), [(b'[]', 'a list'), (b'"a"', 'a string'), (b'null', 'null'), (b'7', '7')])
def test_what_is_no_object_is_refused(body: bytes, name: str) -> None:
    with pytest.raises(HTTPError, match=name):
        read_object(body)


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'utf-32'])
def test_a_body_with_a_byte_order_mark_or_in_utf16_is_read(encoding: str) -> None:
    assert read_object('{"texts": ["Moët Hennessy"]}'.encode(encoding)) == {'texts': ['Moët Hennessy']}


@pytest.mark.parametrize(
    ('body', 'says'),
    [
        ('{"texts": ["Moët"]}'.encode('latin-1'), 'the body is not UTF-8: byte 14 cannot be decoded; send UTF-8'),
        (b'\xef\xbb\xbf' + '{"texts": ["Moët"]}'.encode('latin-1'), 'the body is not UTF-8: byte 17'),
        ('{"texts": ["Moët"]}'.encode('utf-16')[:-1], 'the body is not UTF-16: byte 38'),
    ],
)
def test_a_body_in_latin_1_is_refused_with_the_byte(body: bytes, says: str) -> None:
    with pytest.raises(HTTPError, match=says) as caught:
        read_object(body)
    assert (caught.value.name, caught.value.type_name) == ('BadRequest', 'ValueError')


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b'1' + b'}' * levels


def test_nesting_has_a_limit() -> None:
    check_structure(nested(16))
    with pytest.raises(HTTPError, match='deeper than 16'):
        check_structure(nested(17))
    with pytest.raises(HTTPError, match='deeper than 16'):
        check_structure(b'[' * 9 + b'{"a":[[[[[[[[1]]]]]]]]}' + b']' * 9)


def test_many_lists_side_by_side_are_not_deep() -> None:
    check_structure(json.dumps([['a', '[', '{']] * 1000).encode())


def test_brackets_and_commas_in_texts_do_not_count() -> None:
    check_structure(json.dumps({'texts': ['[[[[{{{{' * 10 + '\\"[[,' * 100]}).encode(), max_items=10)


@pytest.mark.slow
@pytest.mark.parametrize(
    'body',
    [
        b'[' * 8_000_000,
        b'[' * 20 + b'"' + b'\\"' * 4_000_000,
        b'[' * 20 + b'"' * 8_000_001,
        b'[' * 20 + b'"' + b'\\\\' * 4_000_000 + b'"',
        b'[' * 20 + b'"' + b'a' * 8_000_000,
        b'[' * 400_000 + b']' * 400_000,
        b'[]' * 400_000 + b'[' * 20,
        b'[{' * 400_000 + b']}' * 400_000,
    ],
    ids=range(8),
)
def test_no_body_takes_long_to_look_at(body: bytes) -> None:
    began = time.process_time()
    with pytest.raises(HTTPError):
        read_object(body)
    assert time.process_time() - began < 2


def test_elements_have_a_limit() -> None:
    with pytest.raises(HTTPError) as caught:
        check_structure(b'[' + b'[],' * 100 + b'[]]', max_items=100)
    assert caught.value.status == 413
    with pytest.raises(HTTPError, match='more than 100 elements'):
        check_structure(b'[' + b'1,' * 101 + b'1]', max_items=100)


def test_a_request_of_1_10() -> None:
    query = read_encode({'id': 123, 'texts': ['hello world'], 'is_tokenized': False})
    assert (query.id, query.rows, query.show_tokens) == (123, Rows(['hello world'], 'texts'), False)
    query = read_encode({'id': None, 'texts': [['hello', 'world']], 'is_tokenized': True, 'show_tokens': True})
    assert (query.id, query.rows, query.show_tokens) == (None, Rows([['hello', 'world']], 'tokens'), True)


def test_token_ids_are_read_by_encode_but_not_by_tokenize() -> None:
    data = {'id': 1, 'texts': [[7592, 2088], [7592]], 'is_tokenized': True}
    assert read_encode(data).rows == Rows([[7592, 2088], [7592]], 'ids')
    with pytest.raises(HTTPError, match='token 0 of element 0 of "texts" must be a string'):
        read_tokenize(data)
    with pytest.raises(
        HTTPError, match='token 1 of element 0 of "texts" must be an id of the vocabulary, but is a str'
    ):
        read_encode({'id': 1, 'texts': [[7592, SECRET]], 'is_tokenized': True})
    with pytest.raises(HTTPError, match='token 1 of element 0 of "texts" must be a string, but is 2088'):
        read_encode({'id': 1, 'texts': [[SECRET, 2088]], 'is_tokenized': True})


@pytest.mark.parametrize('word', [False, None, 0, 'false', 'False', '', '0', 'no', 'off'])
def test_what_is_false(word: object) -> None:
    assert read_encode({'id': 1, 'texts': ['a'], 'is_tokenized': word}).rows.form == 'texts'


@pytest.mark.parametrize('word', [True, 1, 'true', 'True', '1', 'yes', 'on'])
def test_what_is_true(word: object) -> None:
    assert read_encode({'id': 1, 'texts': [['a']], 'is_tokenized': word}).rows.form == 'tokens'


def test_an_id_is_not_needed() -> None:
    assert read_encode({'texts': ['a']}).id is None


SECRET = 'a text of a user'


@pytest.mark.parametrize(
    ('data', 'param', 'type_name', 'words'),
    [
        ({'id': 1}, 'texts', 'KeyError', '"texts" is missing'),
        ({'id': 1, 'texts': SECRET}, 'texts', 'TypeError', '"texts" must be a list, but is a string'),
        ({'id': 1, 'texts': {}}, 'texts', 'TypeError', 'is an object'),
        ({'id': 1, 'texts': []}, 'texts', 'ValueError', '"texts" must not be empty'),
        ({'id': 1, 'texts': [SECRET, 7]}, 'texts', 'TypeError', 'element 1 of "texts" must be a string, but is 7'),
        ({'id': 1, 'texts': [1 << 50]}, 'texts', 'TypeError', 'is a number'),
        ({'id': 1, 'texts': [SECRET, ' ']}, 'texts', 'ValueError', 'element 1 of "texts" must not be blank'),
        ({'id': 1, 'texts': [[SECRET]]}, 'texts', 'TypeError', 'element 0 of "texts" must be a string, but is a list'),
        (
            {'id': 1, 'texts': [SECRET], 'is_tokenized': True},
            'texts',
            'TypeError',
            'element 0 of "texts" must be a list',
        ),
        (
            {'id': 1, 'texts': [[]], 'is_tokenized': True},
            'texts',
            'ValueError',
            'element 0 of "texts" must not be empty',
        ),
        (
            {'id': 1, 'texts': [['a', 1.5]], 'is_tokenized': True},
            'texts',
            'TypeError',
            'token 1 of element 0 of "texts"',
        ),
        ({'id': 1, 'texts': ['a'], 'is_tokenized': 'maybe'}, 'is_tokenized', 'TypeError', 'must be true or false'),
        ({'id': 1, 'texts': ['a'], 'is_tokenized': [1]}, 'is_tokenized', 'TypeError', 'but is a list'),
        ({'id': 1, 'texts': ['a'], 'show_tokens': 2}, 'show_tokens', 'TypeError', 'but is 2'),
    ],
)
def test_what_is_wrong_with_a_request_is_named(data: dict[str, Any], param: str, type_name: str, words: str) -> None:
    with pytest.raises(HTTPError) as caught:
        read_encode(data)
    error = caught.value
    assert (error.status, error.param, error.type_name) == (400, param, type_name)
    assert words in error.message
    assert SECRET not in error.message


def test_a_form_has_each_text_by_itself() -> None:
    query = read_encode_form({'id': ['7'], 'texts': ['hello', 'good day'], 'is_tokenized': ['false']})
    assert (query.id, query.rows) == ('7', Rows(['hello', 'good day'], 'texts'))


def test_a_form_has_tokens_as_json() -> None:
    query = read_encode_form({'id': ['7'], 'texts': ['\ufeff["good", "day"]'], 'is_tokenized': ['true']})
    assert query.rows == Rows([['good', 'day']], 'tokens')
    with pytest.raises(HTTPError, match='element 1 of "texts" must be a JSON list'):
        read_encode_form({'id': ['7'], 'texts': ['["a"]', 'good day'], 'is_tokenized': ['true']})


def test_a_form_without_texts() -> None:
    with pytest.raises(HTTPError, match='"texts" is missing'):
        read_encode_form({'id': ['7'], 'texts': []})


def test_a_form_has_a_bound_of_fields() -> None:
    check_fields(b'&'.join([b'texts=a'] * MAX_FIELDS))
    with pytest.raises(HTTPError, match='more than %d fields' % MAX_FIELDS) as caught:
        check_fields(b'&'.join([b'texts=a'] * (MAX_FIELDS + 1)))
    assert caught.value.name == 'TooLarge'


def test_a_field_that_is_not_utf_8_is_named_whether_it_is_escaped_or_not() -> None:
    check_fields('texts=ü&texts=%C3%BC&id=100%'.encode())
    with pytest.raises(HTTPError, match='the form'):
        check_fields(b'texts=\xfc')
    with pytest.raises(HTTPError, match='field "texts" of the form'):
        check_fields(b'id=1&texts=%FC')


def test_a_replacement_character_in_a_multipart_form_is_one_that_was_sent_or_a_byte_that_is_not_utf_8() -> None:
    check_values({'texts': ['a']}, b'\xfc')  # of another part, a file for example
    check_values({'texts': ['\ufffd']}, '\ufffd'.encode())
    with pytest.raises(HTTPError, match='the form'):
        check_values({'texts': ['\ufffd']}, b'\xfc')


def test_token_ids_are_refused_unless_the_server_accepts_them() -> None:
    check_form(Rows([[1]], 'ids'), token_ids=True, name='input')
    check_form(Rows(['a'], 'texts'), token_ids=False, name='input')
    with pytest.raises(HTTPError, match='-http_token_ids') as caught:
        check_form(Rows([[1]], 'ids'), token_ids=False, name='input')
    assert (caught.value.status, caught.value.param) == (400, 'input')


def test_a_request_has_a_bound_of_rows() -> None:
    assert len(read_encode({'id': 1, 'texts': ['a'] * MAX_ROWS}).rows.items) == MAX_ROWS
    with pytest.raises(HTTPError, match='has %d elements, but the limit is %d' % (MAX_ROWS + 1, MAX_ROWS)):
        read_encode({'id': 1, 'texts': ['a'] * (MAX_ROWS + 1)})


def test_a_request_to_tokenize() -> None:
    assert read_tokenize({'texts': ['a']}).rows == Rows(['a'], 'texts')
    with pytest.raises(HTTPError, match='"texts" is missing'):
        read_tokenize({})
