"""The table of routes: what each is called in the metrics, who may ask it, and what it can answer."""

from __future__ import annotations

from bert_serving.server.http.errors import KINDS
from bert_serving.server.http.routes import (
    CLIENT_GONE,
    OTHER,
    ROUTES,
    encodes,
    family_of,
    grants_of,
    is_open,
    label_of,
)
from bert_serving.server.security.principals import Grant


def test_labels_of_routes() -> None:
    assert label_of('/encode') == '/encode'
    assert label_of('/v1/models/<path:model>') == '/v1/models/{id}'
    assert label_of('/docs/') == label_of('/docs/<path:path>') == '/docs/'
    assert label_of(None) == label_of('/what') == OTHER


def test_who_may_ask_without_a_key() -> None:
    assert is_open('GET', '/health/live')
    assert is_open('GET', '/')
    assert is_open('HEAD', '/')
    assert not is_open('POST', '/'), 'a page is open, the model is not'
    assert not is_open('POST', '/encode')
    assert not is_open('GET', OTHER)


def test_which_requests_go_to_the_workers() -> None:
    assert encodes('POST', '/encode')
    assert not encodes('GET', '/encode')
    assert not encodes('POST', '/health')


def test_which_errors_have_the_format_of_openai() -> None:
    assert family_of('/v1') == family_of('/v1/models') == family_of('/v1/embeddings') == 'openai'
    assert family_of('/v1models') != 'openai'


def test_whose_format_other_errors_have() -> None:
    assert family_of('/encode') == family_of('/nowhere') == family_of('/tokenize') == 'legacy'
    assert family_of('/embed') == family_of('/rerank') == family_of('/') == 'tei'
    assert family_of('/v1/rerank') == family_of('/v2/rerank') == 'cohere'


def test_a_client_that_has_gone_is_counted_only_where_it_can_be_missed() -> None:
    for route in ROUTES:
        assert set(route.statuses) < route.counted
        assert (CLIENT_GONE in route.counted) == route.encodes


def test_a_route_that_encodes_lists_the_statuses_of_all_errors() -> None:
    listed = {status for route in ROUTES if route.encodes for status in route.counted}
    assert {kind.status for kind in KINDS.values()} - {405} <= listed  # 405 is of a method without a route


def test_a_route_that_asks_a_model_or_the_status_needs_a_grant_and_an_open_one_needs_none() -> None:
    for route in ROUTES:
        grants = grants_of(route.method, route.label)
        assert bool(grants) is (route.encodes or route.path.startswith(('/status/', '/metrics'))), route
        assert not (grants and route.is_open)
    assert grants_of('HEAD', '/metrics') == grants_of('GET', '/metrics') == (Grant.STATUS,)
    assert grants_of('POST', '/v1/embeddings') == (Grant.ENCODE,)
    assert grants_of('POST', '/v2/rerank') == (Grant.PREDICT,)
    assert grants_of('GET', 'other') == ()
