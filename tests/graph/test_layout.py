"""A graph whose padding has no states, next to one whose padding has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bert_serving.server.graph.constants import Constants
from bert_serving.server.graph.encoder import Encoder
from bert_serving.server.graph.export import GraphSpec
from bert_serving.server.graph.inputs import Inputs
from bert_serving.server.graph.layout import Layout, Packed, Padded
from bert_serving.server.graph.tf import tf, tf1
from bert_serving.server.options.engines import ONNX_RUNTIME
from graph import reference
from graph.reference import CONFIG

CLOSE: dict[str, Any] = {'rtol': 1e-4, 'atol': 2e-5}

MASK = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]], np.int32)
"""Padding; masked special tokens, as with -mask_cls_sep; a row without a token that counts; a hole; a single token."""

HAS_STATE = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0]], bool)


def run(build: Any, *, packs: bool = True) -> Any:
    """What `build` makes of the layout of `MASK`."""
    with tf.Graph().as_default(), tf1.Session() as session:
        mask = tf.constant(MASK)
        layout: Layout = Packed(mask) if packs else Padded(*tf.unstack(tf.shape(mask)))
        return session.run(build(layout))


def numbers(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_states_are_those_of_the_positions_up_to_the_last_that_counts() -> None:
    """And of all positions of a row of which none counts: there, padding changes the answer (docs/adr/0009)."""
    states = run(lambda layout: layout.flatten(tf.constant(numbers(5, 4, 3))))
    np.testing.assert_array_equal(states, numbers(5, 4, 3)[HAS_STATE])
    assert len(states) < len(run(lambda layout: layout.flatten(tf.constant(numbers(5, 4, 3))), packs=False))


@pytest.mark.parametrize(('least', 'count'), [(3, 14), (14, 14), (15, 17), (20, 20), (99, 20)])
def test_there_are_so_many_states_at_least(least: int, count: int) -> None:
    """If 14 are too few, the first positions have states, too."""
    with tf.Graph().as_default(), tf1.Session() as session:
        layout = Packed(tf.constant(MASK), tf.constant(least))
        x = layout.flatten(tf.constant(numbers(5, 4, 3)))
        states, values = session.run((x, layout.unflatten(x)))
    has_state = HAS_STATE | (np.arange(20).reshape(5, 4) < (least if least > 14 else 0))
    assert len(states) == has_state.sum() == count >= min(least, 20)
    np.testing.assert_array_equal(values[has_state], numbers(5, 4, 3)[has_state])


def test_positions_get_their_states_back() -> None:
    values = run(lambda layout: layout.unflatten(layout.flatten(tf.constant(numbers(5, 4, 3)))))
    np.testing.assert_array_equal(values[HAS_STATE], numbers(5, 4, 3)[HAS_STATE])
    assert np.isin(values, numbers(5, 4, 3)).all(), 'padding has the state of another position'


def test_one_position_of_each_row() -> None:
    position = np.array([1, 2, 3, 0, 0], np.int32)
    values = run(lambda layout: layout.at(tf.constant(position), layout.flatten(tf.constant(numbers(5, 4, 3)))))
    np.testing.assert_array_equal(values, numbers(5, 4, 3)[np.arange(5), position])


@pytest.mark.parametrize('count', [1, 2, 3])
def test_heads_are_split_and_joined(count: int) -> None:
    """As with padding: three heads of five units, for one to three projections."""

    def split(layout: Layout) -> list[Any]:
        return layout.split_heads(layout.flatten(tf.constant(numbers(5, 4, count * 3 * 5))), count, 3, 5)

    packed, padded = run(split), run(split, packs=False)
    assert len(packed) == count
    for part, expected in zip(packed, padded, strict=True):
        assert part.shape == (5, 3, 4, 5)
        np.testing.assert_array_equal(part.transpose(0, 2, 1, 3)[HAS_STATE], expected.transpose(0, 2, 1, 3)[HAS_STATE])
    joined = run(
        lambda layout: layout.join_heads(tf.constant(padded[0]), layout.flatten(tf.constant(numbers(5, 4, 15))))
    )
    np.testing.assert_array_equal(joined, padded[0].transpose(0, 2, 1, 3).reshape(5, 4, 15)[HAS_STATE])


@pytest.mark.parametrize('has_position', [False, True])
def test_every_layer_of_an_encoder(has_position: bool) -> None:
    """Rows of all lengths, one of which has masked ends, and one of which has no token that counts."""
    variables = reference.random_variables()
    ids, mask, type_ids = reference.random_inputs(rows=7, tokens=9)
    mask[3, [0, mask[3].sum() - 1]] = 0
    mask[5] = 0

    def layers(*, packs: bool) -> Any:
        with tf.Graph().as_default(), tf1.Session() as session:
            inputs = Inputs.placeholders(packs=packs)
            position = tf.constant([0, 1, 0, 1, 2, 8, 4]) if has_position else None
            states = Encoder(CONFIG, Constants(variables)).encode(inputs, 4, position=position)
            wanted = [inputs.layout.unflatten(x) for x in states[:3]]
            wanted.append(states[3] if has_position else inputs.layout.unflatten(states[3]))
            feed = dict(zip((inputs.ids, inputs.mask, inputs.type_ids), (ids, mask, type_ids), strict=True))
            return session.run((wanted, states[0]), feed)

    (packed, states), (padded, _) = layers(packs=True), layers(packs=False)
    positions = np.arange(1, 10)
    lengths = (mask * positions).max(1, keepdims=True)
    has_state = positions <= np.where(lengths, lengths, 9)
    assert len(states) == has_state.sum() < mask.size
    for layer, expected in zip(packed[:3], padded[:3], strict=True):
        np.testing.assert_allclose(layer[has_state], expected[has_state], **CLOSE)
    kept = slice(None) if has_position else has_state
    np.testing.assert_allclose(packed[3][kept], padded[3][kept], **CLOSE)


def test_padding_has_no_states_on_a_cpu(tmp_path: Any) -> None:
    """With XLA and on GPUs it has: there, shapes that depend on the contents of a batch cost more."""
    model = reference.google_model(tmp_path, reference.random_variables())
    assert GraphSpec(model, (3,), on_cpu=True).packs
    assert GraphSpec(model, (3,), on_cpu=True, engine=ONNX_RUNTIME).packs
    assert not GraphSpec(model, (3,)).packs
    assert not GraphSpec(model, (3,), on_gpu=True).packs
