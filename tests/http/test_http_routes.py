"""Every route, with a backend in memory: its responses and its errors."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from bert_serving.server.http.app import create_app
from bert_serving.server.http.config import HttpConfig
from bert_serving.server.http.errors import KINDS, HTTPError
from bert_serving.server.http.health import StatusSnapshot
from bert_serving.server.http.model_card import model_names
from bert_serving.server.http.requests import Rows
from bert_serving.server.http.routes import ROUTES
from support.fake_backend import STATUS, FakeBackend

TEXTS = ['hello world', 'good day!']


# 1.10's --------------------------------------------------------------------------------------------------------------


def test_encode_as_the_documentation_of_1_10_has_it(http: FlaskClient) -> None:
    answer = http.post('/encode', json={'id': 123, 'texts': TEXTS, 'is_tokenized': False})
    assert answer.status_code == 200
    assert answer.content_type == 'application/json'
    assert answer.json == {
        'id': 123,
        'result': [[4, 20, 0], [4, 18, 1]],
        'results': [[4, 20, 0], [4, 18, 1]],
        'status': 200,
    }


def test_encode_takes_a_form(http: FlaskClient) -> None:
    answer = http.post('/encode', data={'id': '7', 'texts': TEXTS, 'is_tokenized': 'false'})
    assert answer.json is not None
    assert (answer.json['id'], len(answer.json['result'])) == ('7', 2)
    answer = http.post('/encode', data={'id': '7', 'texts': TEXTS}, content_type='multipart/form-data')
    assert answer.status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize('content_type', ['application/json', 'application/x-www-form-urlencoded', 'text/plain'])
@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_encode_takes_json_of_a_windows_editor(
    http: FlaskClient, backend: FakeBackend, encoding: str, content_type: str
) -> None:
    body = '{"id": 1, "texts": ["Moët Hennessy"]}'.encode(encoding)
    assert http.post('/encode', data=body, content_type=content_type).status_code == 200
    assert backend.asked[-1].items == ['Moët Hennessy']


@pytest.mark.parametrize(
    ('body', 'content_type', 'says'),
    [
        (b'id=1&texts=Mo%EBt', 'application/x-www-form-urlencoded', 'field "texts" of the form is not UTF-8: byte 2 '),
        (b'id=1&texts=Mo\xebt', 'application/x-www-form-urlencoded', 'the form is not UTF-8: byte 13 '),
        (
            b'--b\r\ncontent-disposition: form-data; name=texts\r\n\r\nMo\xebt\r\n--b--\r\n',
            'multipart/form-data; boundary=b',
            'the form is not UTF-8: byte 53 ',
        ),
    ],
)
def test_a_form_in_latin_1_is_refused_with_the_byte(
    http: FlaskClient, body: bytes, content_type: str, says: str
) -> None:
    answer = http.post('/encode', data=body, content_type=content_type)
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json['description'].startswith(says)


def test_a_form_has_the_replacement_character_if_it_was_sent(http: FlaskClient, backend: FakeBackend) -> None:
    for content_type in ('application/x-www-form-urlencoded', 'multipart/form-data'):
        http.post('/encode', data={'id': '7', 'texts': 'a\ufffdb'}, content_type=content_type)
        assert backend.asked[-1].items == ['a\ufffdb']


@pytest.mark.parametrize('content_type', ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=b'])
def test_a_form_has_a_bound_of_fields(http: FlaskClient, backend: FakeBackend, content_type: str) -> None:
    part = b'a&' if 'urlencoded' in content_type else b'--b\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n'
    assert http.post('/encode', data=part * 17_000, content_type=content_type).status_code == 413
    assert not backend.asked


@pytest.mark.parametrize('path', ['/encode', '/tokenize'])
def test_a_request_has_a_bound_of_texts(http: FlaskClient, backend: FakeBackend, path: str) -> None:
    assert http.post(path, json={'id': 1, 'texts': ['a'] * 16_385}).status_code == 413
    assert not backend.asked


def test_encode_does_not_ask_for_a_content_type(http: FlaskClient) -> None:
    answer = http.post('/encode', data=json.dumps({'id': 1, 'texts': TEXTS}))
    assert answer.status_code == 200
    for content_type in ('text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=utf-8'):
        for path in ('/encode', '/tokenize', '/v1/embeddings'):
            query = {'id': 1, 'texts': TEXTS, 'input': TEXTS}
            assert http.post(path, data=json.dumps(query), content_type=content_type).status_code == 200


def test_encode_takes_tokens_and_shows_them(http: FlaskClient, backend: FakeBackend) -> None:
    query = {'id': 1, 'texts': [['hello', 'world']], 'is_tokenized': True, 'show_tokens': True}
    answer = http.post('/encode', json=query)
    assert answer.json is not None
    assert answer.json['tokens'] == [['[CLS]', 'hello', 'world', '[SEP]']]
    assert backend.asked[-1].form == 'tokens'
    backend.shows_tokens = False
    answer = http.post('/encode', json=query)
    assert answer.json is not None
    assert answer.json['tokens'] is None


@pytest.mark.parametrize(
    ('body', 'type_name'),
    [
        (b'', 'ValueError'),
        (b'nonsense', 'ValueError'),
        (b'{"id": 1}', 'KeyError'),
        (b'{"id": 1, "texts": []}', 'ValueError'),
        (b'{"id": 1, "texts": "a"}', 'TypeError'),
        (b'{"id": 1, "texts": [1]}', 'TypeError'),
    ],
)
def test_errors_of_encode(http: FlaskClient, body: bytes, type_name: str) -> None:
    answer = http.post('/encode', data=body, content_type='application/json')
    assert answer.status_code == 400
    assert answer.json is not None
    assert set(answer.json) == {'description', 'type', 'status'}
    assert (answer.json['type'], answer.json['status']) == (type_name, 400)


def test_statuses(http: FlaskClient, backend: FakeBackend) -> None:
    answer = http.get('/status/server')
    assert answer.json is not None
    assert (answer.json['server_version'], answer.json['status']) == ('1.10.0', 200)
    assert http.get('/status/client').json == {'identity': 'abc', 'num_request': 0, 'status': 200}
    backend.is_fresh = False
    assert http.get('/status/server').status_code == 503


@pytest.mark.parametrize(
    ('environ', 'is_local'),
    [
        ({}, True),
        ({'REMOTE_ADDR': '::1'}, True),
        ({'REMOTE_ADDR': '10.0.0.9'}, False),
        ({'HTTP_X_FORWARDED_FOR': '10.0.0.9'}, False),
        ({'HTTP_FORWARDED': 'for=10.0.0.9'}, False),
    ],
)
def test_a_stranger_without_a_key_learns_no_paths_and_not_the_identity_of_the_proxy(
    backend: FakeBackend, environ: dict[str, str], is_local: bool
) -> None:
    http = create_app(backend).test_client()
    backend.status = {'model_dir': '/home/me/mine', 'workers': [{'worker': 0, 'pid': 3}], 'server_version': '1.10.0'}
    status = http.get('/status/server', environ_overrides=environ).json
    assert status == {
        'model_dir': '/home/me/mine' if is_local else 'mine',
        'workers': [{'worker': 0, 'pid': 3} if is_local else {'worker': 0}],
        'server_version': '1.10.0',
        'status': 200,
    }
    client = http.get('/status/client', environ_overrides=environ).json
    assert client == {'identity': 'abc' if is_local else '***', 'num_request': 0, 'status': 200}


def test_who_has_a_key_gets_the_whole_status(backend: FakeBackend) -> None:
    http = create_app(backend, HttpConfig(api_keys=('secret',))).test_client()
    backend.status = {'model_dir': '/home/me/mine'}
    answer = http.get(
        '/status/server', headers={'authorization': 'Bearer secret'}, environ_overrides={'REMOTE_ADDR': '10.0.0.9'}
    )
    assert answer.json == {'model_dir': '/home/me/mine', 'status': 200}


def test_tokenize(http: FlaskClient) -> None:
    answer = http.post('/tokenize', json={'texts': ['good day to you', 'hello']})
    assert answer.json == {
        'tokens': [['[CLS]', 'good', 'day', 'to', 'you', '[SEP]'], ['[CLS]', 'hello', '[SEP]']],
        'ids': [[105, 104, 103, 102, 103, 105], [105, 105, 105]],
        'status': 200,
    }
    assert http.post('/tokenize', json={'texts': []}).status_code == 400


# OpenAI's ------------------------------------------------------------------------------------------------------------


def test_embeddings(http: FlaskClient) -> None:
    answer = http.post('/v1/embeddings', json={'model': 'tiny', 'input': TEXTS})
    assert answer.json == {
        'object': 'list',
        'model': 'tiny',
        'usage': {'prompt_tokens': 8, 'total_tokens': 8},
        'data': [
            {'object': 'embedding', 'index': 0, 'embedding': [4, 20, 0]},
            {'object': 'embedding', 'index': 1, 'embedding': [4, 18, 1]},
        ],
    }


def test_embeddings_in_base64_and_with_fewer_dimensions(http: FlaskClient) -> None:
    answer = http.post('/v1/embeddings', json={'input': TEXTS, 'encoding_format': 'base64', 'dimensions': 2})
    assert answer.json is not None
    vector = np.frombuffer(base64.b64decode(answer.json['data'][1]['embedding']), '<f4')
    np.testing.assert_allclose(vector, np.array([4, 18]) / np.hypot(4, 18), rtol=1e-6)


@pytest.mark.parametrize(
    ('value', 'form', 'rows'), [('hi', 'texts', 1), ([5, 6], 'ids', 1), ([[5], [6], [7]], 'ids', 3)]
)
def test_each_kind_of_input(backend: FakeBackend, value: object, form: str, rows: int) -> None:
    http = create_app(backend, HttpConfig(token_ids=True)).test_client()
    assert http.post('/v1/embeddings', json={'input': value}).status_code == 200
    assert (backend.asked[-1].form, len(backend.asked[-1].items)) == (form, rows)


@pytest.mark.parametrize(
    ('path', 'query', 'param'),
    [
        ('/v1/embeddings', {'input': [15339, 1917]}, 'input'),
        ('/v1/embeddings', {'input': [[15339, 1917]], 'encoding_format': 'base64'}, 'input'),
        ('/encode', {'id': 1, 'texts': [[15339, 1917]], 'is_tokenized': True}, 'texts'),
    ],
)
def test_token_ids_of_langchain_are_refused_with_the_setting_that_sends_texts(
    http: FlaskClient, backend: FakeBackend, path: str, query: dict[str, object], param: str
) -> None:
    answer = http.post(path, json=query)
    assert answer.status_code == 400
    for word in ('"%s" has token ids' % param, 'check_embedding_ctx_length=False', '-http_token_ids'):
        assert word in answer.text.replace('\\"', '"')
    assert not backend.asked


def test_token_ids_are_taken_where_the_server_is_told_so(backend: FakeBackend) -> None:
    http = create_app(backend, HttpConfig(token_ids=True)).test_client()
    for path, query in (
        ('/v1/embeddings', {'input': [[7592, 2088]]}),
        ('/encode', {'id': 1, 'texts': [[7592, 2088]], 'is_tokenized': True}),
    ):
        assert http.post(path, json=query).status_code == 200
        assert backend.asked.pop() == Rows([[7592, 2088]], 'ids')


def test_errors_of_openai(http: FlaskClient, backend: FakeBackend) -> None:
    def error_of(status: int, **query: object) -> dict[str, object]:
        answer = http.post('/v1/embeddings', json=query)
        assert answer.status_code == status
        assert answer.json is not None
        assert set(answer.json) == {'error'}
        error: dict[str, object] = answer.json['error']
        assert set(error) == {'message', 'type', 'param', 'code'}
        return error

    assert error_of(400)['param'] == 'input'
    assert error_of(400, input='a', dimensions=4)['param'] == 'dimensions'
    assert error_of(400, input='a', prompt=5)['param'] == 'prompt'
    assert error_of(404, input='a', model='gpt')['code'] == 'model_not_found'
    assert error_of(413, input=['a'] * 2049)['code'] == 'request_too_large'
    backend.counts = False
    assert http.post('/v1/embeddings', json={'input': TEXTS}).json['usage']['total_tokens'] == 8
    backend.shows_tokens = False
    assert error_of(501, input='a')['type'] == 'server_error'


def test_models(http: FlaskClient, backend: FakeBackend) -> None:
    model = {'id': 'tiny', 'object': 'model', 'created': 1767225600, 'owned_by': 'bert-as-service'}
    answer = http.get('/v1/models').json
    assert answer is not None
    created = answer['data'][0]['created']
    assert abs(created - 1767225600) < 86400, 'it is in the time of this machine'
    assert answer == {'object': 'list', 'data': [{**model, 'created': created}]}
    assert http.get('/v1/models/tiny').json == {**model, 'created': created}
    assert http.get('/v1/models/other').status_code == 404
    assert http.get('/v1/models/a/b').json['error']['code'] == 'model_not_found'
    backend.status = {**(backend.status or {}), 'server_start_time': None}
    assert http.get('/v1/models/tiny').json['created'] == 0
    backend.status = None
    assert http.get('/v1/models').status_code == 503


def test_the_names_of_the_model() -> None:
    assert model_names(STATUS, ()) == ('tiny',), 'not the name of its folder'
    assert model_names({'model': {'name': 'org/tiny'}}, ()) == ('org/tiny',)
    assert model_names({'model_dir': '/models/tiny/'}, ()) == ('tiny',)
    assert model_names({'model_dir': '/packages/minilm/model'}, ()) == ('minilm',)
    assert model_names({}, ()) == ('bert',)
    assert model_names(None, ()) == ()
    assert model_names(STATUS, ('a', 'b')) == ('a', 'b')


def test_a_model_that_is_not_known_is_asked_for_again(http: FlaskClient, backend: FakeBackend) -> None:
    """The known status can be from a time when the server was away or had another model."""
    now = backend.status
    for known in (None, {**STATUS, 'model': {'name': 'other'}}):

        def server_status(max_age_s: float = 1.0, known: Any = known) -> StatusSnapshot:
            return StatusSnapshot(known if max_age_s > 1 else now, True)

        backend.server_status = server_status  # type: ignore[method-assign]
        assert http.get('/v1/models/tiny').status_code == 200
        assert http.post('/v1/embeddings', json={'input': 'a', 'model': 'tiny'}).status_code == 200
        assert http.get('/v1/models/nobody').status_code == 404


def test_names_that_were_given(backend: FakeBackend) -> None:
    http = create_app(backend, HttpConfig(model_names=('text-embedding-3-small', 'org/tiny'))).test_client()
    assert http.get('/v1/models/org/tiny').status_code == 200
    assert http.post('/v1/embeddings', json={'input': 'a', 'model': 'org/tiny'}).json['model'] == 'org/tiny'
    assert http.post('/v1/embeddings', json={'input': 'a'}).json['model'] == 'text-embedding-3-small'
    assert http.post('/v1/embeddings', json={'input': 'a', 'model': 'tiny'}).status_code == 404


# Errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('path', ['/encode', '/tokenize', '/v1/embeddings'])
@pytest.mark.parametrize('name', KINDS)
def test_every_error_of_the_server_has_its_status(
    http: FlaskClient, backend: FakeBackend, path: str, name: str
) -> None:
    backend.error = HTTPError(name, 'why')
    answer = http.post(path, json={'id': 1, 'texts': TEXTS, 'input': TEXTS})
    assert answer.status_code == KINDS[name].status
    assert answer.json is not None
    assert ('error' in answer.json) == path.startswith('/v1')
    retry_after = KINDS[name].retry_after_s
    assert answer.headers.get('retry-after') == (None if retry_after is None else str(retry_after))
    is_final = name in ('Forbidden', 'PoisonedRequest', 'NotFinite', 'NotImplemented', 'DeadlineExceeded')
    assert answer.headers.get('x-should-retry') == ('false' if is_final else None)


def test_an_internal_error_is_a_500_that_shows_no_more_than_its_type(
    http: FlaskClient, backend: FakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.error = LookupError('a secret of ours')
    answer = http.post('/encode', json={'id': 1, 'texts': TEXTS})
    assert answer.status_code == 500
    assert b'LookupError' in answer.data
    assert b'secret' not in answer.data


@pytest.mark.parametrize(
    ('method', 'path', 'status'),
    [('GET', '/nowhere', 404), ('GET', '/v1/nowhere', 404), ('GET', '/encode', 405), ('DELETE', '/v1/models', 405)],
)
def test_what_flask_refuses_has_our_shapes(http: FlaskClient, method: str, path: str, status: int) -> None:
    answer = http.open(path, method=method)
    assert answer.status_code == status
    assert answer.json is not None
    assert set(answer.json) == ({'error'} if path.startswith('/v1') else {'description', 'type', 'status'})
    assert ('allow' in answer.headers) == (status == 405)


# Admission
# ---------------------------------------------------------------------------------------------------------------

KEY = 'sk-9f3a'


@pytest.fixture
def guarded(backend: FakeBackend) -> FlaskClient:
    config = HttpConfig(
        api_keys=('another-key', KEY), origins=('https://a.example', 'http://localhost:3000'), max_body=2000
    )
    return create_app(backend, config).test_client()


def bearer(key: str, scheme: str = 'Bearer') -> dict[str, str]:
    return {'authorization': '%s %s' % (scheme, key)}


def test_a_key_opens_every_route(guarded: FlaskClient) -> None:
    for headers in (bearer(KEY), bearer('another-key'), bearer(KEY, 'bearer'), bearer(' ' + KEY)):
        assert guarded.get('/v1/models', headers=headers).status_code == 200
        assert guarded.post('/encode', json={'id': 1, 'texts': TEXTS}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    'headers',
    [{}, bearer('wrong'), bearer(KEY + 'x'), bearer(KEY[:-1]), bearer(''), bearer(KEY, 'Basic'), {'x-api-key': KEY}],
)
def test_no_key_or_a_wrong_one_opens_nothing(guarded: FlaskClient, headers: dict[str, str]) -> None:
    for number, route in enumerate(ROUTES):
        sender = {'REMOTE_ADDR': '192.0.2.%d' % number}  # one address cannot try so many
        answer = guarded.open(route.path, method=route.method, headers=headers, environ_base=sender)
        if route.is_open:
            assert answer.status_code != 401
            continue
        assert answer.status_code == 401
        assert answer.headers['www-authenticate'] == 'Bearer'
        assert answer.json is not None
        if route.path.startswith('/v1'):
            assert answer.json['error']['code'] == 'invalid_api_key'


def test_that_there_is_no_such_route_is_no_secret(guarded: FlaskClient) -> None:
    assert guarded.get('/nowhere').status_code == 404


def test_keys_and_texts_are_not_logged(
    guarded: FlaskClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, 'bert_serving.server')
    monkeypatch.setattr(logging.getLogger('bert_serving.server'), 'propagate', True)
    guarded.post('/encode', json={'id': 1, 'texts': ['my own text']}, headers=bearer(KEY))
    guarded.post('/encode', json={'id': 1, 'texts': ['my own text', 7]}, headers=bearer(KEY))
    guarded.post('/encode', json={'id': 1, 'texts': ['my own text']}, headers=bearer('almost' + KEY))
    assert 'route=/encode status=200' in caplog.text
    assert KEY not in caplog.text
    assert 'my own text' not in caplog.text


def test_cors_with_a_list_and_with_authorization(guarded: FlaskClient) -> None:
    for origin, allowed in (
        ('https://a.example', True),
        ('http://localhost:3000', True),
        ('https://evil.example', False),
    ):
        asked = {
            'origin': origin,
            'access-control-request-method': 'POST',
            'access-control-request-headers': 'authorization, content-type',
        }
        answer = guarded.options('/v1/embeddings', headers=asked)
        assert answer.status_code == 200
        assert answer.headers.get('access-control-allow-origin') == (origin if allowed else None)
        if allowed:
            assert 'authorization' in answer.headers['access-control-allow-headers'].lower()
            assert 'POST' in answer.headers['access-control-allow-methods']
        refused = guarded.post('/encode', json={}, headers={'origin': origin})
        assert refused.headers.get('access-control-allow-origin') == (origin if allowed else None), (
            'errors can be read too'
        )


def test_an_origin_is_no_pattern(backend: FakeBackend) -> None:
    config = HttpConfig(origins=('http://[::1]:3000', 'https://a.example'))
    http = create_app(backend, config).test_client()
    for origin, allowed in (
        ('http://[::1]:3000', True),
        ('http://1:3000', False),
        ('https://a.example', True),
        ('https://a.example.evil.com', False),
        ('https://axexample', False),
    ):
        answer = http.get('/health', headers={'origin': origin})
        assert answer.headers.get('access-control-allow-origin') == (origin if allowed else None)


def test_a_browser_may_send_the_headers_that_clients_have(guarded: FlaskClient) -> None:
    asked = {
        'origin': 'https://a.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization, x-stainless-lang, x-stainless-os',
    }
    allowed = guarded.options('/v1/embeddings', headers=asked).headers['access-control-allow-headers'].lower()
    assert {'authorization', 'x-stainless-lang', 'x-stainless-os'} <= set(allowed.split(', '))


def test_cors_is_open_by_default(http: FlaskClient) -> None:
    answer = http.post('/encode', json={'id': 1, 'texts': TEXTS}, headers={'origin': 'https://any.example'})
    assert answer.headers['access-control-allow-origin'] == '*'
    assert 'x-request-id' in answer.headers['access-control-expose-headers']


@pytest.mark.parametrize(
    'content_type', ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=b']
)
def test_a_body_has_a_limit(guarded: FlaskClient, content_type: str) -> None:
    answer = guarded.post('/encode', data=b'x' * 2001, content_type=content_type, headers=bearer(KEY))
    assert answer.status_code == 413
    assert answer.json is not None
    assert answer.json['status'] == 413


def test_a_compressed_body_is_refused(http: FlaskClient) -> None:
    answer = http.post('/encode', data=b'\x1f\x8b', headers={'content-encoding': 'gzip'})
    assert answer.status_code == 415


@pytest.mark.parametrize(('charset', 'status'), [('utf-7', 415), ('cp037', 415), ('iso-8859-1', 200), ('x-mine', 200)])
def test_a_body_in_a_character_set_that_could_pass_for_another_text_is_refused(
    http: FlaskClient, charset: str, status: int
) -> None:
    """`Mo+AOs-t` is a text in UTF-8, and another one in UTF-7."""
    for path, body in (('/encode', b'{"id": 1, "texts": ["Mo+AOs-t"]}'), ('/v1/embeddings', b'{"input": "Mo+AOs-t"}')):
        answer = http.post(path, data=body, content_type='application/json; charset=' + charset)
        assert answer.status_code == status


def test_a_request_id_comes_back(http: FlaskClient) -> None:
    assert http.get('/health', headers={'x-request-id': 'abc-1'}).headers['x-request-id'] == 'abc-1'
    for bad in ('', 'x' * 129, 'two words', 'é'):
        made = http.get('/nowhere', headers={'x-request-id': bad}).headers['x-request-id']
        assert made != bad
        assert len(made) == 32


def test_the_time_limit_counts_from_when_the_request_was_read(backend: FakeBackend) -> None:
    http = create_app(backend, HttpConfig(timeout_s=0.2)).test_client()
    backend.gate.clear()
    assert http.post('/encode', json={'id': 1, 'texts': TEXTS}).status_code == 504
    environ = {'bert_serving.received_at': 0.0}
    assert http.post('/v1/embeddings', json={'input': TEXTS}, environ_overrides=environ).status_code == 504
    assert len(backend.asked) == 1, 'the second never came so far'


def test_while_draining_it_is_not_ready_but_alive(backend: FakeBackend) -> None:
    http = create_app(backend, is_draining=lambda: True).test_client()
    assert http.get('/health/ready').status_code == 503
    assert http.get('/health/live').status_code == 200


def test_answers_are_compressed_but_for_base64(http: FlaskClient) -> None:
    texts = ['text number %d' % number for number in range(500)]
    for coding in ('gzip', 'br', 'zstd'):
        answer = http.post('/encode', json={'id': 1, 'texts': texts}, headers={'accept-encoding': coding})
        assert answer.headers['content-encoding'] == coding
    plain = http.post('/encode', json={'id': 1, 'texts': texts})
    assert 'content-encoding' not in plain.headers
    assert len(answer.data) < len(plain.data) / 2
    query = {'input': texts, 'encoding_format': 'base64'}
    answer = http.post('/v1/embeddings', json=query, headers={'accept-encoding': 'gzip'})
    assert 'content-encoding' not in answer.headers


# Monitoring -----------------------------------------------------------------------------------------------------------


def test_health(http: FlaskClient, backend: FakeBackend) -> None:
    def codes() -> tuple[int, int, int]:
        return tuple(http.get(path).status_code for path in ('/health', '/health/live', '/health/ready'))  # type: ignore[return-value]

    assert codes() == (200, 200, 200)
    backend.status = {**(backend.status or {}), 'workers': [{'state': 'restarting'}]}
    assert codes() == (503, 200, 503)
    assert http.get('/health').json['reason'] == 'no worker is ready'
    backend.is_fresh = False
    assert codes() == (503, 503, 503)


def series_of(http: FlaskClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = http.get('/metrics')
    assert answer.content_type.startswith('text/plain')
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_every_series_is_there_at_zero_from_the_start(http: FlaskClient, backend: FakeBackend) -> None:
    backend.status, backend.is_fresh = None, False
    before = series_of(http)
    assert all(
        value == 0 for (name, _), value in before.items() if name.startswith('bert_') and not name.endswith('_created')
    )
    backend.status, backend.is_fresh = FakeBackend().status, True
    http.post('/encode', json={'id': 1, 'texts': TEXTS})
    http.post('/v1/embeddings', json={'input': ''})
    http.get('/nowhere')
    http.get('/health')
    http.open('/nowhere', method='BREW')
    http.get('/encode')
    http.head('/health')
    http.options('/encode')
    http.get('/docs')
    backend.status = None
    http.get('/v1/models')
    for kind in set(KINDS) - {'NotFound', 'ModelNotFound', 'MethodNotAllowed'}:  # which no server behind says
        backend.error = HTTPError(kind, 'it had to be')
        http.post('/encode', json={'id': 1, 'texts': TEXTS})
    backend.error = ValueError('an internal error')
    http.post('/tokenize', json={'texts': TEXTS})
    after = series_of(http)
    assert not {key for key in set(after) - set(before) if not key[0].startswith('process_')}


def test_metrics_count(http: FlaskClient) -> None:
    http.post('/encode', json={'id': 1, 'texts': TEXTS})
    http.post('/encode', json={'id': 1})
    http.get('/nowhere')
    series = series_of(http)

    def count(name: str, **labels: str) -> float:
        return series[name, tuple(sorted(labels.items()))]

    assert count('bert_http_requests_total', route='/encode', method='POST', status='200') == 1
    assert count('bert_http_requests_total', route='/encode', method='POST', status='400') == 1
    assert count('bert_http_requests_total', route='other', method='other', status='404') == 1
    assert count('bert_http_request_duration_seconds_count', route='/encode') == 2
    assert count('bert_http_request_rows_sum', route='/encode') == 2
    assert count('bert_http_tokens_total', route='/encode') == 8
    assert count('bert_serving_rows_total') == 7
    assert count('bert_serving_padding_ratio') == 0.25
    assert count('bert_serving_queue_seconds_count') == 3
    assert count('bert_serving_queue_seconds_sum') == 0.5
    assert count('bert_serving_queue_seconds_bucket', le='0.1') == 2
    assert count('bert_serving_workers_waiting') == 0
    assert (count('bert_serving_up'), count('bert_serving_workers'), count('bert_serving_workers_ready')) == (1, 2, 1)


def test_how_long_the_model_took_is_in_a_header(http: FlaskClient) -> None:
    answer = http.post('/encode', json={'id': 1, 'texts': TEXTS})
    assert float(answer.headers['x-inference-time']) >= 0
    assert 'x-inference-time' not in http.get('/health').headers


def test_the_page_of_the_documentation_needs_nothing_from_elsewhere(http: FlaskClient) -> None:
    page = http.get('/docs', follow_redirects=True)
    assert page.status_code == 200
    assert 'http://' not in page.text
    assert 'https://' not in page.text
    assert '"validatorUrl": null' in page.text
    for name in ('swagger-ui.css', 'swagger-ui-bundle.js', 'swagger-ui-standalone-preset.js', 'index.css'):
        assert '/docs/' + name in page.text
        with http.get('/docs/' + name) as answer:  # a file, which stays open until the answer is closed
            assert answer.status_code == 200


@pytest.mark.parametrize('path', ['/dashboard', '/dashboard/'])
def test_the_dashboard_is_open_and_asks_nobody_else(guarded: FlaskClient, path: str) -> None:
    answer = guarded.get(path)
    assert (answer.status_code, answer.content_type) == (200, 'text/html; charset=utf-8')
    assert KEY not in answer.text
    policy = dict(part.split(' ', 1) for part in answer.headers['content-security-policy'].split('; '))
    assert policy['default-src'] == policy['frame-ancestors'] == "'none'"
    for kind, directive in (('script', 'script-src'), ('style', 'style-src')):
        inline = re.findall(r'<%s\b[^>]*>(.*?)</%s>' % (kind, kind), answer.text, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline]
        assert policy[directive] == ' '.join("'sha256-%s'" % digest for digest in digests) != ''
    assert answer.headers['x-content-type-options'] == 'nosniff'


def test_the_first_page_links_to_the_others_and_loads_nothing_from_elsewhere(http: FlaskClient) -> None:
    page = http.get('/')
    assert (page.status_code, page.mimetype) == (200, 'text/html')
    assert "default-src 'none'" in page.headers['content-security-policy']
    links = re.findall(r'href="([^"]+)"', page.text)
    assert {'dashboard', 'docs/', 'openapi.json', 'health', 'metrics'} == set(links)
    for link in links:
        assert http.get('/' + link).status_code == 200, link


def test_a_browser_asks_whether_the_dashboard_is_still_the_same(http: FlaskClient) -> None:
    for encoding in ('identity', 'gzip', 'br'):
        first = http.get('/dashboard', headers={'accept-encoding': encoding})
        assert first.headers['cache-control'] == 'no-cache'
        again = http.get('/dashboard', headers={'accept-encoding': encoding, 'if-none-match': first.headers['etag']})
        assert (again.status_code, again.data) == (304, b'')
        other = http.get('/dashboard', headers={'accept-encoding': encoding, 'if-none-match': 'W/"another"'})
        assert other.status_code == 200
    series = series_of(http)
    assert series['bert_http_requests_total', (('method', 'GET'), ('route', '/dashboard'), ('status', '304'))] == 3
