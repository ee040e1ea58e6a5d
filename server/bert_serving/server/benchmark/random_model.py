"""Write a BERT with random weights. It is as fast as a trained model of its shape and needs no download.

The layout is that of Hugging Face. Needs numpy and safetensors, but not TensorFlow.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from ..model.config import EncoderConfig
from ..model.folder import HUGGINGFACE_CONFIG, HUGGINGFACE_WEIGHTS, TOKENIZER_CONFIG, VOCABULARY
from .sentences import WORDS

Weights = dict[str, NDArray[np.float32]]

SCALE = 0.02
"""The standard deviation with which the weights of BERT are initialized."""

_CONFIG_KEYS = (
    'model_type',
    'vocab_size',
    'hidden_size',
    'num_hidden_layers',
    'num_attention_heads',
    'intermediate_size',
    'max_position_embeddings',
    'type_vocab_size',
    'hidden_act',
    'layer_norm_eps',
)

_FOR_PEERS = {'architectures': ['BertModel'], 'pad_token_id': 0}
"""Further keys that published models have. Infinity needs the first."""

_TOKENIZER = {
    'tokenizer_class': 'BertTokenizer',
    'do_lower_case': True,
    'pad_token': '[PAD]',
    'unk_token': '[UNK]',
    'cls_token': '[CLS]',
    'sep_token': '[SEP]',
    'mask_token': '[MASK]',
    'model_max_length': 512,
}
"""The tokenizer's settings that published models have. fastembed needs `pad_token`."""


def _shape(hidden_size: int, num_hidden_layers: int, num_attention_heads: int) -> EncoderConfig:
    return EncoderConfig(
        vocab_size=30522,
        hidden_size=hidden_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=num_attention_heads,
        intermediate_size=4 * hidden_size,
        max_position_embeddings=512,
        type_vocab_size=2,
    )


SHAPES = {'base': _shape(768, 12, 12), 'large': _shape(1024, 24, 16), 'mini': _shape(384, 6, 12)}
"""BERT-Base, BERT-Large, and MiniLM-L6."""


def write_model(folder: str, config: EncoderConfig, seed: int = 0) -> None:
    """Write a model of the shape of `config` into `folder`; the same `seed` gives the same weights."""
    path = Path(folder)
    about = _FOR_PEERS | {key: getattr(config, key) for key in _CONFIG_KEYS}
    (path / HUGGINGFACE_CONFIG).write_text(json.dumps(about, indent=2), 'utf-8')
    (path / TOKENIZER_CONFIG).write_text(json.dumps(_TOKENIZER, indent=2), 'utf-8')
    (path / VOCABULARY).write_text('\n'.join(make_vocabulary(config.vocab_size)) + '\n', 'utf-8')
    save_file(make_weights(config, seed), path / HUGGINGFACE_WEIGHTS)


def make_vocabulary(size: int) -> list[str]:
    """Make `size` tokens: special tokens, ASCII characters, the words of the sentences, and unused tokens."""
    tokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *string.punctuation]
    for character in string.ascii_lowercase + string.digits:
        tokens += [character, '##' + character]
    tokens = list(dict.fromkeys([*tokens, *WORDS]))[:size]
    return tokens + ['[unused%d]' % number for number in range(size - len(tokens))]


def make_weights(config: EncoderConfig, seed: int) -> Weights:
    """Make every variable of BERT under its Hugging Face name: normal around 0, the gammas of LayerNorms around 1.

    The biases are not 0: TensorFlow would remove their addition, and then could not use the kernels that fuse product,
    bias and activation, as it does for a trained model.
    """
    dice = np.random.default_rng(seed)
    weights: Weights = {}
    for name, shape in _shapes_of(config):
        weights[name] = dice.standard_normal(shape, np.float32) * np.float32(SCALE)
        if name.endswith('LayerNorm.weight'):
            weights[name] += 1
    return weights


def _shapes_of(config: EncoderConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, intermediate = config.hidden_size, config.intermediate_size
    for kind, number in (
        ('word', config.vocab_size),
        ('position', config.max_position_embeddings),
        ('token_type', config.type_vocab_size),
    ):
        yield 'embeddings.%s_embeddings.weight' % kind, (number, hidden)
    yield from _layer_norm('embeddings', hidden)
    for index in range(config.num_hidden_layers):
        layer = 'encoder.layer.%d.' % index
        for part in ('query', 'key', 'value'):
            yield from _dense(layer + 'attention.self.' + part, hidden, hidden)
        yield from _dense(layer + 'attention.output.dense', hidden, hidden)
        yield from _layer_norm(layer + 'attention.output', hidden)
        yield from _dense(layer + 'intermediate.dense', hidden, intermediate)
        yield from _dense(layer + 'output.dense', intermediate, hidden)
        yield from _layer_norm(layer + 'output', hidden)
    yield from _dense('pooler.dense', hidden, hidden)


def _dense(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield name + '.weight', (outputs, inputs)
    yield name + '.bias', (outputs,)


def _layer_norm(name: str, hidden: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield name + '.LayerNorm.weight', (hidden,)
    yield name + '.LayerNorm.bias', (hidden,)
