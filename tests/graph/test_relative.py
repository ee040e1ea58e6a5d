"""Terms of attention scores by relative positions, against loops over all pairs of tokens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bert_serving.server.graph.attention import Attention
from bert_serving.server.graph.constants import Constants
from bert_serving.server.graph.inputs import Inputs
from bert_serving.server.graph.ops import Ops
from bert_serving.server.graph.positions import bias_buckets, disentangled_rows
from bert_serving.server.graph.relative import along_diagonals, relative_bias
from bert_serving.server.graph.tf import tf, tf1
from bert_serving.server.model.config import Disentangled, RelativeBias
from graph import reference
from graph.reference import CONFIG

ROWS, TOKENS = 2, 5
HEADS, SIZE = CONFIG.num_attention_heads, CONFIG.head_size


def run(build, config, variables):
    """The value of the tensor that `build` makes of the ops and the inputs of a batch [ROWS, TOKENS]."""
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs = Inputs.placeholders()
        ones = np.ones((ROWS, TOKENS), np.int32)
        feeds = {inputs.ids: ones, inputs.mask: ones, inputs.type_ids: ones}
        return session.run(build(Ops(config, Constants(variables), tf.float32), inputs), feeds)


def test_values_of_distances_are_put_on_the_diagonals():
    x = np.random.default_rng(0).normal(size=(ROWS, HEADS, TOKENS, 2 * TOKENS)).astype(np.float32)
    with tf.Graph().as_default(), tf1.Session() as session:
        answer = session.run(along_diagonals(tf.constant(x), ROWS, TOKENS))
    for line in range(TOKENS):
        for other in range(TOKENS):
            np.testing.assert_array_equal(answer[:, :, line, other], x[:, :, line, other - line + TOKENS - 1])


def test_bias_of_each_head_and_distance():
    spec = RelativeBias(6, 4)
    table = np.random.default_rng(0).normal(size=(6, HEADS)).astype(np.float32)
    config = replace(CONFIG, relative_bias=spec)
    bias = run(lambda ops, inputs: relative_bias(ops, inputs, spec), config, {'encoder/relative_attention_bias': table})
    assert bias.shape == (1, HEADS, TOKENS, TOKENS)
    for query in range(TOKENS):
        for key in range(TOKENS):
            bucket = int(bias_buckets(spec, np.array(key - query, np.int32)))
            np.testing.assert_array_equal(bias[0, :, query, key], table[bucket])


@pytest.mark.parametrize(
    'spec',
    [
        Disentangled(4, 24),
        Disentangled(4, 24, shares_projections=False),
        Disentangled(4, 24, has_buckets=False, has_norm=False),
        Disentangled(4, 24, content_to_position=False),
        Disentangled(4, 24, position_to_content=False, shares_projections=False),
        Disentangled(4, 24, content_to_position=False, position_to_content=False),
    ],
    ids=str,
)
def test_scores_with_embeddings_of_distances(spec):
    """Both terms use the row of the distance query - key, and all terms are divided alike."""
    config = replace(CONFIG, disentangled=spec)
    variables = reference.random_variables(config)
    dice = np.random.default_rng(5)
    query, key = dice.normal(size=(2, ROWS, HEADS, TOKENS, SIZE)).astype(np.float32)
    scope = 'encoder/layer_1/attention/self'

    def build(ops, inputs):
        scores = Attention(ops, inputs)._relative.of(scope, tf.constant(query), tf.constant(key))
        return tf.broadcast_to(scores, (ROWS, HEADS, TOKENS, TOKENS))

    answer = run(build, config, variables)

    def projected(kind):
        x = variables['encoder/relative_embeddings']
        if spec.has_norm:
            gamma, beta = (variables['encoder/relative_embeddings/LayerNorm/' + leaf] for leaf in ('gamma', 'beta'))
            x = reference.layer_norm(x, gamma, beta, config.layer_norm_eps)
        part = '%s/%s' % (scope, kind if spec.shares_projections else 'position_' + kind)
        return (x @ variables[part + '/kernel'] + variables[part + '/bias']).reshape(-1, HEADS, SIZE)

    scale = 1 / np.sqrt(SIZE * spec.terms)
    expected = np.zeros((ROWS, HEADS, TOKENS, TOKENS))
    for at in range(TOKENS):
        for to in range(TOKENS):
            row = int(disentangled_rows(spec, np.array(at - to, np.int32)))
            if spec.content_to_position:  # `query` is scaled already, by its kernel
                expected[:, :, at, to] += (query[:, :, at] * projected('key')[row]).sum(-1)
            if spec.position_to_content:
                expected[:, :, at, to] += (key[:, :, to] * projected('query')[row] * scale).sum(-1)
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=2e-5)
