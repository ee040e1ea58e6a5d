"""The server refuses requests that other HTTP programs could read differently, as soon as it has their headers."""

from __future__ import annotations

import pytest
from waitress.adjustments import Adjustments

from bert_serving.server.http.waitress_connection import Parser


def error_of(headers: str) -> str | None:
    """The error of a request with these headers, or None if it can go on."""
    parser = Parser(Adjustments())
    parser.received(('POST /encode HTTP/1.1\r\n%s\r\n\r\n' % headers).encode('latin-1'))
    return None if parser.error is None else str(parser.error.body)


@pytest.mark.parametrize(
    'host',
    ['a', 'a.example:8125', '10.0.0.1:80', '[::1]:8125', 'my_service', 'service.namespace.svc.cluster.local', ''],
)
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    assert error_of('Host: %s' % host) is None


@pytest.mark.parametrize('host', ['a b', 'user@a', 'a/path', 'a?b', 'a#b', 'a\\b', '\xe4', '<a>'])
def test_a_host_that_others_could_read_as_something_else_is_refused(host: str) -> None:
    assert error_of('Host: %s' % host) == 'The Host header is invalid'


@pytest.mark.parametrize('length', ['9' * 5000, '+1', '1_0', '0x1', '-1', '1, 1'])
def test_a_length_that_is_no_number_of_bytes_is_refused(length: str) -> None:
    """Python itself refuses to convert very many digits."""
    assert error_of('Host: a\r\nContent-Length: %s' % length) == 'Content-Length is invalid'
