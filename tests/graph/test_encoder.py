"""The encoder against a NumPy one, with sizes of which no two are equal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bert_serving.server.graph.activations import ACTIVATIONS
from bert_serving.server.graph.attention import attention_bias
from bert_serving.server.graph.constants import Constants
from bert_serving.server.graph.encoder import Encoder
from bert_serving.server.graph.heads import logits, pooler
from bert_serving.server.graph.inputs import Inputs
from bert_serving.server.graph.tf import tf, tf1
from graph import reference
from graph.reference import CONFIG

CLOSE: dict[str, Any] = {'rtol': 1e-4, 'atol': 2e-5}


def run(build, inputs):
    """What `build(placeholders)` answers for these three arrays."""
    with tf.Graph().as_default():
        placeholders = Inputs.placeholders()
        fetches = build(placeholders)
        with tf1.Session() as session:
            feed = dict(zip((placeholders.ids, placeholders.mask, placeholders.type_ids), inputs, strict=True))
            return session.run(fetches, feed)


def encode(config, variables, inputs, depth=None, dtype=tf.float32, onednn=False, **options):
    depth = depth or config.num_hidden_layers

    def build(placeholders):
        encoder = Encoder(config, Constants(variables), dtype, onednn=onednn)
        return [placeholders.layout.unflatten(x) for x in encoder.encode(placeholders, depth, **options)]

    return run(build, inputs)


@pytest.mark.parametrize('hidden_act', sorted(ACTIVATIONS))
def test_every_layer_of_every_activation(hidden_act):
    config = replace(CONFIG, hidden_act=hidden_act)
    variables, inputs = reference.random_variables(), reference.random_inputs()
    layers = encode(config, variables, inputs)
    expected = reference.bert(config, variables, *inputs)
    assert len(layers) == 4
    for layer, expected_layer in zip(layers, expected, strict=True):
        np.testing.assert_allclose(layer, expected_layer, **CLOSE)


def test_activations_are_those_that_a_config_or_a_dense_module_can_name():
    from bert_serving.server.model.config import ACTIVATIONS as NAMED
    from bert_serving.server.model.torch_activations import TORCH_ACTIVATIONS

    assert {*NAMED.values(), *TORCH_ACTIVATIONS.values()} == set(ACTIVATIONS) == set(reference.ACTIVATIONS)


def test_without_position_embeddings_needs_none_and_has_no_longest_row():
    variables, inputs = reference.random_variables(), reference.random_inputs(tokens=CONFIG.max_position_embeddings + 6)
    del variables['embeddings/position_embeddings']
    layers = encode(CONFIG, variables, inputs, position_embeddings=False)
    expected = reference.bert(CONFIG, variables, *inputs, position_embeddings=False)
    np.testing.assert_allclose(layers[-1], expected[-1], **CLOSE)


@pytest.mark.parametrize('layer_norm_eps', [1e-12, 1e-5, 0.1])
def test_epsilon_is_that_of_the_config(layer_norm_eps):
    """With states so small that any other epsilon shows: TensorFlow's optimizer has been seen to put in its own."""
    config = replace(CONFIG, layer_norm_eps=layer_norm_eps)
    variables = {name: values * np.float32(0.1) for name, values in reference.random_variables().items()}
    inputs = reference.random_inputs()
    np.testing.assert_allclose(
        encode(config, variables, inputs)[-1], reference.bert(config, variables, *inputs)[-1], **CLOSE
    )


def test_only_the_lowest_layers_are_built():
    variables, inputs = reference.random_variables(), reference.random_inputs()
    expected = reference.bert(CONFIG, variables, *inputs)
    lowest = {name: values for name, values in variables.items() if 'layer_2' not in name and 'layer_3' not in name}
    layers = encode(CONFIG, lowest, inputs, depth=2)
    assert len(layers) == 2
    np.testing.assert_allclose(layers[1], expected[1], **CLOSE)


