"""The errors of the HTTP API: each kind has a status, and both formats carry it."""

from __future__ import annotations

import pytest

from bert_serving.server.errors import REQUEST_ERRORS
from bert_serving.server.http.errors import KINDS, HTTPError, error_from_server, error_from_status, make_refusal


def test_every_error_that_the_server_sends_has_a_kind_of_its_own_name() -> None:
    """Both tables name these kinds; one that is missing here would be sent as an internal error of the server."""
    assert set(REQUEST_ERRORS) <= set(KINDS)
    for name in REQUEST_ERRORS:
        assert error_from_server(name, 'why').name == name


def test_errors_of_the_server_keep_their_kind() -> None:
    statuses = {
        'BadRequest': 400,
        'TooLarge': 413,
        'Busy': 429,
        'ShuttingDown': 503,
        'DeadlineExceeded': 504,
        'PoisonedRequest': 500,
        'NotFinite': 500,
        'InternalError': 500,
        'SomethingNew': 500,
    }
    assert {name: error_from_server(name, 'm').status for name in statuses} == statuses


def test_errors_of_flask_have_a_kind() -> None:
    statuses = (400, 401, 404, 405, 413, 415, 429, 500, 503)
    assert [error_from_status(status, 'm').status for status in statuses] == list(statuses)
    assert [error_from_status(status, 'm').name for status in (404, 418, 507)] == [
        'NotFound',
        'BadRequest',
        'InternalError',
    ]


@pytest.mark.parametrize('name', KINDS)
def test_both_formats_of_an_error(name: str) -> None:
    error = HTTPError(name, 'why', 'input', 'ValueError')
    assert error.to_legacy() == {'description': 'why', 'type': 'ValueError', 'status': error.status}
    body = error.to_openai()['error']
    assert set(body) == {'message', 'type', 'param', 'code'}
    assert (body['message'], body['param']) == ('why', 'input')


@pytest.mark.parametrize(
    ('name', 'status', 'word'),
    [
        ('Unauthorized', 401, 'Bearer'),
        ('Busy', 429, 'retry'),
        ('TooLarge', 413, 'less'),
        ('ShuttingDown', 503, 'retry'),
    ],
)
def test_a_request_that_is_refused_before_its_route_is_told_what_to_do(name: str, status: int, word: str) -> None:
    refusal = make_refusal(name)
    assert (refusal.name, refusal.status) == (name, status)
    assert word in refusal.message
