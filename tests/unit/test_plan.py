"""The options and the folder of the model together: the user's word counts most, then the folder's, then 1.10's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bert_serving.server.helper import get_args_parser
from bert_serving.server.model.folder import find_model
from bert_serving.server.model.pooling import PoolingStrategy
from bert_serving.server.options.settings import Settings
from bert_serving.server.parent.devices import DevicePlan
from bert_serving.server.parent.plan import Plan, agree
from bert_serving.server.parent.status import describe_model
from support.serving import MODELS

PUBLISHED = Path(__file__).parents[1] / 'golden' / 'data' / 'published' / 'models'


def plan(name: str, *words: str, environ: dict[str, str] | None = None) -> Plan:
    parser = get_args_parser()
    parser.environ = environ or {}
    folder = MODELS / name if (MODELS / name).is_dir() else PUBLISHED / name
    settings, model = agree(Settings.from_args(parser.parse_args(list(words))), find_model(str(folder)))
    return Plan(settings, model, DevicePlan((-1,)))


def facts(plan: Plan) -> tuple[Any, ...]:
    return plan.settings.max_seq_len, plan.settings.pooling_layer, plan.settings.pooling_strategy


def test_a_folder_of_googles_says_nothing_so_1_10s_defaults_hold() -> None:
    google = plan('uncased_L-4_H-32_A-4')
    assert facts(google) == (25, (-2,), PoolingStrategy.REDUCE_MEAN)
    assert google.model.pipeline is None
    assert google.task == 'embed'


def test_a_published_folder_sets_length_layer_and_pooling() -> None:
    assert facts(plan('bert-mean-norm')) == (24, (-1,), PoolingStrategy.REDUCE_MEAN)
    assert facts(plan('camembert-cls'))[2] is PoolingStrategy.FIRST_TOKEN


@pytest.mark.parametrize('environ', [None, {'BERT_SERVING_MAX_SEQ_LEN': '20'}])
def test_a_length_that_the_user_gives_wins_and_changes_nothing_else(environ: dict[str, str] | None) -> None:
    words = () if environ else ('-max_seq_len', '20')
    ours = plan('bert-mean-norm', *words, environ=environ)
    assert facts(ours) == (20, (-1,), PoolingStrategy.REDUCE_MEAN)
    assert ours.model.pipeline is not None
    assert ours.model.pipeline.normalizes


@pytest.mark.parametrize('value', ['25', 'NONE'])
def test_a_value_that_is_1_10s_default_counts_as_given_too(value: str) -> None:
    assert facts(plan('bert-cased-dense', '-max_seq_len', value))[0] == (25 if value == '25' else None)


@pytest.mark.parametrize('words', [('-pooling_strategy', 'REDUCE_MEAN'), ('-pooling_layer', '-2')])
def test_whoever_says_how_to_pool_gets_the_vectors_as_pooled(words: tuple[str, ...]) -> None:
    ours = plan('bert-mean-norm', *words)
    assert ours.model.pipeline is not None
    assert ours.model.pipeline.modules == ()
    assert ours.model.pipeline.prompts != {}


@pytest.mark.parametrize('words', [('-pooling_strategy', 'REDUCE_MEAN'), ('-pooling_layer', '-2')])
def test_whoever_says_how_to_pool_gets_the_tokens_of_1_10_where_the_folder_has_its_vocabulary(
    words: tuple[str, ...],
) -> None:
    """The golden answers of 1.10 to the embedded model, with `[SEP]` in a text, are its tokens."""
    settings = Settings.from_args(get_args_parser().parse_args(list(words)))
    embedded = find_model(None)
    assert embedded.tokenizer_files is not None
    assert agree(settings, embedded)[1].tokenizer_files is None
    assert plan('bert-mean-norm', *words).model.tokenizer_files is not None


def test_a_layer_alone_keeps_the_pooling_of_the_folder() -> None:
    ours = plan('bert-weightedmean', '-pooling_layer', '-2', '-1')
    assert ours.pooling == 'weightedmean'
    assert ours.settings.pooling_layer == (-2, -1)


def test_a_namespace_that_a_program_has_changed_counts_as_given() -> None:
    args = get_args_parser().parse_args([])
    args.max_seq_len = 30
    assert Settings.from_args(args).left_to_model == {'pooling_layer', 'pooling_strategy'}


def test_a_cross_encoder_is_recognized_and_a_strategy_makes_an_encoder_of_it() -> None:
    assert (plan('ce-bert-one').task, plan('ce-bert-labels').task) == ('rerank', 'classify')
    encoder = plan('ce-bert-one', '-pooling_strategy', 'REDUCE_MEAN')
    assert encoder.task == 'embed'
    assert encoder.model.config.head is None


def test_a_length_beyond_the_positions_of_the_model_is_cut_to_them() -> None:
    settings = Settings.from_args(get_args_parser().parse_args([]))
    model = find_model(str(PUBLISHED / 'bert-mean-norm'))
    assert model.pipeline is not None
    long = replace(model, pipeline=replace(model.pipeline, max_seq_len=5000))
    assert agree(settings, long)[0].max_seq_len == model.config.max_position_embeddings


@pytest.mark.parametrize(
    ('name', 'words', 'dimensions'),
    [
        ('uncased_L-4_H-32_A-4', (), 32),
        ('uncased_L-4_H-32_A-4', ('-pooling_layer', '-1', '-2', '-pooling_strategy', 'REDUCE_MEAN_MAX'), 128),
        ('uncased_L-4_H-32_A-4', ('-pooling_strategy', 'CLS_POOLED', '-pooling_layer', '-1', '-2'), 32),
        ('uncased_L-4_H-32_A-4', ('-pooling_strategy', 'CLASSIFICATION', '-num_labels', '3'), 3),
        ('uncased_L-4_H-32_A-4', ('-pooling_strategy', 'REGRESSION'), 1),
        ('bert-mean-norm', (), 24),
        ('bert-cased-dense', (), 20),
        ('bert-concat-no-prompt', (), 18),
        ('bert-concat-no-prompt', ('-pooling_layer', '-1'), 72),
        ('ce-bert-labels', (), 3),
    ],
)
def test_the_width_of_an_answer(name: str, words: tuple[str, ...], dimensions: int) -> None:
    assert plan(name, *words).dimensions == dimensions


@pytest.mark.parametrize(
    ('name', 'words', 'line'),
    [
        (
            'uncased_L-4_H-32_A-4',
            (),
            'bert, 4 layers, 32 wide; by the options: REDUCE_MEAN of layer -2, 25 tokens',
        ),
        (
            'bert-mean-norm',
            (),
            'bert, 3 layers, 24 wide; from its folder: REDUCE_MEAN of layer -1, normalized, 24 tokens; '
            'prompts: passage, query',
        ),
        (
            'bert-cls-default-prompt',
            ('-max_seq_len', 'NONE'),
            'bert, 3 layers, 24 wide; from its folder: FIRST_TOKEN of layer -1, normalized; '
            'by the options: as long as each batch; prompts: query (default)',
        ),
        (
            'bert-concat-no-prompt',
            (),
            'bert, 3 layers, 24 wide; from its folder: cls+max+mean of layer -1, 28 tokens; prompts: instruct',
        ),
        (
            'ce-bert-labels',
            (),
            'bert, 3 layers, 24 wide; from its folder: scores of contradiction, entailment, neutral by softmax, '
            '40 tokens; prompts: none',
        ),
    ],
)
def test_the_start_says_in_one_line_what_was_taken_from_where(name: str, words: tuple[str, ...], line: str) -> None:
    assert plan(name, *words).describe() == line


def test_the_status_tells_a_client_how_to_use_the_model() -> None:
    assert describe_model(plan('bert-mean-norm')) == {
        'name': 'bert-mean-norm',
        'model_type': 'bert',
        'task': 'embed',
        'dimensions': 24,
        'max_seq_len': 24,
        'pooling': 'REDUCE_MEAN',
        'normalize': True,
        'prompts': {'document': '', 'passage': 'passage: ', 'query': 'query: '},
        'default_prompt_name': None,
        'labels': None,
        'similarity': 'cosine',
    }
    scores = describe_model(plan('ce-bert-labels'))
    assert (scores['task'], scores['labels'], scores['pooling']) == (
        'classify',
        ['contradiction', 'entailment', 'neutral'],
        None,
    )
