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
        'TooLong': 400,
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
    ('error', 'status', 'error_type'),
    [
        (HTTPError('BadRequest', 'the body is not JSON'), 400, 'Validation'),
        (HTTPError('BadRequest', 'must not be blank', 'inputs', 'ValueError'), 400, 'Empty'),
        (HTTPError('BadRequest', 'must be a string', 'inputs', 'TypeError'), 422, 'Validation'),
        (HTTPError('TooLong', 'element 0 has 600 tokens'), 413, 'Validation'),
        (HTTPError('TooLarge', 'too many'), 413, 'Validation'),
        (HTTPError('Busy', 'full'), 429, 'Overloaded'),
        (HTTPError('InternalError', 'a worker failed'), 424, 'Backend'),
        (HTTPError('PoisonedRequest', 'it crashed workers'), 424, 'Backend'),
        (HTTPError('ProxyError', 'a bug here'), 500, 'Backend'),
        (HTTPError('Unavailable', 'away'), 503, 'Unhealthy'),
        (HTTPError('ShuttingDown', 'draining'), 503, 'Unhealthy'),
    ],
)
def test_errors_in_the_format_of_tei_have_its_statuses(error: HTTPError, status: int, error_type: str) -> None:
    assert error.to_response('tei') == (status, {'error': error.message, 'error_type': error_type})


def test_errors_in_each_format() -> None:
    error = HTTPError('TooLong', 'why', 'input')
    assert error.to_response('legacy') == (400, error.to_legacy())
    assert error.to_response('openai') == (400, error.to_openai())
    assert error.to_response('cohere') == (400, {'message': 'why', **error.to_openai()})


def test_an_error_of_the_server_about_an_option_names_the_field() -> None:
    assert error_from_server('BadRequest', 'dimensions: expected at most 3').param == 'dimensions'
    assert error_from_server('BadRequest', 'element 3: is odd').param is None
    assert error_from_server('BadRequest', 'dimensions are odd').param is None


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


def test_a_copy_of_an_error_has_its_content_but_not_its_traceback() -> None:
    try:
        raise HTTPError('QuotaExceeded', 'too much', 'input', 'ValueError', retry_after_s=7)
    except HTTPError as error:
        copy = error.copy()
    assert (copy.name, copy.message, copy.param, copy.type_name, copy.retry_after_s) == (
        'QuotaExceeded',
        'too much',
        'input',
        'ValueError',
        7,
    )
    assert copy.__traceback__ is None
