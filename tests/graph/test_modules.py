"""The modules after pooling, against NumPy, and what is said of modules that do not fit together."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from bert_serving.server.errors import ModelError
from bert_serving.server.graph.activations import ACTIVATIONS
from bert_serving.server.graph.constants import Constants
from bert_serving.server.graph.modules import apply_modules, load_modules, stored_shapes
from bert_serving.server.graph.tf import tf, tf1
from bert_serving.server.model.pipeline import Dense, LayerNorm, Normalize
from graph import reference

ROWS, WIDTH, OUTPUTS = 4, 6, 5


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)


@pytest.fixture
def write(tmp_path):
    """A module whose weights are written as its file has them, and these weights."""

    def write(module_type, **values):
        path = str(tmp_path / ('%d.safetensors' % len(list(tmp_path.iterdir()))))
        module = module_type(weights=path, **values)
        dice = np.random.default_rng(1)
        shapes = stored_shapes(module)
        weights = {name: dice.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        save_file(weights, path)
        return module, weights

    return write


def apply(modules, x):
    with tf.Graph().as_default(), tf1.Session() as session:
        constants = Constants(load_modules(modules, x.shape[1]))
        return session.run(apply_modules(modules, constants, tf.constant(x)))


@pytest.mark.parametrize('activation', sorted(ACTIVATIONS))
def test_dense(activation, write, x):
    module, weights = write(Dense, inputs=WIDTH, outputs=OUTPUTS, bias=True, activation=activation)
    expected = reference.ACTIVATIONS[activation](x @ weights['linear.weight'].T + weights['linear.bias'])
    np.testing.assert_allclose(apply([module], x), expected, rtol=1e-4, atol=2e-5)


def test_dense_without_bias(write, x):
    module, weights = write(Dense, inputs=WIDTH, outputs=OUTPUTS, bias=False, activation='linear')
    assert set(weights) == {'linear.weight'}
    np.testing.assert_allclose(apply([module], x), x @ weights['linear.weight'].T, rtol=1e-4, atol=2e-5)


def test_layer_norm(write, x):
    module, weights = write(LayerNorm, width=WIDTH, epsilon=0.5)
    expected = reference.layer_norm(x, weights['norm.weight'], weights['norm.bias'], 0.5)
    np.testing.assert_allclose(apply([module], x), expected, rtol=1e-4, atol=2e-5)


def test_normalize_leaves_a_vector_without_length_as_it_is(x):
    x[1] = 0
    answer = apply([Normalize()], x)
    np.testing.assert_allclose(np.linalg.norm(answer, axis=1), [1, 0, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(answer[0], x[0] / np.linalg.norm(x[0]), rtol=1e-6)


def test_modules_follow_each_other_with_their_own_weights(write, x):
    first, weights = write(Dense, inputs=WIDTH, outputs=OUTPUTS, bias=True, activation='tanh')
    second, norm = write(LayerNorm, width=OUTPUTS)
    third, last = write(Dense, inputs=OUTPUTS, outputs=3, bias=False, activation='relu')
    y = np.tanh(x @ weights['linear.weight'].T + weights['linear.bias'])
    y = reference.layer_norm(y, norm['norm.weight'], norm['norm.bias'], 1e-5)
    y = y / np.linalg.norm(y, axis=1, keepdims=True)
    expected = np.maximum(y @ last['linear.weight'].T, 0)
    np.testing.assert_allclose(apply([first, second, Normalize(), third], x), expected, rtol=1e-4, atol=2e-5)


def test_modules_that_do_not_fit_together_are_named(write):
    first, _ = write(Dense, inputs=WIDTH, outputs=OUTPUTS, bias=True, activation='tanh')
    second, _ = write(LayerNorm, width=WIDTH)
    with pytest.raises(ModelError, match=r'1\.safetensors takes vectors of width 6, but gets 5: remove -pooling_layer'):
        load_modules([first, second], WIDTH)
    with pytest.raises(ModelError, match=r'0\.safetensors takes vectors of width 6, but gets 12'):
        load_modules([first], 2 * WIDTH)


def test_weights_that_do_not_fit_their_config_are_named(write):
    module, _ = write(Dense, inputs=WIDTH, outputs=OUTPUTS, bias=True, activation='tanh')
    other = Dense(WIDTH, OUTPUTS + 1, True, 'tanh', module.weights)
    with pytest.raises(ModelError, match=r'0\.safetensors does not fit its config\.json: linear\.weight is \[5, 6\]'):
        load_modules([other], WIDTH)
    norm = LayerNorm(WIDTH, module.weights)
    with pytest.raises(ModelError, match=r'0\.safetensors lacks what the graph needs: norm\.weight, norm\.bias'):
        load_modules([norm], WIDTH)


def test_weights_that_are_not_finite_are_named(write):
    module, weights = write(LayerNorm, width=WIDTH)
    weights['norm.bias'][2] = np.inf
    save_file(weights, module.weights)
    with pytest.raises(ModelError, match=r'norm\.bias has values that are not finite'):
        load_modules([module], WIDTH)
