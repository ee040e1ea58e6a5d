"""The dimensions of a BERT, read from the JSON beside its weights, and what they allow the options to ask.

Called by the parent before it starts any process (`model/folder.py`), and by the exporter, to which the config travels
as JSON. Pure but for reading the one file; imports no TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError, UsageError
from .files import read_json_object

# Every name that Google's and Hugging Face's code give an activation, and the function that it stands for.
ACTIVATIONS: Mapping[str, str] = {
    'gelu': 'gelu',
    'gelu_python': 'gelu',
    'gelu_new': 'gelu_tanh',
    'gelu_fast': 'gelu_tanh',
    'gelu_pytorch_tanh': 'gelu_tanh',
    'relu': 'relu',
    'tanh': 'tanh',
    'linear': 'linear',
    'silu': 'silu',
    'swish': 'silu',
}

GOOGLE_LAYER_NORM_EPS = 1e-12

_DIMENSIONS = (
    'vocab_size',
    'hidden_size',
    'num_hidden_layers',
    'num_attention_heads',
    'intermediate_size',
    'max_position_embeddings',
    'type_vocab_size',
)


@dataclass(frozen=True)
class BertConfig:
    """What the shape of every variable, and the formulas between them, follow from.

    `hidden_act` is one of the values (not the keys) of `ACTIVATIONS`.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    hidden_act: str = 'gelu'
    layer_norm_eps: float = GOOGLE_LAYER_NORM_EPS

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_google(cls, path: str) -> BertConfig:
        """Read a `bert_config.json`. It has no epsilon: Google's code has always used 1e-12."""
        return _ConfigFile.read(path).config(GOOGLE_LAYER_NORM_EPS)

    @classmethod
    def from_huggingface(cls, path: str) -> BertConfig:
        """Read a `config.json`, refusing all that is no plain BERT encoder.

        The neighbours of BERT (RoBERTa, a decoder, relative positions) have weights of the same names, and would
        load without a complaint and answer nonsense.
        """
        file = _ConfigFile.read(path)
        file.only('model_type', 'bert')
        file.only('position_embedding_type', 'absolute', default='absolute')
        file.only('is_decoder', False, default=False)
        return file.config(file.epsilon('layer_norm_eps', default=GOOGLE_LAYER_NORM_EPS))


def resolve_layers(pooling_layer: Sequence[int], config: BertConfig) -> tuple[int, ...]:
    """The encoder layers that `-pooling_layer` names, counted from 0 at the one nearest to the input.

    Order and repetitions are kept: the layers are concatenated as they were asked for.
    """
    count = config.num_hidden_layers
    if not pooling_layer:
        raise UsageError('-pooling_layer needs at least one layer, from %d to %d' % (-count, count - 1))
    for layer in pooling_layer:
        if not -count <= layer < count:
            raise UsageError(
                '-pooling_layer %d does not exist: the model has %d encoder layers, numbered %d to %d, or %d to -1 '
                'counted from the end' % (layer, count, 0, count - 1, -count)
            )
    return tuple(layer % count for layer in pooling_layer)


def check_max_seq_len(max_seq_len: int | None, config: BertConfig, position_embeddings: bool = True) -> None:
    """Refuse a `-max_seq_len` for whose last tokens the model has no position embedding.

    Without position embeddings nothing in a BERT depends on the length, and 1.10's check stood inside their branch
    of the graph; so with `-no_position_embeddings` there is no bound. None (the longest of each sub-batch) is
    always right: it is cut to `max_position_embeddings` where the sub-batches are made.
    """
    if max_seq_len is None or not position_embeddings:
        return
    if max_seq_len > config.max_position_embeddings:
        raise UsageError(
            '-max_seq_len %d is more than the %d positions that the model was trained with (max_position_embeddings)'
            % (max_seq_len, config.max_position_embeddings)
        )


@dataclass(frozen=True)
class _ConfigFile:
    """The JSON object of a config file; each question about a key names file, key and value when it is refused."""

    path: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: str) -> _ConfigFile:
        return cls(path, read_json_object(path))

    def config(self, layer_norm_eps: float) -> BertConfig:
        config = BertConfig(
            **{name: self.dimension(name) for name in _DIMENSIONS},
            hidden_act=self.activation('hidden_act'),
            layer_norm_eps=layer_norm_eps,
        )
        if config.hidden_size % config.num_attention_heads:
            raise ModelError(
                '%s: hidden_size %d is no multiple of num_attention_heads %d'
                % (self.path, config.hidden_size, config.num_attention_heads)
            )
        return config

    def dimension(self, key: str) -> int:
        value = self._required(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._refusal(key, 'a positive integer', value)
        return value

    def activation(self, key: str) -> str:
        value = self._required(key)
        if not isinstance(value, str) or value.lower() not in ACTIVATIONS:
            raise self._refusal(key, 'one of %s' % ', '.join(sorted(ACTIVATIONS)), value)
        return ACTIVATIONS[value.lower()]

    def epsilon(self, key: str, default: float) -> float:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise self._refusal(key, 'a positive number', value)
        return float(value)

    def only(self, key: str, supported: object, default: object = None) -> None:
        """Refuse any value of `key` but the one supported; a key left out (or null) counts as `default`."""
        value = self.values.get(key)
        if (default if value is None else value) != supported:
            raise self._refusal(key, repr(supported), value)

    def _required(self, key: str) -> Any:
        if key not in self.values:
            raise ModelError('%s: %r is missing' % (self.path, key))
        return self.values[key]

    def _refusal(self, key: str, expected: str, value: object) -> ModelError:
        return ModelError('%s: %r must be %s, not %r' % (self.path, key, expected, value))
