"""Principals over HTTP: keys that a file names by their SHA-256, grants, ends, quotas, and addresses that guess."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry, generate_latest
from werkzeug.test import TestResponse

from bert_serving.server.errors import UsageError
from bert_serving.server.http.access_metrics import MAX_PRINCIPALS, AccessMetrics
from bert_serving.server.http.app import create_app
from bert_serving.server.http.authentication import API_KEY, Authenticator
from bert_serving.server.http.config import HttpConfig
from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.frontend import Frontend
from bert_serving.server.options.settings import Settings
from bert_serving.server.security.audit import Audit
from bert_serving.server.security.principals import ANONYMOUS, hash_of_http_key
from support.clock import Clock
from support.fake_backend import FakeBackend, classifier
from support.http_peers import BODY, PATIENCE_S, Callers, connect, get, post
from support.waiting import wait_until

StartFrontend = Callable[..., Frontend]

NOW = datetime(2026, 11, 27, tzinfo=UTC)
TEXTS = {'id': 1, 'texts': ['a', 'b'], 'input': ['a', 'b'], 'inputs': ['a', 'b']}


def table(name: str, *lines: str, key: str | None = None) -> str:
    """The lines of a principal, whose key is its name unless it has another one."""
    keys = 'http_keys = ["sha256:%s"]' % hash_of_http_key(key or name)
    return '\n'.join(['[%s]' % name, keys, *lines, ''])


FILE = '\n'.join(
    [
        table('everything'),
        table('encoder', 'grants = ["encode"]'),
        table('scorer', 'grants = ["predict"]'),
        table('watcher', 'grants = ["status"]'),
        table('nothing', 'grants = []'),
        table('former', 'ends = 2026-11-26'),
        table('small', '[small.quota]', 'rows_queued = 1'),
    ]
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / 'principals.toml'
    path.write_text(FILE)
    return path


@pytest.fixture
def authenticator(path: Path, clock: Clock) -> Authenticator:
    return Authenticator(('old',), str(path), clock, lambda: NOW)


@pytest.fixture
def guarded(backend: FakeBackend, authenticator: Authenticator) -> FlaskClient:
    return create_app(backend, authenticator=authenticator).test_client()


def bearer(key: str) -> dict[str, str]:
    return {'authorization': 'Bearer ' + key}


def ask(http: FlaskClient, path: str, key: str, address: str = '192.0.2.1') -> TestResponse:
    """The response to a request with a key; a GET if there is a route for it."""
    sender = {'REMOTE_ADDR': address}
    if path.startswith(('/status', '/metrics', '/v1/models', '/info')):
        return http.get(path, headers=bearer(key), environ_base=sender)
    return http.post(path, json=TEXTS, headers=bearer(key), environ_base=sender)


ENCODING = ('/encode', '/tokenize', '/v1/embeddings', '/embed', '/')
SCORING = ('/predict', '/')
STATUS = ('/status/server', '/status/client', '/status/history', '/metrics')


@pytest.mark.parametrize(
    ('key', 'encodes', 'scores', 'reads'),
    [
        ('everything', True, True, True),
        ('old', True, True, True),
        ('encoder', True, False, False),
        ('scorer', False, True, False),
        ('watcher', False, False, True),
        ('nothing', False, False, False),
    ],
)
def test_a_key_is_worth_the_grants_of_its_holder(
    guarded: FlaskClient, backend: FakeBackend, key: str, encodes: bool, scores: bool, reads: bool
) -> None:
    for paths, may in ((ENCODING, encodes), (STATUS, reads)):
        for path in paths:
            either = path == '/tokenize' and scores
            assert ask(guarded, path, key).status_code == (200 if may or either else 403), path
    backend.status = classifier('no', 'yes')
    for path in SCORING:
        assert ask(guarded, path, key).status_code == (200 if scores else 403), path
    for path in ('/v1/models', '/info'):
        assert ask(guarded, path, key).status_code == 200, 'any key will do'


def test_a_grant_that_lacks_is_named_in_the_format_of_the_route(guarded: FlaskClient) -> None:
    expected = "principal 'watcher' lacks the grant 'encode' (it has: status): see -principals"
    answer: Any = ask(guarded, '/encode', 'watcher').json
    assert answer == {'description': expected, 'type': 'Forbidden', 'status': 403}
    answer = ask(guarded, '/v1/embeddings', 'watcher').json
    assert (answer['error']['message'], answer['error']['code']) == (expected, 'insufficient_permissions')
    answer = ask(guarded, '/embed', 'watcher').json
    assert (answer['error'], 'error_type' in answer) == (expected, True)
    answer = ask(guarded, '/v2/rerank', 'watcher').json
    assert answer['message'] == expected.replace("'encode'", "'predict'")
    answer = ask(guarded, '/tokenize', 'nothing').json
    assert "lacks the grant 'encode' or 'predict' (it has: none)" in answer['description']


def test_a_key_that_has_ended_is_told_so(guarded: FlaskClient) -> None:
    for _ in range(20):  # it is no wrong key, so the address is not blocked
        answer = ask(guarded, '/v1/embeddings', 'former')
        assert (answer.status_code, answer.headers['www-authenticate']) == (401, 'Bearer')
    assert answer.json is not None
    assert answer.json['error']['message'] == "the key of principal 'former' expired on 2026-11-27 00:00:00+00:00"


def test_a_quota_is_answered_with_whose_it_was_and_when_to_come_again(guarded: FlaskClient) -> None:
    assert guarded.post('/encode', json={'id': 1, 'texts': ['a']}, headers=bearer('small')).status_code == 200
    answer = ask(guarded, '/encode', 'small')
    assert answer.status_code == 413
    assert answer.json is not None
    assert "the quota of principal 'small' is 1" in answer.json['description']


def test_the_file_is_read_again_and_a_port_that_had_keys_stays_closed(
    guarded: FlaskClient, authenticator: Authenticator, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert ask(guarded, '/encode', 'encoder').status_code == 200
    path.write_text(table('encoder', 'grants = ["status"]') + table('newcomer'))
    authenticator.refresh()
    assert ask(guarded, '/encode', 'encoder').status_code == 403
    assert ask(guarded, '/encode', 'newcomer').status_code == 200
    assert ask(guarded, '/encode', 'everything').status_code == 401
    path.write_text('not = [toml')
    authenticator.refresh()
    assert ask(guarded, '/encode', 'newcomer').status_code == 200
    path.write_text('')
    authenticator.refresh()
    assert ask(guarded, '/encode', 'newcomer').status_code == 401
    assert guarded.post('/encode', json=TEXTS).status_code == 401
    assert ask(guarded, '/encode', 'old').status_code == 200


def test_the_last_key_of_a_file_that_goes_leaves_the_port_closed(path: Path) -> None:
    authenticator = Authenticator((), str(path))
    path.write_text('')
    authenticator.refresh()
    assert authenticator.needs_key
    with pytest.raises(HTTPError, match='API key'):
        authenticator.identify(None, '192.0.2.1')


def test_without_a_key_the_port_is_that_of_anonymous(backend: FakeBackend, tmp_path: Path) -> None:
    path = tmp_path / 'principals.toml'
    path.write_text('[anonymous]\ngrants = ["encode"]\n')
    authenticator = Authenticator((), str(path))
    http = create_app(backend, authenticator=authenticator).test_client()
    assert http.post('/encode', json=TEXTS).status_code == 200
    assert http.get('/status/server').status_code == 403
    assert authenticator.names == [ANONYMOUS]


# Guessing ------------------------------------------------------------------------------------------------------------


def test_an_address_that_guesses_is_blocked_for_the_rest_of_the_minute(guarded: FlaskClient, clock: Clock) -> None:
    for number in range(10):
        assert ask(guarded, '/encode', 'guess-%d' % number).status_code == 401
    clock.now += 20.5
    for path in ('/encode', '/v1/embeddings', '/metrics'):
        answer = ask(guarded, path, 'guess')
        assert (answer.status_code, answer.headers['retry-after']) == (429, '40')
        assert 'too many wrong API keys' in answer.text
    assert ask(guarded, '/encode', 'everything').status_code == 429, 'a guess that is right is not told from others'
    assert ask(guarded, '/encode', 'everything', '192.0.2.2').status_code == 200, 'from elsewhere'
    assert guarded.post('/encode', json=TEXTS).status_code == 401, 'no key is no guess'
    assert guarded.get('/health', headers=bearer('guess')).status_code == 200
    clock.now += 39.5
    assert ask(guarded, '/encode', 'everything').status_code == 200


def test_a_client_with_a_wrong_key_does_not_shut_out_others_behind_its_address(guarded: FlaskClient) -> None:
    assert ask(guarded, '/encode', 'everything').status_code == 200
    for number in range(20):
        ask(guarded, '/encode', 'guess-%d' % number)
    assert ask(guarded, '/encode', 'everything').status_code == 200
    assert ask(guarded, '/encode', 'encoder').status_code == 429, 'not used from there before'


def test_hosts_of_a_network_of_ipv6_count_as_one(guarded: FlaskClient) -> None:
    for number in range(10):
        ask(guarded, '/encode', 'guess', '2001:db8:1:2::%x' % number)
    assert ask(guarded, '/encode', 'everything', '2001:db8:1:2:ffff::1').status_code == 429
    assert ask(guarded, '/encode', 'everything', '2001:db8:1:3::1').status_code == 200


def test_a_blocked_address_is_logged_once_without_the_keys(
    guarded: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger('bert_serving.server'), 'propagate', True)
    for _ in range(30):
        ask(guarded, '/encode', 'my-own-guess')
    lines = {id(record): record.getMessage() for record in caplog.records}  # a record can be captured twice
    assert list(lines.values()) == ['blocked an address for a minute after too many wrong keys address=192.0.2.1']
    assert 'my-own-guess' not in caplog.text


def test_the_audit_has_requests_and_refusals_without_texts_and_keys(
    backend: FakeBackend, authenticator: Authenticator, tmp_path: Path
) -> None:
    path = tmp_path / 'audit'
    audit = Audit(str(path))
    http = create_app(backend, authenticator=authenticator, audit=audit).test_client()
    for key, route in (('everything', '/encode'), ('watcher', '/embed'), ('my-own-guess', '/'), ('old', '/metrics')):
        ask(http, route, key)
    http.get('/metrics')
    audit.close()
    text = path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line['action'] for line in lines] == ['granted', 'refused', 'wrong_key', 'refused']
    assert (lines[0]['principal'], lines[0]['address'], lines[0]['rows']) == ('everything', '192.0.2.1', 2)
    assert lines[0]['outcome'] == 'status 200'
    assert "'watcher' lacks the grant 'encode'" in lines[1]['outcome']
    assert 'my-own-guess' not in text
    assert all(line['request_id'] for line in lines)


# Metrics -------------------------------------------------------------------------------------------------------------


def test_requests_are_counted_by_principal_and_refusals_by_reason(guarded: FlaskClient) -> None:
    ask(guarded, '/encode', 'everything')
    ask(guarded, '/encode', 'watcher')
    for _ in range(12):
        ask(guarded, '/encode', 'guess')
    page = ask(guarded, '/metrics', 'old', '192.0.2.2').text
    for line in (
        'bert_http_principal_requests_total{principal="everything",status="2xx"} 1.0',
        'bert_http_principal_requests_total{principal="encoder",status="5xx"} 0.0',
        'bert_http_principal_rows_total{principal="everything"} 2.0',
        'bert_http_refusals_total{reason="Forbidden"} 1.0',
        'bert_http_refusals_total{reason="Unauthorized"} 10.0',
        'bert_http_refusals_total{reason="WrongKeys"} 2.0',
        'bert_http_refusals_total{reason="QuotaExceeded"} 0.0',
    ):
        assert line in page
    assert 'principal="%s"' % API_KEY in page


def test_names_that_become_labels_have_a_bound() -> None:
    registry = CollectorRegistry()
    metrics = AccessMetrics(registry)
    for number in range(MAX_PRINCIPALS + 50):
        metrics.count_request('name-%d' % number, 200, 1)
    page = generate_latest(registry).decode()
    assert page.count('bert_http_principal_rows_total{') == MAX_PRINCIPALS + 1
    assert 'bert_http_principal_rows_total{principal="other"} 50.0' in page


# With connections ----------------------------------------------------------------------------------------------------


def test_rows_in_hand_are_counted_and_given_back(
    start_frontend: StartFrontend, backend: FakeBackend, tmp_path: Path
) -> None:
    path = tmp_path / 'principals.toml'
    path.write_text(table('a', '[a.quota]', 'rows_queued = 2') + table('b'))
    frontend = start_frontend(max_connect=4, principals_file=str(path))
    backend.gate.clear()
    callers = Callers(frontend, 2, bearer('a'))
    for _ in range(2):
        assert backend.entered.acquire(timeout=PATIENCE_S)
    refused = post(frontend, headers=bearer('a'))
    assert (refused.status, refused.getheader('retry-after')) == (429, '1')
    assert b"principal 'a' has reached its quota rows_queued = 2" in refused.body  # type: ignore[attr-defined]
    others = Callers(frontend, 1, bearer('b'))
    assert backend.entered.acquire(timeout=PATIENCE_S)
    backend.gate.set()
    assert callers.join() + others.join() == [200] * 3
    assert post(frontend, headers=bearer('a')).status == 200


def test_connections_are_counted_and_given_back(start_frontend: StartFrontend, tmp_path: Path) -> None:
    path = tmp_path / 'principals.toml'
    path.write_text(table('a', '[a.quota]', 'connections = 2') + table('b'))
    frontend = start_frontend(principals_file=str(path))
    kept = [connect(frontend), connect(frontend)]
    for connection in kept:
        connection.request('POST', '/encode', BODY, bearer('a'))
        assert connection.getresponse().read()
    refused = post(frontend, headers=bearer('a'))
    assert refused.status == 429
    assert b"principal 'a' has reached its quota connections = 2" in refused.body  # type: ignore[attr-defined]
    assert get(frontend, '/status/server', bearer('a'))[0] == 429
    assert get(frontend, '/health')[0] == post(frontend, headers=bearer('b')).status == 200
    kept[0].close()
    wait_until(lambda: post(frontend, headers=bearer('a')).status == 200)
    kept[1].request('POST', '/encode', BODY, bearer('a'))
    assert kept[1].getresponse().status == 200
    kept[1].close()


def test_the_loop_reads_the_file_again(
    start_frontend: StartFrontend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('bert_serving.server.http.frontend.REFRESH_S', 0.0)
    path = tmp_path / 'principals.toml'
    path.write_text(table('a'))
    frontend = start_frontend(principals_file=str(path))
    assert post(frontend, headers=bearer('a')).status == 200
    path.write_text(table('a', 'ends = %s' % (datetime.now(UTC) - timedelta(days=2)).date()))
    wait_until(lambda: post(frontend, headers=bearer('a')).status == 401)


def test_many_principals_at_once_keep_apart(start_frontend: StartFrontend, tmp_path: Path) -> None:
    path = tmp_path / 'principals.toml'
    path.write_text(''.join(table('p%d' % number) for number in range(8)))
    frontend = start_frontend(principals_file=str(path))

    def work(name: str) -> None:
        for _ in range(10):
            assert post(frontend, headers=bearer(name)).status == 200

    threads = [threading.Thread(target=work, args=('p%d' % number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    page = get(frontend, '/metrics', bearer('p0'))[1]
    for number in range(8):
        assert 'bert_http_principal_requests_total{principal="p%d",status="2xx"} 10.0' % number in page


# Options -------------------------------------------------------------------------------------------------------------


def test_a_file_of_principals_closes_the_port_if_it_has_keys(tmp_path: Path, path: Path) -> None:
    config = HttpConfig.from_settings(Settings(principals=str(path)))
    assert config.has_keys
    assert not config.is_open_to_all
    without = tmp_path / 'without.toml'
    without.write_text('[alice]\nweight = 2\n')
    assert HttpConfig.from_settings(Settings(principals=str(without))).is_open_to_all
    with pytest.raises(UsageError, match='-principals: cannot read'):
        HttpConfig.from_settings(Settings(principals=str(tmp_path / 'none')))
