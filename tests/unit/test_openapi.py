"""The OpenAPI document by itself: it is valid, refers to what it has, and its examples are requests that we read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from openapi_spec_validator import validate

from bert_serving.server.http import cohere_bodies, tei_bodies
from bert_serving.server.http.openai_bodies import read_embeddings
from bert_serving.server.http.openapi import make_document
from bert_serving.server.http.requests import read_encode, read_tokenize
from bert_serving.server.http.routes import ROUTES

READERS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    'EncodeRequest': read_encode,
    'TokenizeRequest': read_tokenize,
    'EmbeddingsRequest': read_embeddings,
    'TeiEmbedRequest': tei_bodies.read_embed,
    'TeiEmbedAllRequest': tei_bodies.read_embed_all,
    'TeiSimilarityRequest': tei_bodies.read_similarity,
    'TeiPredictRequest': tei_bodies.read_predict,
    'TeiRerankRequest': tei_bodies.read_rerank,
    'TeiTokenizeRequest': tei_bodies.read_tokenize,
    'TeiDecodeRequest': tei_bodies.read_decode,
    'CohereRerankRequest': cohere_bodies.read_rerank,
}


def references_in(value: Any) -> Iterator[str]:
    """Every `$ref` at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get('$ref'), str):
            yield value['$ref']
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from references_in(part)


@pytest.mark.parametrize('has_keys', [False, True])
def test_the_document_is_openapi(has_keys: bool) -> None:
    validate(make_document(has_keys))


def test_it_has_every_route_with_every_status_that_the_table_lists() -> None:
    paths = make_document(has_keys=False)['paths']
    for route in ROUTES:
        responses = paths[route.path][route.method.lower()]['responses']
        assert set(map(str, route.statuses)) <= set(responses), route.path


def test_it_refers_only_to_what_it_has() -> None:
    document = make_document(has_keys=True)
    references = set(references_in(document))
    assert references
    for reference in references:
        found: Any = document
        for name in reference.removeprefix('#/').split('/'):
            found = found[name]


def test_a_key_is_asked_for_where_a_route_is_not_open() -> None:
    guarded = make_document(has_keys=True)['paths']
    for route in ROUTES:
        assert ('security' in guarded[route.path][route.method.lower()]) == (not route.is_open), route.path
    assert not any(
        'security' in operation for item in make_document(False)['paths'].values() for operation in item.values()
    )


@pytest.mark.parametrize('name', READERS)
def test_the_example_of_a_request_is_one_that_we_read(name: str) -> None:
    example = make_document(has_keys=False)['components']['schemas'][name]['example']
    assert READERS[name](example)
