"""Configs of both kinds, what is refused in them, and what the options may ask of a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bert_serving.server.errors import ModelError, UsageError
from bert_serving.server.model.architectures import read_config, read_google_config
from bert_serving.server.model.config import (
    ACTIVATIONS,
    EncoderConfig,
    check_max_seq_len,
    check_position_embeddings,
    check_strategy,
    resolve_layers,
)
from bert_serving.server.model.pooling import PoolingStrategy

PUBLISHED = Path(__file__).parents[1] / 'golden' / 'data' / 'published' / 'models'
GOOGLE = {
    'attention_probs_dropout_prob': 0.1,
    'directionality': 'bidi',
    'hidden_act': 'gelu',
    'hidden_size': 24,
    'intermediate_size': 96,
    'max_position_embeddings': 48,
    'num_attention_heads': 2,
    'num_hidden_layers': 3,
    'type_vocab_size': 5,
    'vocab_size': 9505,
}
HUGGINGFACE = {**GOOGLE, 'model_type': 'bert', 'layer_norm_eps': 1e-5}
CONFIG = EncoderConfig(
    vocab_size=9505,
    hidden_size=24,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=96,
    max_position_embeddings=48,
    type_vocab_size=5,
    hidden_act='gelu',
    layer_norm_eps=1e-12,
)
READERS = [(read_google_config, GOOGLE), (read_config, HUGGINGFACE)]

both = pytest.mark.parametrize(('read', 'values'), READERS, ids=['google', 'huggingface'])


@pytest.fixture
def write(tmp_path):
    def to_file(values):
        path = tmp_path / 'the_config.json'
        path.write_text(values if isinstance(values, str) else json.dumps(values))
        return str(path)

    return to_file


def test_google(write):
    assert read_google_config(write(GOOGLE)) == CONFIG
    assert CONFIG.head_size == 12


def test_epsilon_of_google_is_fixed(write):
    assert read_google_config(write({**GOOGLE, 'layer_norm_eps': 0.5})) == CONFIG


@pytest.mark.parametrize('said', [1e-5, 1])
def test_huggingface(write, said):
    config = read_config(write({**HUGGINGFACE, 'layer_norm_eps': said}))
    assert config == replace(CONFIG, layer_norm_eps=said)
    assert isinstance(config.layer_norm_eps, float)


def test_huggingface_that_says_as_little_as_it_may(write):
    assert read_config(write({**GOOGLE, 'model_type': 'bert'})) == CONFIG


def test_huggingface_that_says_what_goes_without_saying(write):
    plain = {'position_embedding_type': 'absolute', 'is_decoder': False}
    assert read_config(write({**HUGGINGFACE, **plain})) == replace(CONFIG, layer_norm_eps=1e-5)
    assert read_config(write({**HUGGINGFACE, 'position_embedding_type': None})).hidden_size == 24


@both
@pytest.mark.parametrize('name', [*ACTIVATIONS, 'GELU', 'Swish'])
def test_activations_by_all_their_names(write, read, values, name):
    assert read(write({**values, 'hidden_act': name})).hidden_act == ACTIVATIONS[name.lower()]


@both
@pytest.mark.parametrize(
    'key', [key for key in GOOGLE if key not in ('attention_probs_dropout_prob', 'directionality')]
)
def test_missing_key(write, read, values, key):
    path = write({name: value for name, value in values.items() if name != key})
    with pytest.raises(ModelError) as error:
        read(path)
    assert error.value.message == "%s: '%s' is missing" % (path, key)
    assert error.value.exit_code == 2


@both
@pytest.mark.parametrize('key', ['hidden_size', 'vocab_size', 'num_attention_heads', 'type_vocab_size'])
@pytest.mark.parametrize('value', [0, -3, 2.0, '24', True, None, [24]])
def test_dimension_that_is_none(write, read, values, key, value):
    path = write({**values, key: value})
    with pytest.raises(ModelError) as error:
        read(path)
    assert error.value.message == "%s: '%s' must be a positive integer, not %r" % (path, key, value)


@both
@pytest.mark.parametrize('value', ['prelu', '', None, 3])
def test_activation_that_is_unknown(write, read, values, value):
    with pytest.raises(ModelError, match=r"'hidden_act' must be one of gelu, .*, not %r$" % (value,)):
        read(write({**values, 'hidden_act': value}))


@both
def test_heads_that_do_not_share_the_hidden_units(write, read, values):
    with pytest.raises(ModelError, match='hidden_size 24 is no multiple of num_attention_heads 5'):
        read(write({**values, 'num_attention_heads': 5}))


@pytest.mark.parametrize('value', [0, -1e-12, 'small', None, True, float('inf'), float('nan')])
def test_epsilon_that_is_none(write, value):
    with pytest.raises(ModelError, match="'layer_norm_eps' must be a positive number, not "):
        read_config(write({**HUGGINGFACE, 'layer_norm_eps': value}))


@pytest.mark.parametrize(
    ('key', 'value', 'expected'),
    [
        ('model_type', 'gpt2', 'one of albert, bert, .*xlm-roberta'),
        ('position_embedding_type', 'relative_key', "'absolute'"),
        ('is_decoder', True, 'False'),
    ],
)
def test_huggingface_model_that_is_no_bert_encoder(write, key, value, expected):
    with pytest.raises(ModelError, match="'%s' must be %s, not %r" % (key, expected, value)):
        read_config(write({**HUGGINGFACE, key: value}))


def test_huggingface_must_say_what_it_is(write):
    with pytest.raises(ModelError, match=r"'model_type' must be one of .*, bert, .*, not None"):
        read_config(write(GOOGLE))


@both
@pytest.mark.parametrize(('text', 'fault'), [('{', 'is not JSON: '), ('[1]', 'must hold a JSON object, not list')])
def test_file_that_is_no_config(write, read, values, text, fault):
    path = write(text)
    with pytest.raises(ModelError, match=fault) as error:
        read(path)
    assert path in error.value.message


@both
def test_file_that_is_not_there(tmp_path, read, values):
    with pytest.raises(ModelError, match=r'the file is missing: there is no file .*no_config'):
        read(str(tmp_path / 'no_config'))


@pytest.mark.parametrize(
    ('asked', 'layers'),
    [
        ([-2], (1,)),
        ([0], (0,)),
        ([-3], (0,)),
        ([2], (2,)),
        ([-1, 0, 1], (2, 0, 1)),
        ([2, -1, 2], (2, 2, 2)),
    ],
)
def test_layers(asked, layers):
    assert resolve_layers(asked, CONFIG) == layers


@pytest.mark.parametrize('asked', [[3], [-4], [0, 7]])
def test_layers_that_do_not_exist(asked):
    with pytest.raises(UsageError) as error:
        resolve_layers(asked, CONFIG)
    assert error.value.message == (
        '-pooling_layer %d does not exist: the model has 3 encoder layers, numbered 0 to 2, or -3 to -1 counted from '
        'the end' % asked[-1]
    )


def test_no_layer_at_all():
    with pytest.raises(UsageError, match='at least one layer, from -3 to 2'):
        resolve_layers([], CONFIG)


@pytest.mark.parametrize('max_seq_len', [None, 4, 47, 48])
def test_max_seq_len_within_the_positions(max_seq_len):
    check_max_seq_len(max_seq_len, CONFIG)


def test_max_seq_len_beyond_the_positions():
    with pytest.raises(UsageError, match='-max_seq_len 49 is more than the 48 positions'):
        check_max_seq_len(49, CONFIG)


@pytest.mark.parametrize('name', ['mpnet-mean-norm', 'ce-deberta-v2'])
def test_max_seq_len_of_relative_positions_is_bounded_by_memory(name):
    config = replace(read_published(name), max_position_embeddings=8192)
    check_max_seq_len(2048, config)
    for longer, tokens in ((None, 8192), (2049, 2049)):
        with pytest.raises(UsageError, match='%d tokens are too many for the attention of a .*at most 2048' % tokens):
            check_max_seq_len(longer, config)


def test_max_seq_len_has_no_bound_without_position_embeddings():
    check_max_seq_len(10_000, CONFIG, position_embeddings=False)


def test_config_survives_json():
    for config in (CONFIG, read_published('ce-deberta-v2'), read_published('gte-ntk'), read_published('ce-modernbert')):
        assert EncoderConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_pooler_that_was_never_trained():
    check_strategy(PoolingStrategy.CLS_POOLED, CONFIG)
    check_strategy(PoolingStrategy.CLS_TOKEN, read_published('distilbert-mean-dense'))
    with pytest.raises(UsageError, match='CLS_POOLED needs the pooler of pre-training, and a distilbert has none'):
        check_strategy(PoolingStrategy.CLS_POOLED, read_published('distilbert-mean-dense'))


@pytest.mark.parametrize('name', ['mpnet-mean-norm', 'modernbert-cls', 'ce-deberta-v2'])
def test_positions_that_cannot_be_left_out(name):
    check_position_embeddings(False, CONFIG)
    check_position_embeddings(True, read_published(name))
    with pytest.raises(UsageError, match=r'-no_position_embeddings: the positions of a .* are part of its attention'):
        check_position_embeddings(False, read_published(name))


def read_published(name):
    return read_config(str(PUBLISHED / name / 'config.json'))
