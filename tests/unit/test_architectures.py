"""What each architecture reads from the published configs, what it refuses, and where it looks for weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bert_serving.server.errors import ModelError
from bert_serving.server.model.architectures import ARCHITECTURES, Place, google_places, places, read_config
from bert_serving.server.model.config import Biases, Classifier, Disentangled, Head, RelativeBias, Rotary

PUBLISHED = Path(__file__).parents[1] / 'golden' / 'data' / 'published' / 'models'


def published(name):
    return json.loads((PUBLISHED / name / 'config.json').read_text())


@pytest.fixture
def read(tmp_path):
    """The config that the one of a published folder becomes, with some keys otherwise; `...` leaves a key out."""

    def get(name, **changes):
        values = {key: value for key, value in {**published(name), **changes}.items() if value is not ...}
        path = tmp_path / 'config.json'
        path.write_text(json.dumps(values))
        return read_config(str(path))

    return get


def test_all_published_configs_are_read():
    configs = {path.parent.name: read_config(str(path)) for path in PUBLISHED.glob('*/config.json')}
    assert len(configs) == 33
    assert {config.model_type for config in configs.values()} == set(ARCHITECTURES)
    for name, config in configs.items():
        assert (config.head is not None) == name.startswith('ce-'), name


def test_roberta_counts_positions_from_behind_the_padding(read):
    config = read('xlm-roberta-mean-norm')
    assert (config.model_type, config.pad_id, config.first_position) == ('xlm-roberta', 1, 2)
    assert (config.max_position_embeddings, config.position_rows) == (40, 42)
    assert read('roberta-mean', pad_token_id=3).max_position_embeddings == 38
    assert read('camembert-cls').classifier == Classifier(scope='head')


def test_mpnet_pads_with_1_whatever_its_config_says(read):
    config = read('mpnet-mean-norm', pad_token_id=5)
    assert (config.pad_id, config.first_position, config.max_position_embeddings) == (1, 2, 50)
    assert config.relative_bias == RelativeBias(32, 128)
    assert config.type_vocab_size == 0


def test_distilbert_has_names_of_its_own(read):
    config = read('distilbert-mean-dense')
    assert (config.hidden_size, config.num_attention_heads, config.num_hidden_layers) == (24, 4, 3)
    assert (config.intermediate_size, config.type_vocab_size, config.has_pooler) == (50, 0, False)
    assert read('ce-distilbert').head == Head(('NEGATIVE', 'POSITIVE'), 'softmax')


def test_embeddings_narrower_than_the_states(read):
    assert read('electra-mean').embedding_width == 16
    assert read('electra-mean', embedding_size=24).embedding_size is None
    assert read('albert-mean').embedding_width == 16
    assert read('albert-mean').hidden_act == 'gelu_tanh'


@pytest.mark.parametrize(('groups', 'weights'), [(1, [0, 0, 0, 0]), (2, [0, 0, 1, 1]), (3, [0, 0, 1, 2])])
def test_albert_shares_the_weights_of_groups_of_layers(read, groups, weights):
    config = read('albert-mean', num_hidden_groups=groups)
    assert [config.group(layer) for layer in range(4)] == weights


def test_modernbert_as_transformers_5_writes_it_and_as_most_on_the_hub_are(read):
    new, old = read('modernbert-cls'), read('modernbert-hub')
    assert new == old
    assert new.windows == (0, 4, 4, 0, 4)
    assert [new.rotary_of(layer).base for layer in range(5)] == [160000, 10000, 10000, 160000, 10000]
    assert (new.pre_norm, new.gated, new.biases) == (True, True, Biases(False, False, False, False, False))
    assert read('modernbert-hub', global_attn_every_n_layers=2).windows == (0, 4, 0, 4, 0)
    assert read('modernbert-hub', local_rope_theta=7).local_rotary == Rotary(7)
    assert read('modernbert-hub', local_rope_theta=...).local_rotary == Rotary(10000)
    assert read('ce-modernbert', classifier_pooling='mean').classifier == Classifier(
        scope='head', activation='gelu', has_bias=False, has_norm=True, pooling='mean'
    )


def test_nomic_as_transformers_5_writes_it_and_as_on_the_hub(read):
    assert read('nomic-bert-mean') == read('nomic-bert-hub')
    config = read('nomic-bert-hub', vocab_size=601, pad_vocab_size_multiple=64, mlp_fc1_bias=True, rotary_emb_base=10)
    assert config.vocab_size == 640
    assert config.biases == Biases(False, False, True, False)
    assert config.rotary == Rotary(10)
    assert read('nomic-bert-mean', rope_parameters=...).rotary == Rotary(1000)


def test_nomic_whose_positions_would_depend_on_the_batch_is_bounded(read):
    assert read('nomic-bert-hub', n_positions=8192).max_position_embeddings == 8192
    stretched = read('nomic-bert-hub', n_positions=8192, rotary_scaling_factor=2)
    assert stretched.max_position_embeddings == 2048


def test_gte(read):
    config = read('gte-hub')
    assert (config.model_type, config.rotary, config.gated) == ('new', Rotary(160000), True)
    assert config.biases == Biases(feed_forward_in=False)
    assert read('gte-cls').rotary == config.rotary
    assert read('gte-ntk').rotary == Rotary(1_000_000, 2 ** (2 / 8))
    assert read('gte-hub', rope_theta=...).rotary == Rotary(10000)
    assert read('gte-cls', rope_parameters=...).rotary == Rotary(160000)


@pytest.mark.parametrize('name', ['gte-hub', 'gte-cls', 'nomic-bert-mean'])
def test_rotary_positions_that_a_factor_stretches(read, name):
    old = {'rope_scaling': {'type': 'linear', 'factor': 4}, 'rope_theta': 1e4, 'rope_parameters': ...}
    new = {'rope_parameters': {'rope_type': 'linear', 'factor': 4.0, 'rope_theta': 1e4}, 'rope_scaling': ...}
    assert read(name, **old).rotary == read(name, **new).rotary == Rotary(1e4, 4)
    assert read(name, rope_scaling={'factor': 4.0}, rope_parameters=..., rope_theta=1e4).rotary == Rotary(1e4)


def test_rotary_positions_of_global_layers_that_a_factor_stretches(read):
    rope = {'full_attention': {'rope_type': 'linear', 'factor': 2.0}, 'sliding_attention': {'rope_type': 'default'}}
    config = read('modernbert-hub', rope_parameters=rope)
    assert (config.rotary, config.local_rotary) == (Rotary(160_000, 2), Rotary(10_000))


def test_deberta(read):
    assert read('ce-deberta-v2').disentangled == Disentangled(span=16, max_distance=64)
    assert read('ce-deberta-v2').has_position_embeddings is False
    other = read(
        'ce-deberta-v2',
        position_buckets=-1,
        max_relative_positions=40,
        pos_att_type='c2p',
        share_att_key=False,
        norm_rel_ebd='none',
    )
    assert other.disentangled == Disentangled(40, 40, False, True, False, False, False)
    assert other.disentangled.terms == 2


@pytest.mark.parametrize(
    ('labels', 'about', 'activation'),
    [
        (1, {}, 'sigmoid'),
        (3, {}, 'softmax'),
        (1, {'sentence_transformers': {'activation_fn': 'torch.nn.modules.linear.Identity'}}, 'linear'),
        (3, {'sentence_transformers': {'activation_fn': 'torch.nn.modules.linear.Identity'}}, 'softmax'),
        (3, {'sentence_transformers': {'activation_fn': 'torch.nn.modules.activation.Sigmoid'}}, 'sigmoid'),
        (1, {'sbert_ce_default_activation_function': 'torch.nn.modules.linear.Identity'}, 'linear'),
    ],
)
def test_activation_of_a_head(read, labels, about, activation):
    named = {str(index): 'name %d' % index for index in range(labels)}
    assert read('ce-bert-one', id2label=named, **about).head == Head(tuple(named.values()), activation)


def test_labels_that_have_no_names(read):
    assert read('ce-bert-one', id2label=...).head.labels == ('LABEL_0', 'LABEL_1')
    assert read('ce-bert-one', id2label=..., num_labels=1).head.labels == ('LABEL_0',)


@pytest.mark.parametrize(
    ('name', 'key', 'value', 'expected'),
    [
        ('bert-mean-norm', 'position_embedding_type', 'relative_key', "'absolute'"),
        ('bert-mean-norm', 'is_decoder', True, 'False'),
        ('bert-mean-norm', 'num_hidden_layers', 10**9, 'at most 1024'),
        ('bert-mean-norm', 'vocab_size', 2**40, 'at most 2147483647'),
        ('bert-mean-norm', 'architectures', 'BertModel', 'a list'),
        ('roberta-mean', 'position_embedding_type', 'relative_key_query', "'absolute'"),
        ('roberta-mean', 'max_position_embeddings', 2, 'an integer, 3 or more'),
        ('mpnet-mean-norm', 'relative_attention_num_buckets', 64, '32'),
        ('albert-mean', 'inner_group_num', 2, '1'),
        ('albert-mean', 'num_hidden_groups', 5, 'at most 4'),
        ('modernbert-cls', 'layer_types', ['full_attention'], 'full_attention or sliding_attention for each of the 5'),
        ('modernbert-cls', 'rope_scaling', {'type': 'linear'}, 'None'),
        ('ce-modernbert', 'classifier_pooling', 'max', 'one of cls, mean'),
        ('ce-modernbert', 'norm_bias', 1, 'true or false'),
        ('nomic-bert-hub', 'rotary_emb_fraction', 0.5, '1.0'),
        ('nomic-bert-hub', 'rotary_emb_interleaved', True, 'False'),
        ('nomic-bert-hub', 'use_rms_norm', True, 'False'),
        ('nomic-bert-hub', 'prenorm', True, 'False'),
        ('nomic-bert-hub', 'causal', True, 'False'),
        ('nomic-bert-hub', 'moe_every_n_layers', 2, '0, as mixtures of experts are not served'),
        ('nomic-bert-hub', 'activation_function', 'gelu', 'one of geglu, glu, swiglu'),
        ('nomic-bert-mean', 'head_dim', 16, '8'),
        ('gte-hub', 'position_embedding_type', 'absolute', "'rope'"),
        ('gte-hub', 'layer_norm_type', 'rms_norm', "'layer_norm'"),
        ('gte-hub', 'logn_attention_scale', True, 'False'),
        ('gte-hub', 'rope_scaling', {'type': 'dynamic', 'factor': 2.0}, 'one of default, linear'),
        ('gte-hub', 'rope_scaling', 'ntk', 'an object'),
        ('ce-deberta-v2', 'relative_attention', False, 'True'),
        ('ce-deberta-v2', 'conv_kernel_size', 3, '0'),
        ('ce-deberta-v2', 'position_buckets', 1, 'at least 2'),
        ('ce-deberta-v2', 'pos_att_type', ['c2p', 'p2p'], 'a list of c2p and p2c'),
        ('ce-deberta-v2', 'norm_rel_ebd', 'rms', 'none or layer_norm'),
        ('ce-bert-one', 'id2label', {'1': 'x'}, 'an object with a name for each number from 0 up'),
        ('ce-bert-one', 'sentence_transformers', {'activation_fn': 'torch.nn.Tanh'}, 'Identity, Sigmoid or Softmax'),
    ],
)
def test_refusals_name_file_key_and_value(read, tmp_path, name, key, value, expected):
    """Each of these would load without a complaint and answer nonsense, or take unbounded memory."""
    with pytest.raises(ModelError) as error:
        read(name, **{key: value})
    message = error.value.message
    assert message.startswith(str(tmp_path / 'config.json') + ": '" + key), message
    assert expected in message


def test_refusal_of_a_key_within_another(read):
    rope = {'full_attention': {'rope_type': 'yarn', 'rope_theta': 1e4}, 'sliding_attention': None}
    with pytest.raises(
        ModelError, match=r"'rope_parameters\.full_attention\.rope_type' must be one of default, linear, not 'yarn'"
    ):
        read('modernbert-cls', rope_parameters=rope)


def test_rotary_positions_need_pairs_of_units(read):
    with pytest.raises(ModelError, match='an even number of units in a head, not 3'):
        read('gte-hub', num_attention_heads=8)


def test_value_that_is_very_long_is_cut(read):
    with pytest.raises(ModelError) as error:
        read('ce-bert-one', id2label={str(index): 'x' for index in range(1, 10**4)})
    assert len(error.value.message) < 500


@pytest.mark.parametrize(
    ('model_type', 'name', 'first', 'also'),
    [
        (
            'bert',
            'embeddings/word_embeddings',
            Place('bert.embeddings.word_embeddings.weight'),
            'embeddings.word_embeddings.weight',
        ),
        (
            'bert',
            'encoder/layer_11/output/LayerNorm/gamma',
            Place('bert.encoder.layer.11.output.LayerNorm.weight'),
            'encoder.layer.11.output.LayerNorm.gamma',
        ),
        ('bert', 'pooler/dense/kernel', Place('bert.pooler.dense.weight', True), 'pooler.dense.weight'),
        ('bert', 'output_weights', Place('classifier.weight'), None),
        ('bert', 'output_bias', Place('classifier.bias'), None),
        ('camembert', 'head/dense/kernel', Place('classifier.dense.weight', True), None),
        ('xlm-roberta', 'output_bias', Place('classifier.out_proj.bias'), None),
        (
            'modernbert',
            'encoder/layer_3/attention/self/key/kernel',
            Place('model.layers.3.attn.Wqkv.weight', True, 1, 3),
            'layers.3.attn.Wqkv.weight',
        ),
        (
            'gte',
            'encoder/layer_0/intermediate/dense/kernel',
            Place('new.encoder.layer.0.mlp.up_gate_proj.weight', True, 1, 2),
            'encoder.layer.0.mlp.up_gate_proj.weight',
        ),
        (
            'new',
            'encoder/layer_0/attention/self/value/bias',
            Place('new.encoder.layer.0.attention.qkv_proj.bias', False, 2, 3),
            'encoder.layer.0.attention.v_proj.bias',
        ),
        ('deberta-v2', 'encoder/relative_embeddings', Place('deberta.encoder.rel_embeddings.weight'), None),
        ('mpnet', 'encoder/relative_attention_bias', Place('mpnet.encoder.relative_attention_bias.weight'), None),
        ('albert', 'pooler/dense/bias', Place('albert.pooler.bias'), 'pooler.bias'),
    ],
)
def test_places(model_type, name, first, also):
    found = places(model_type, name)
    assert found[0] == first
    if also:
        assert also in [place.name for place in found]


def test_places_in_a_checkpoint_of_google():
    assert google_places('pooler/dense/kernel') == [Place('bert/pooler/dense/kernel'), Place('pooler/dense/kernel')]
    assert google_places('output_weights') == [Place('output_weights')]
