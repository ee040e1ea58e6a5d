"""A BERT in NumPy, written from the papers and independent of the TensorFlow code that it checks.

Also what the tests need around it: a config whose sizes are all different and odd, random weights for it, and
writers for the files that the weights come in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bert_serving.server.graph.checkpoint import variable_shapes
from bert_serving.server.model.config import EncoderConfig
from bert_serving.server.model.folder import Model

# No two dimensions are equal, so that swapped axes cannot go unnoticed: H is 21, in 3 heads of 7.
CONFIG = EncoderConfig(
    vocab_size=37,
    hidden_size=21,
    num_hidden_layers=4,
    num_attention_heads=3,
    intermediate_size=13,
    max_position_embeddings=11,
    type_vocab_size=2,
)
ROWS, TOKENS = 5, 9

PUBLISHED = Path(__file__).parents[1] / 'golden' / 'data' / 'published' / 'models'
"""Folders as people publish them, tiny and with random weights."""


def random_variables(config: EncoderConfig = CONFIG, num_labels: int = 0, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights large enough to matter everywhere; all that the config allows for."""
    rng = np.random.default_rng(seed)
    shapes = variable_shapes(config, depth=config.num_hidden_layers, pooler=True, num_labels=num_labels)
    variables = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    for name in variables:
        if name.endswith('gamma'):
            variables[name] += 1
    return variables


def random_inputs(rows: int = ROWS, tokens: int = TOKENS, config: EncoderConfig = CONFIG, seed: int = 1):
    """Ids, a mask of rows of all lengths from 1 up, and type ids with a second part in every other row."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, config.vocab_size, (rows, tokens)).astype(np.int32)
    lengths = np.linspace(1, tokens, rows).astype(int)
    mask = (np.arange(tokens) < lengths[:, None]).astype(np.int32)
    type_ids = ((np.arange(tokens) >= lengths[:, None] // 2) & (np.arange(rows) % 2 == 1)[:, None]).astype(np.int32)
    return ids, mask, type_ids * mask


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'gelu': lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    'gelu_10': lambda x: np.clip(ACTIVATIONS['gelu'](x), -10, 10),
    'gelu_quick': lambda x: x / (1 + np.exp(-1.702 * x)),
    'gelu_tanh': lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    'relu': lambda x: np.where(x > 0, x, 0),
    'relu2': lambda x: np.where(x > 0, x, 0) ** 2,
    'relu6': lambda x: np.clip(x, 0, 6),
    'leaky_relu': lambda x: np.where(x > 0, x, x / 100),
    'sigmoid': lambda x: 1 / (1 + np.exp(-x)),
    'hardswish': lambda x: x * np.clip(x + 3, 0, 6) / 6,
    'mish': lambda x: x * np.tanh(np.log1p(np.exp(x))),
    'tanh': np.tanh,
    'linear': lambda x: x,
    'silu': lambda x: x / (1 + np.exp(-x)),
    'elu': lambda x: np.where(x > 0, x, np.exp(x) - 1),
    'selu': lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
    'rrelu': lambda x: np.where(x > 0, x, x * 11 / 48),
    'hardtanh': lambda x: np.clip(x, -1, 1),
    'hardsigmoid': lambda x: np.clip(x / 6 + 0.5, 0, 1),
    'hardshrink': lambda x: np.where(abs(x) > 0.5, x, 0),
    'softshrink': lambda x: np.sign(x) * np.maximum(abs(x) - 0.5, 0),
    'softsign': lambda x: x / (1 + abs(x)),
    'softplus': lambda x: np.log1p(np.exp(x)),
    'sqrt_softplus': lambda x: np.log1p(np.exp(x)) ** 0.5,
    'softmax': lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    'log_sigmoid': lambda x: -np.log1p(np.exp(-x)),
    'tanhshrink': lambda x: x - np.tanh(x),
    'laplace': lambda x: 0.5 * (1 + np.vectorize(math.erf)((x - 0.707107) / (0.282095 * math.sqrt(2)))),
}


def bert(config, variables, ids, mask, type_ids, *, position_embeddings=True):
    """The output of every layer, [B, T, H] each, in float64, one row, one head, one position after another."""
    v = {name: values.astype(np.float64) for name, values in variables.items()}
    per_row = [_one_row(config, v, *row, position_embeddings) for row in zip(ids, mask, type_ids, strict=True)]
    return [np.stack(layer) for layer in zip(*per_row, strict=True)]


def _one_row(config, v, ids, mask, type_ids, position_embeddings):
    x = v['embeddings/word_embeddings'][ids] + v['embeddings/token_type_embeddings'][type_ids]
    if position_embeddings:
        x = x + v['embeddings/position_embeddings'][: len(ids)]
    x = layer_norm(x, v['embeddings/LayerNorm/gamma'], v['embeddings/LayerNorm/beta'], config.layer_norm_eps)
    layers = []
    for index in range(config.num_hidden_layers):
        p = 'encoder/layer_%d/' % index

        def dense(name, x, p=p):
            return x @ v[p + name + '/kernel'] + v[p + name + '/bias']

        def norm(name, x, p=p):
            return layer_norm(x, v[p + name + '/gamma'], v[p + name + '/beta'], config.layer_norm_eps)

        queries, keys, values = (dense('attention/self/' + part, x) for part in ('query', 'key', 'value'))
        context = np.zeros_like(x)
        for head in range(config.num_attention_heads):
            own = slice(head * config.head_size, (head + 1) * config.head_size)
            for position in range(len(ids)):
                scores = keys[:, own] @ queries[position, own] / math.sqrt(config.head_size)
                context[position, own] = softmax(scores - 10000.0 * (1 - mask)) @ values[:, own]
        x = norm('attention/output/LayerNorm', x + dense('attention/output/dense', context))
        inner = ACTIVATIONS[config.hidden_act](dense('intermediate/dense', x))
        x = norm('output/LayerNorm', x + dense('output/dense', inner))
        layers.append(x)
    return layers


def pooler(variables, last_layer):
    return np.tanh(last_layer[:, 0] @ variables['pooler/dense/kernel'] + variables['pooler/dense/bias'])


def logits(variables, pooled):
    return pooled @ variables['output_weights'].T + variables['output_bias']


def layer_norm(x, gamma, beta, eps):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * gamma + beta


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def pool(strategy, x, mask):
    """One row after another, over the tokens that the mask leaves; `strategy` is the name."""
    return np.stack([_pool_row(strategy, row, keep.astype(bool)) for row, keep in zip(x, mask, strict=True)])


def _pool_row(strategy, x, keep):
    if strategy == 'NONE':
        return np.where(keep[:, None], x, 0)
    if strategy == 'REDUCE_MEAN':
        return x[keep].mean(0)
    if strategy == 'REDUCE_MAX':
        return x[keep].max(0)
    if strategy == 'REDUCE_MEAN_MAX':
        return np.concatenate([x[keep].mean(0), x[keep].max(0)])
    if strategy == 'FIRST_TOKEN':
        return x[0]
    return x[keep.sum() - 1]


def google_names(variables):
    """As Google's code saves them: all in the scope `bert`, but for a head."""
    return {name if name.startswith('output_') else 'bert/' + name: values for name, values in variables.items()}


