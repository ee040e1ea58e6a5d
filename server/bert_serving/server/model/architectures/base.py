"""The parts of an architecture's description: validated config values, and places of weights.

The canonical names of weights are those of Google's BERT (`graph/checkpoint.py` lists them). A name is a scope with
`kernel`, `bias`, `gamma` or `beta`, or the name of a table. An architecture lists the scopes with names other than in
Hugging Face's BERT.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import ModelError
from ..config import ACTIVATIONS, EncoderConfig, Head, score_activation
from ..files import read_json_object

MOST_LAYERS = 1024
MOST_UNITS = 2**31 - 1


@dataclass(frozen=True)
class Place:
    """The place of a weight: the tensor `name`, or part `index` of its `count` equal parts along the first axis.

    `transposed` means that it is stored as [outputs, inputs], as in PyTorch.
    """

    name: str
    transposed: bool = False
    index: int = 0
    count: int = 1


@dataclass(frozen=True)
class Packed:
    """A scope whose weights are part `index` of the `count` equal parts, along the outputs, of another `scope`."""

    scope: str
    index: int
    count: int


Spelling = str | Packed


def packed(scopes: Sequence[str], into: str) -> dict[str, Spelling]:
    """Make scopes whose weights are stored one after another in the scope `into`."""
    return {scope: Packed(into, index, len(scopes)) for index, scope in enumerate(scopes)}


_LAYER = re.compile(r'^encoder/layer_(\d+)/')
_LEAVES = {'kernel': ('weight',), 'bias': ('bias',), 'gamma': ('weight', 'gamma'), 'beta': ('bias', 'beta')}
_OUTPUT = {'output_weights': 'weight', 'output_bias': 'bias'}


@dataclass(frozen=True)
class Architecture:
    """One kind of encoder, with its `model_types` in configs.

    `scopes` maps canonical scopes to one or several stored names, where these differ from BERT's. The scope of a layer
    begins with `layer/`, and `{}` stands for the number of the layer. `prefixes` are the possible prefixes of names,
    the usual one first. The scopes in `heads` have no prefix.
    """

    model_types: tuple[str, ...]
    read: Callable[[ConfigFile], EncoderConfig]
    prefixes: tuple[str, ...]
    scopes: Mapping[str, Spelling | Sequence[Spelling]] = field(default_factory=dict)
    heads: Mapping[str, str] = field(default_factory=dict)

    def places(self, name: str) -> list[Place]:
        """Return the possible places of the weight `name`, the usual one first."""
        layer = _LAYER.match(name)
        general = 'layer/' + name[layer.end() :] if layer else name
        scope, _, last = general.rpartition('/')
        leaves: Sequence[str] = _LEAVES.get(last, ())
        if general in _OUTPUT:
            scope, leaves = 'output', [_OUTPUT[general]]
        elif not leaves:
            scope, leaves = general, ['weight']
        number = layer.group(1) if layer else ''
        return [
            Place('%s.%s' % (stored, leaf), last == 'kernel', index, count)
            for stored, index, count in self._stored(scope, number)
            for leaf in leaves
        ]

    def _stored(self, scope: str, layer: str) -> Iterable[tuple[str, int, int]]:
        """The stored scopes of a canonical scope, and its part in each."""
        if scope in self.heads:
            yield self.heads[scope], 0, 1
            return
        spellings = self.scopes.get(scope)
        if spellings is None:
            spellings = scope.replace('layer/', 'encoder/layer/{}/', 1).replace('/', '.')
        if isinstance(spellings, str | Packed):
            spellings = [spellings]
        for prefix in self.prefixes:
            for spelling in spellings:
                part = spelling if isinstance(spelling, Packed) else Packed(spelling, 0, 1)
                yield prefix + part.scope.format(layer), part.index, part.count


@dataclass(frozen=True)
class ConfigFile:
    """The JSON object of a config file. Its methods validate values, with a ModelError that names file, key and value.

    If a method gets several keys, the first one that is present and not null counts. `within` is the prefix of keys in
    errors: the name of the object around them.
    """

    path: str
    values: Mapping[str, Any]
    within: str = ''
    is_classifier: bool = False
    """Whether the folder uses the model as a cross-encoder, even if `architectures` does not say so."""

    @classmethod
    def read(cls, path: str, *, is_classifier: bool = False) -> ConfigFile:
        return cls(path, read_json_object(path), is_classifier=is_classifier)

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def dimensions(self, **keys: str) -> dict[str, int]:
        """Read several dimensions, given by field names and keys."""
        return {name: self.dimension(key) for name, key in keys.items()}

    def dimension(self, *keys: str, default: int | None = None, least: int = 1, most: int = MOST_UNITS) -> int:
        key = self._first(keys)
        if default is not None and not self.has(key):
            return default
        value = self._required(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.refusal(key, 'a positive integer' if least == 1 else 'an integer, %d or more' % least, value)
        if value > most:
            raise self.refusal(key, 'at most %d' % most, value)
        return value

    def activation(self, *keys: str, default: str | None = None) -> str:
        key = self._first(keys)
        value = default if default is not None and not self.has(key) else self._required(key)
        if not isinstance(value, str) or value.lower() not in ACTIVATIONS:
            raise self.refusal(key, 'one of %s' % ', '.join(sorted(ACTIVATIONS)), value)
        return ACTIVATIONS[value.lower()]

    def number(self, *keys: str, default: float) -> float:
        """Read a positive number."""
        key = self._first(keys)
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise self.refusal(key, 'a positive number', value)
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self.values[key] if self.has(key) else default
        if not isinstance(value, bool):
            raise self.refusal(key, 'true or false', value)
        return value

    def choice(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        value = self.values[key] if self.has(key) else default
        if value not in choices:
            raise self.refusal(key, 'one of %s' % ', '.join(choices), value)
        return str(value)

    def only(self, key: str, supported: object, default: object = None) -> None:
        """Reject every value of `key` except `supported`. A missing key (or null) counts as `default`."""
        value = self.values.get(key)
        if (default if value is None else value) != supported:
            raise self.refusal(key, repr(supported), value)

    def section(self, key: str) -> ConfigFile | None:
        """The JSON object under `key`, or None if the key is missing."""
        if not self.has(key):
            return None
        value = self.values[key]
        if not isinstance(value, dict):
            raise self.refusal(key, 'an object', value)
        return ConfigFile(self.path, value, self.within + key + '.')

    def refusal(self, key: str, expected: str, value: object) -> ModelError:
        return ModelError('%s: %r must be %s, not %s' % (self.path, self.within + key, expected, _shown(value)))

    def encoder(self, **fields: Any) -> EncoderConfig:
        """Make an EncoderConfig from these fields, and check that its heads divide the hidden units."""
        config = EncoderConfig(**fields)
        if config.hidden_size % config.num_attention_heads:
            raise ModelError(
                '%s: hidden_size %d is no multiple of num_attention_heads %d'
                % (self.path, config.hidden_size, config.num_attention_heads)
            )
        if config.rotary and config.head_size % 2:
            raise ModelError(
                '%s: rotary positions need an even number of units in a head, not %d' % (self.path, config.head_size)
            )
        return config

    def head(self) -> Head | None:
        """The head of the model, or None for an encoder.

        A cross-encoder whose class is not a `...ForSequenceClassification` has one label, as in CrossEncoder.
        """
        names = self.values.get('architectures') or []
        if not isinstance(names, list):
            raise self.refusal('architectures', 'a list', names)
        if any(str(name).endswith('ForSequenceClassification') for name in names):
            labels = self._labels()
        elif self.is_classifier:
            labels = ('LABEL_0',)
        else:
            return None
        return Head(labels, self._head_activation(len(labels)))

    def _labels(self) -> tuple[str, ...]:
        if not self.has('id2label'):
            return tuple('LABEL_%d' % index for index in range(self.dimension('num_labels', default=2, most=2**20)))
        named = self.values['id2label']
        if not isinstance(named, dict) or set(named) != {str(index) for index in range(len(named))} or not named:
            raise self.refusal('id2label', 'an object with a name for each number from 0 up', named)
        return tuple(str(named[str(index)]) for index in range(len(named)))

    def _head_activation(self, labels: int) -> str:
        """The activation of CrossEncoder, except that several labels get a softmax where it would return logits."""
        file, key = self.section('sentence_transformers'), 'activation_fn'
        if file is None or not file.has(key):
            file, key = self, 'sbert_ce_default_activation_function'
        if not file.has(key):
            return 'sigmoid' if labels == 1 else 'softmax'
        activation = score_activation(str(file.values[key]), labels)
        if activation is None:
            raise file.refusal(key, 'Identity, Sigmoid or Softmax of torch', file.values[key])
        return activation

    def _first(self, keys: Sequence[str]) -> str:
        return next((key for key in keys if self.has(key)), keys[0])

    def _required(self, key: str) -> Any:
        if key not in self.values:
            raise ModelError('%s: %r is missing' % (self.path, self.within + key))
        return self.values[key]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + '...'
