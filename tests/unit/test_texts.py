"""The shapes that the texts of a request can have, and what is said of all others."""

from __future__ import annotations

import pytest

from bert_serving.server.errors import RequestError
from bert_serving.server.protocol.texts import parse_pairs, parse_texts


@pytest.mark.parametrize('value', [['a'], ['', ' ', 'b'], [[]], [['a', ''], []], [[], [7, 0]], ['[SEP]', '\ud800']])
def test_texts_and_lists_of_tokens_are_passed_on(value):
    assert parse_texts(value, len(value)) is value


@pytest.mark.parametrize(
    ('value', 'rows', 'message'),
    [
        ('secret', 1, 'expected a list of texts or of lists of tokens, got str'),
        ({'secret': 1}, 1, 'expected a list of texts or of lists of tokens, got dict'),
        (None, 1, 'expected a list of texts or of lists of tokens, got NoneType'),
        ([], 0, 'expected at least one text, got an empty list'),
        ([], 3, 'expected at least one text, got an empty list'),
        (['secret'], 2, 'the request announces 2 rows, but its list has 1 elements'),
        ([7, 'secret'], 2, 'expected a text or a list of tokens as element 0, got int'),
        (['secret', 'b', None], 3, 'expected a text, like element 0, as element 2, got NoneType'),
        (['secret', ['b']], 2, 'expected a text, like element 0, as element 1, got list'),
        ([['secret'], 'b'], 2, 'expected a list of tokens, like element 0, as element 1, got str'),
        ([['secret'], ['b', 7.5]], 2, 'expected a string in element 1 as token 1, got float'),
        ([[7], ['secret']], 2, 'expected an id in element 1 as token 0, got str'),
        ([[], [7, 8.5]], 2, 'expected an id in element 1 as token 1, got float'),
        ([[7, True]], 1, 'expected an id in element 0 as token 1, got bool'),
        ([[True]], 1, 'expected a string in element 0 as token 0, got bool'),
        ([['secret', 7]], 1, 'expected a string in element 0 as token 1, got int'),
        ([[['secret']]], 1, 'expected a string in element 0 as token 0, got list'),
    ],
)
def test_what_is_wrong_with_a_request_is_said_without_quoting_it(value, rows, message):
    with pytest.raises(RequestError) as caught:
        parse_texts(value, rows)
    assert caught.value.message == message


@pytest.mark.parametrize('value', [[['a', 'b']], [['', ''], ['a ||| b', '\n']]])
def test_pairs_are_passed_on(value):
    assert parse_pairs(value, len(value)) is value


@pytest.mark.parametrize(
    ('value', 'rows', 'message'),
    [
        ('secret', 1, 'expected a list of pairs of texts, got str'),
        ([['a', 'b']], 2, 'the request announces 2 rows, but its list has 1 elements'),
        (['secret'], 1, 'expected a list of two texts as element 0, got str'),
        ([['a', 'b'], ['secret']], 2, 'expected a list of two texts as element 1, got a list of 1'),
        ([['a', 'b', 'c']], 1, 'expected a list of two texts as element 0, got a list of 3'),
        ([['secret', None]], 1, 'expected a text in element 0 as text 1, got NoneType'),
        ([[['secret'], 'b']], 1, 'expected a text in element 0 as text 0, got list'),
    ],
)
def test_what_is_no_list_of_pairs_is_the_clients_fault(value, rows, message):
    with pytest.raises(RequestError) as raised:
        parse_pairs(value, rows)
    assert raised.value.message == message