def huggingface_names(variables, prefix='', early_layer_norm=False):
    """As Hugging Face's code saves them: kernels transposed, and called by other names."""
    stored = {}
    for name, values in variables.items():
        if name.startswith('output_'):
            stored[{'output_weights': 'classifier.weight', 'output_bias': 'classifier.bias'}[name]] = values
            continue
        *scope, last = name.split('/')
        if last.endswith('_embeddings'):
            scope, last = [*scope, last], 'weight'
        elif last == 'kernel':
            values, last = np.ascontiguousarray(values.T), 'weight'
        elif not early_layer_norm:
            last = {'gamma': 'weight', 'beta': 'bias'}.get(last, last)
        stored[prefix + '.'.join([*scope, last]).replace('layer_', 'layer.')] = values
    return stored


def write_checkpoint(prefix: Path, variables) -> None:
    from bert_serving.server.graph.tf import tf

    prefix.parent.mkdir(parents=True, exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(variables),
        shape_and_slices=[''] * len(variables),
        tensors=[tf.constant(values) for values in variables.values()],
    )


def google_model(folder: Path, variables, config: EncoderConfig = CONFIG) -> Model:
    """A folder as Google's code leaves it, without what only the tokenizer needs."""
    write_checkpoint(folder / 'bert_model.ckpt', google_names(variables))
    return Model('google', config, str(folder / 'bert_config.json'), str(folder / 'bert_model.ckpt'), 'vocab.txt')


def huggingface_model(folder: Path, stored, config: EncoderConfig = CONFIG) -> Model:
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / 'model.safetensors'
    save_file(stored, weights)
    (folder / 'config.json').write_text(json.dumps({'model_type': 'bert'}))
    return Model('huggingface', config, str(folder / 'config.json'), str(weights), 'vocab.txt')