@pytest.mark.parametrize('depth', [1, 4])
def test_one_position_of_the_highest_layer(depth):
    """Another one in each row; the layers below are whole."""
    variables, inputs = reference.random_variables(), reference.random_inputs()
    position = np.array([0, 8, 3, 0, 5], np.int32)
    expected = reference.bert(CONFIG, variables, *inputs)

    def build(placeholders):
        encoder = Encoder(CONFIG, Constants(variables))
        *below, highest = encoder.encode(placeholders, depth, position=tf.constant(position))
        return [placeholders.layout.unflatten(x) for x in below], highest

    below, highest = run(build, inputs)
    np.testing.assert_allclose(highest, expected[depth - 1][np.arange(5), position], **CLOSE)
    for layer, expected_layer in zip(below, expected[: depth - 1], strict=True):
        np.testing.assert_allclose(layer, expected_layer, **CLOSE)


def test_padding_changes_nothing():
    variables, (ids, mask, type_ids) = reference.random_variables(), reference.random_inputs()
    alone = encode(CONFIG, variables, (ids[2:3, :5], mask[2:3, :5], type_ids[2:3, :5]))[-1]
    among = encode(CONFIG, variables, (ids, mask, type_ids))[-1]
    assert mask[2].sum() == 5
    np.testing.assert_allclose(among[2:3, :5], alone, **CLOSE)


def test_row_without_any_token_disturbs_nobody():
    variables, (ids, mask, type_ids) = reference.random_variables(), reference.random_inputs()
    expected = encode(CONFIG, variables, (ids, mask, type_ids))[-1]
    mask[0] = 0
    layer = encode(CONFIG, variables, (ids, mask, type_ids))[-1]
    np.testing.assert_allclose(layer[1:], expected[1:], **CLOSE)
    assert np.isfinite(layer).all()


def test_segment_type_that_the_model_has_not_got_adds_nothing():
    config = replace(CONFIG, type_vocab_size=1)
    variables, (ids, mask, type_ids) = reference.random_variables(config), reference.random_inputs()
    type_ids[:, 0] = 1
    table = np.concatenate([variables['embeddings/token_type_embeddings'], np.zeros((1, 21), np.float32)])
    expected = reference.bert(CONFIG, {**variables, 'embeddings/token_type_embeddings': table}, ids, mask, type_ids)
    np.testing.assert_allclose(encode(config, variables, (ids, mask, type_ids))[-1], expected[-1], **CLOSE)


def test_attention_bias():
    with tf.Graph().as_default(), tf1.Session() as session:
        bias = session.run(attention_bias(tf.constant([[1, 1, 0], [0, 1, 1]])))
    assert bias.dtype == np.float32
    np.testing.assert_array_equal(bias, [[[[0, 0, -10000]]], [[[-10000, 0, 0]]]])


def test_pooler_and_head():
    variables, inputs = reference.random_variables(num_labels=5), reference.random_inputs()

    def build(placeholders):
        encoder = Encoder(CONFIG, Constants(variables))
        first = placeholders.layout.unflatten(encoder.encode(placeholders, 4)[-1])[:, 0]  # [B, H]
        return pooler(encoder.ops.constants, first), logits(encoder.ops, first)

    pooled, scores = run(build, inputs)
    expected = reference.pooler(variables, reference.bert(CONFIG, variables, *inputs)[-1])
    np.testing.assert_allclose(pooled, expected, **CLOSE)
    np.testing.assert_allclose(scores, reference.logits(variables, expected), **CLOSE)


def test_float16_is_close_to_float32():
    variables, inputs = reference.random_variables(), reference.random_inputs()
    layers = encode(CONFIG, variables, inputs, dtype=tf.float16)
    for layer, expected in zip(layers, reference.bert(CONFIG, variables, *inputs), strict=True):
        assert layer.dtype == np.float32
        np.testing.assert_allclose(layer, expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize('hidden_act', sorted(ACTIVATIONS))
def test_float16_stays_finite_whatever_the_weights(hidden_act):
    config = replace(CONFIG, hidden_act=hidden_act)
    variables = {name: values * np.float32(1e5) for name, values in reference.random_variables().items()}
    for layer in encode(config, variables, reference.random_inputs(), dtype=tf.float16):
        assert np.isfinite(layer).all()
