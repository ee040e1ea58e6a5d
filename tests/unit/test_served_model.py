"""What the options of a request may ask of the model is checked before the request waits."""

from __future__ import annotations

from typing import Any

import pytest

from bert_serving.server.errors import RequestError
from bert_serving.server.protocol.options import EncodingOptions
from bert_serving.server.protocol.ring import Refuse
from bert_serving.server.ventilator.events import WorkerLost, WorkerReady
from bert_serving.server.ventilator.scheduler import Scheduler
from bert_serving.server.ventilator.served_model import ServedModel
from support.scheduling import LIMITS, a_request, jobs_in, messages_in, refusal_of

VECTORS = ServedModel(8, {'query': 'query: ', 'passage': ''})
STATES = ServedModel(8, is_token_level=True)
SCORES = ServedModel(1, has_scores=True, has_logits=True)
OLD_SCORES = ServedModel(2, has_scores=True)


@pytest.mark.parametrize(
    ('model', 'options'),
    [
        (VECTORS, {'normalize': False, 'dimensions': 8, 'dtype': 'binary', 'prompt': 'x', 'pairs': True}),
        (STATES, {'normalize': False, 'dtype': 'float16', 'truncate': 'left'}),
        (SCORES, {'raw': True, 'pairs': True, 'dtype': 'float32', 'normalize': False}),
        (OLD_SCORES, {'raw': False}),
    ],
)
def test_what_a_model_can_do_is_passed_on(model: ServedModel, options: dict[str, Any]) -> None:
    asked = EncodingOptions(**options)
    assert model.resolve(asked) == asked


@pytest.mark.parametrize(
    ('model', 'options', 'says'),
    [
        (VECTORS, {'dimensions': 9}, 'dimensions: expected at most 8.* got 9'),
        (VECTORS, {'raw': False}, 'raw: .*serve a cross-encoder'),
        (VECTORS, {'prompt_name': 'doc'}, "no prompt 'doc': the known ones are passage, query"),
        (STATES, {'prompt_name': 'doc'}, 'the known ones are none'),
        (STATES, {'normalize': True}, 'normalize: .*states of the tokens'),
        (STATES, {'dimensions': 1}, 'dimensions: .*states of the tokens'),
        (STATES, {'dtype': 'int8'}, 'dtype: .*states of the tokens'),
        (SCORES, {'normalize': True}, 'normalize: .*scores'),
        (SCORES, {'dimensions': 1}, 'dimensions: .*scores'),
        (SCORES, {'dtype': 'ubinary'}, 'dtype: .*scores'),
        (OLD_SCORES, {'raw': True}, 'raw: -pooling_strategy'),
    ],
)
def test_what_a_model_cannot_do_is_an_error(model: ServedModel, options: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        model.resolve(EncodingOptions(**options))


def test_the_name_of_a_prompt_becomes_its_text() -> None:
    assert VECTORS.resolve(EncodingOptions(prompt_name='query')) == EncodingOptions(prompt='query: ')
    assert VECTORS.resolve(EncodingOptions(prompt_name='passage')) == EncodingOptions(prompt='')


def test_the_jobs_of_a_request_have_its_options_in_every_attempt() -> None:
    scheduler = Scheduler(LIMITS, VECTORS.resolve)
    scheduler.handle(WorkerReady(0), 0)
    actions = scheduler.handle(a_request(9, encoding=EncodingOptions(prompt_name='query')), 0)
    assert [action.job.options for action in jobs_in(actions)] == [EncodingOptions(prompt='query: ')] * 2
    scheduler.handle(WorkerLost(0), 0)
    (again,) = jobs_in(scheduler.handle(WorkerReady(1), 0))
    assert again.job.header.attempt == 1
    assert again.job.options == EncodingOptions(prompt='query: ')


def test_a_request_that_the_model_cannot_answer_is_refused_before_it_waits() -> None:
    scheduler = Scheduler(LIMITS, VECTORS.resolve)
    assert refusal_of(scheduler.handle(a_request(1, encoding=EncodingOptions(dimensions=9)), 0)) == 'BadRequest'
    assert scheduler.unanswered == 0


def test_requests_that_differ_in_an_option_are_two() -> None:
    scheduler = Scheduler(LIMITS)
    for dimensions in (3, 4, 4):
        scheduler.handle(a_request(1, encoding=EncodingOptions(dimensions=dimensions)), 0)
    assert scheduler.unanswered == 2
    assert not [m for m in messages_in(scheduler.handle(WorkerReady(0), 0)) if isinstance(m, Refuse)]
