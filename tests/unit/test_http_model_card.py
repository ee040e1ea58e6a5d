"""The card of a model: what its server's status says of it, and which tasks are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.model_card import ModelCard
from bert_serving.server.protocol.options import EncodingOptions
from support.fake_backend import STATUS, classifier

ENCODER = ModelCard.from_status(STATUS)
TOKENS = ModelCard.from_status({**STATUS, 'model': {**STATUS['model'], 'pooling': 'NONE'}})
RERANKER = ModelCard.from_status(classifier('LABEL_0'))
CLASSIFIER = ModelCard.from_status(classifier('no', 'yes', 'perhaps'))
OF_1_10 = ModelCard.from_status({'model_dir': '/models/tiny/', 'pooling_strategy': 2})


def test_what_the_status_says() -> None:
    assert (ENCODER.names, ENCODER.task, ENCODER.pools) == (('tiny',), 'embed', True)
    assert (ENCODER.max_seq_len, ENCODER.labels) == (25, ())
    assert (RERANKER.task, RERANKER.labels) == ('rerank', ('LABEL_0',))
    assert (CLASSIFIER.task, CLASSIFIER.labels) == ('classify', ('no', 'yes', 'perhaps'))


def test_a_server_of_1_10_has_an_encoder() -> None:
    assert (OF_1_10.names, OF_1_10.task, OF_1_10.pools) == (('tiny',), 'embed', True)


@pytest.mark.parametrize(
    ('pooling', 'dimensions', 'task', 'labels'),
    [('REGRESSION', 1, 'rerank', ('LABEL_0',)), ('CLASSIFICATION', 2, 'classify', ('LABEL_0', 'LABEL_1'))],
)
def test_the_strategies_of_1_10_that_score(pooling: str, dimensions: int, task: str, labels: tuple[str, ...]) -> None:
    model = {**STATUS['model'], 'pooling': pooling, 'dimensions': dimensions}
    card = ModelCard.from_status({**STATUS, 'model': model})
    assert (card.task, card.labels) == (task, labels)


def test_names() -> None:
    assert ENCODER.check_name(None) == ENCODER.check_name('tiny') == 'tiny'
    with pytest.raises(HTTPError, match="'gpt' is not served here: there is tiny") as caught:
        ENCODER.check_name('gpt')
    assert caught.value.name == 'ModelNotFound'
    assert ModelCard.from_status(STATUS, ('a', 'b')).check_name('b') == 'b'


@pytest.mark.parametrize(
    ('check', 'can', 'cannot'),
    [
        (ModelCard.check_embeds, [ENCODER, TOKENS, OF_1_10], [RERANKER, CLASSIFIER]),
        (ModelCard.check_pools, [ENCODER, OF_1_10], [TOKENS, RERANKER, CLASSIFIER]),
        (ModelCard.check_does_not_pool, [TOKENS], [ENCODER, OF_1_10, RERANKER]),
        (ModelCard.check_predicts, [RERANKER, CLASSIFIER], [ENCODER, TOKENS, OF_1_10]),
        (ModelCard.check_reranks, [RERANKER], [ENCODER, TOKENS, OF_1_10, CLASSIFIER]),
    ],
)
def test_a_task_that_the_model_cannot_do_is_refused_with_what_it_needs(
    check: Callable[[ModelCard], None], can: list[ModelCard], cannot: list[ModelCard]
) -> None:
    for card in can:
        check(card)
    for card in cannot:
        with pytest.raises(HTTPError, match=r'serve|start|needs') as caught:
            check(card)
        assert (caught.value.status, caught.value.to_response('tei')[0]) == (400, 400)


@pytest.mark.parametrize(
    ('prompts', 'default', 'input_type', 'expected'),
    [
        ({'query': 'q: '}, None, 'search_query', {'prompt_name': 'query'}),
        ({'query': 'q: '}, None, 'query', {'prompt_name': 'query'}),
        ({'search_query': 'q: '}, None, 'query', {'prompt_name': 'search_query'}),
        ({'passage': 'p: '}, None, 'search_document', {'prompt_name': 'passage'}),
        ({'passage': 'p: ', 'document': ''}, None, 'document', {'prompt_name': 'document'}),
        ({'query': 'q: '}, None, 'clustering', {}),
        ({'query': 'q: '}, 'query', 'clustering', {'prompt': ''}),
        ({'query': 'q: '}, 'query', None, {}),
        ({}, None, 'search_query', {}),
    ],
)
def test_the_prompt_for_an_input_type(
    prompts: dict[str, str], default: str | None, input_type: str | None, expected: dict[str, Any]
) -> None:
    card = ModelCard(('m',), prompts=prompts, default_prompt_name=default)
    options = EncodingOptions(dimensions=2)
    assert card.with_prompt_for(options, input_type) == EncodingOptions(dimensions=2, **expected)


def test_a_reranker_predicts_too_and_a_classifier_does_not_rerank() -> None:
    needs = ('embed', 'predict', 'rerank')
    assert [ENCODER.does(need) for need in needs] == [True, False, False]
    assert [RERANKER.does(need) for need in needs] == [False, True, True]
    assert [CLASSIFIER.does(need) for need in needs] == [False, True, False]
