"""Load the weights of an encoder as NumPy arrays, under the same names for every architecture and file format.

Runs in the exporter. It reads only weights that the graph needs, not the Adam slots of a fine-tuned checkpoint or the
heads of pre-training. A weight that is missing (1.10 left it random) or not finite stops the startup.

The canonical names are Google's, without `bert/`. The config determines which ones a model has:

    embeddings/word_embeddings                      [V, E]
    embeddings/position_embeddings                  [P, E]
    embeddings/token_type_embeddings                [S, E]
    embeddings/LayerNorm/{gamma,beta}               [E]
    embeddings/projection/kernel                    [E, H]      and /bias [H]; if E is not H
    encoder/layer_0/attention/self/query/kernel     [H, H]      and /bias [H]; and key, value
    encoder/layer_0/attention/output/dense/kernel   [H, H]      and /bias [H]
    encoder/layer_0/attention/output/LayerNorm/{gamma,beta}     of the input of the attention where norms come first
    encoder/layer_0/intermediate/dense/kernel       [H, F]      and /bias [F]
    encoder/layer_0/intermediate/gate/kernel        [H, F]      and /bias [F]; the factors of gated units
    encoder/layer_0/output/dense/kernel             [F, H]      and /bias [H]
    encoder/layer_0/output/LayerNorm/{gamma,beta}
    encoder/LayerNorm/{gamma,beta}                  after the last layer, where norms come first
    encoder/relative_attention_bias                 [R, N]      a number for each bucket of distances
    encoder/relative_embeddings                     [2 * span, H]           and /LayerNorm/{gamma,beta}
    encoder/layer_0/attention/self/position_key/kernel          [H, H]      and /bias [H]; and position_query
    pooler/dense/kernel                             [H, H]      and /bias [H]
    head/dense/kernel                               [H, H]      and /bias [H]; and head/LayerNorm/{gamma,beta}
    output_weights                                  [C, H]      a head that fine-tuning added
    output_bias                                     [C]

with V words, P positions, S segment types, E units of an embedding, H hidden units, F units in the feed-forward layer,
N heads, R buckets of distances, C labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ModelError
from ..model.architectures import Place, google_places, places
from ..model.config import EncoderConfig
from ..model.folder import Model
from ..model.safetensors_file import Tensor, read_tensors

Array = npt.NDArray[np.float32]
Shape = tuple[int, ...]
Variables = Mapping[str, Array]

WORDS = 'embeddings/word_embeddings'
POSITIONS = 'embeddings/position_embeddings'

_MOST_NAMED = 24
_PART_BYTES = 2**24
"""Bytes of a table to check at a time."""


def variable_shapes(
    config: EncoderConfig, *, depth: int, position_embeddings: bool = True, pooler: bool = False, num_labels: int = 0
) -> dict[str, Shape]:
    """The weights and shapes of the `depth` lowest layers, with a head of `num_labels` unless that is 0."""
    weights = _Weights(config)
    weights.add_embeddings(position_embeddings)
    weights.add_relative_positions()
    for index in range(depth):
        layer = 'encoder/layer_%d' % config.group(index)
        weights.add_attention(layer, has_norm=bool(index) or not config.pre_norm)
        weights.add_feed_forward(layer)
    if config.pre_norm and depth == config.num_hidden_layers:
        weights.add_layer_norm('encoder')
    if pooler:
        weights.add_dense('pooler/dense', config.hidden_size, config.hidden_size)
    if num_labels:
        weights.add_classifier(num_labels)
    return weights.shapes


class _Weights:
    """Collects the weights of a model by their canonical names, with their shapes."""

    def __init__(self, config: EncoderConfig) -> None:
        self.shapes: dict[str, Shape] = {}
        self._config = config
        self._hidden = config.hidden_size

    def add_dense(self, name: str, inputs: int, outputs: int, has_bias: bool = True) -> None:
        self.shapes[name + '/kernel'] = (inputs, outputs)
        if has_bias:
            self.shapes[name + '/bias'] = (outputs,)

    def add_layer_norm(self, name: str, width: int | None = None) -> None:
        """Add a LayerNorm over `width` values, by default the hidden size."""
        self.shapes[name + '/LayerNorm/gamma'] = (width or self._hidden,)
        if self._config.biases.norm:
            self.shapes[name + '/LayerNorm/beta'] = (width or self._hidden,)

    def add_embeddings(self, position_embeddings: bool) -> None:
        config, width = self._config, self._config.embedding_width
        self.shapes[WORDS] = (config.vocab_size, width)
        if config.type_vocab_size:
            self.shapes['embeddings/token_type_embeddings'] = (config.type_vocab_size, width)
        if position_embeddings and config.has_position_embeddings:
            self.shapes[POSITIONS] = (config.position_rows, width)
        self.add_layer_norm('embeddings', width)
        if config.embedding_size:
            self.add_dense('embeddings/projection', config.embedding_size, self._hidden)

    def add_relative_positions(self) -> None:
        """Add the shared weights for relative positions: the biases of MPNet, or the embeddings of DeBERTa."""
        bias, relative = self._config.relative_bias, self._config.disentangled
        if bias:
            self.shapes['encoder/relative_attention_bias'] = (bias.buckets, self._config.num_attention_heads)
        if relative:
            self.shapes['encoder/relative_embeddings'] = (2 * relative.span, self._hidden)
            if relative.has_norm:
                self.add_layer_norm('encoder/relative_embeddings')

    def add_attention(self, layer: str, has_norm: bool) -> None:
        hidden, biases, relative = self._hidden, self._config.biases, self._config.disentangled
        for part in ('query', 'key', 'value'):
            self.add_dense('%s/attention/self/%s' % (layer, part), hidden, hidden, biases.attention_in)
        if relative and not relative.shares_projections:
            if relative.content_to_position:
                self.add_dense(layer + '/attention/self/position_key', hidden, hidden)
            if relative.position_to_content:
                self.add_dense(layer + '/attention/self/position_query', hidden, hidden)
        self.add_dense(layer + '/attention/output/dense', hidden, hidden, biases.attention_out)
        if has_norm:
            self.add_layer_norm(layer + '/attention/output')

    def add_feed_forward(self, layer: str) -> None:
        hidden, inner, biases = self._hidden, self._config.intermediate_size, self._config.biases
        self.add_dense(layer + '/intermediate/dense', hidden, inner, biases.feed_forward_in)
        if self._config.gated:
            self.add_dense(layer + '/intermediate/gate', hidden, inner, biases.feed_forward_in)
        self.add_dense(layer + '/output/dense', inner, hidden, biases.feed_forward_out)
        self.add_layer_norm(layer + '/output')

    def add_classifier(self, num_labels: int) -> None:
        """Add the head: a dense layer, a LayerNorm if the model has one, and the weights of the labels."""
        classifier = self._config.classifier
        self.add_dense(classifier.scope + '/dense', self._hidden, self._hidden, classifier.has_bias)
        if classifier.has_norm:
            self.add_layer_norm(classifier.scope)
        self.shapes['output_weights'] = (num_labels, self._hidden)
        self.shapes['output_bias'] = (num_labels,)


class Weights:
    """The weights of a model by canonical name. Each is read, and checked to be finite, on demand."""

    def __init__(self, model: Model, shapes: Mapping[str, Shape]) -> None:
        """Open the weights, and find all weights in `shapes`.

        Raises:
            ModelError: a file is damaged, or weights are missing or have other shapes; the message names them all.
        """
        self._path = model.weights
        self._source = source = _open(model)
        found = {name: source.find(name) for name in shapes}
        missing = [source.places(name)[0].name for name, place in found.items() if place is None]
        if missing:
            raise ModelError('%s lacks what the graph needs: %s' % (model.weights, _listing(missing)))
        self._places = {name: place for name, place in found.items() if place is not None}
        misfits = {
            place.name: '%s is %s instead of %s' % (place.name, list(source.shapes[place.name]), list(wanted))
            for name, place in self._places.items()
            if source.shapes[place.name] != (wanted := _stored_shape(place, shapes[name]))
        }
        if misfits:
            raise ModelError(
                '%s does not fit %s and the options: %s'
                % (model.weights, model.config_path, _listing(list(misfits.values())))
            )

    def read(self, name: str) -> Array:
        """Read a weight as float32. If a safetensors file stores float32, the result is a view, possibly transposed.

        Raises:
            ModelError: a value is not finite, or the file is damaged.
        """
        place = self._places[name]
        values = self._source.variable(place)
        by_rows = values if values.flags.c_contiguous else values.T
        for start, end in _row_ranges(by_rows):
            self._check_finite(place, by_rows[start:end])
        return values

    def read_rows(self, name: str) -> Iterator[Array]:
        """Read the rows of a table as float32, a few at a time. Errors are as in `read`."""
        place = self._places[name]
        rows, width = self._source.shapes[place.name]
        for start, end in _row_ranges(np.broadcast_to(np.float32(0), (rows, width))):
            part = self._source.read(place.name, start, end)
            self._check_finite(place, part)
            yield part

    def _check_finite(self, place: Place, values: Array) -> None:
        if not np.isfinite(values).all():
            raise ModelError(
                '%s: %s has values that are not finite (%s): the model is damaged, download or train it again'
                % (self._path, place.name, 'NaN' if np.isnan(values).any() else 'infinity')
            )


def _row_ranges(values: Array) -> Iterator[tuple[int, int]]:
    """The ranges of rows to read at a time, because a table can have a gigabyte."""
    rows = max(1, _PART_BYTES // max(1, 4 * math.prod(values.shape[1:])))
    for start in range(0, len(values), rows):
        yield start, min(start + rows, len(values))


def load_variables(
    model: Model, shapes: Mapping[str, Shape], on_read: Callable[[int], None] = lambda _: None
) -> dict[str, Array]:
    """Read the variables with these canonical names and shapes as float32.

    `on_read` is called with the size of each variable in bytes, after reading and checking it.

    Raises:
        ModelError: as for `Weights`, or a value is not finite.
    """
    return read_variables(Weights(model, shapes), shapes, on_read)


def read_variables(weights: Weights, names: Iterable[str], on_read: Callable[[int], None]) -> dict[str, Array]:
    """Read the variables with these names. `on_read` is called with the size of each in bytes."""
    variables = {}
    for name in names:
        variables[name] = weights.read(name)
        on_read(variables[name].nbytes)
    return variables


@dataclass(frozen=True)
class _Source:
    """Open weights: the shapes of all stored tensors, and the possible places of canonical names."""

    shapes: Mapping[str, Shape]
    read: Callable[[str, int, int | None], npt.NDArray[Any]]
    """Read a tensor, optionally only a range of rows."""
    places: Callable[[str], Sequence[Place]]

    def find(self, name: str) -> Place | None:
        return next((place for place in self.places(name) if place.name in self.shapes), None)

    def variable(self, place: Place) -> Array:
        values = self.read(place.name, 0, None)
        if place.count > 1:
            values = np.split(values, place.count)[place.index]
        return values.T if place.transposed else values


def _stored_shape(place: Place, shape: Shape) -> Shape:
    """The shape of the stored tensor that contains a variable of `shape`."""
    first, *rest = shape[::-1] if place.transposed else shape
    return (first * place.count, *rest)


def _open(model: Model) -> _Source:
    if model.kind == 'google':
        return _tensorflow_checkpoint(model.weights)
    tensors = read_tensors(model.weights)
    return _Source(
        {name: tensor.shape for name, tensor in tensors.items()},
        lambda name, start, end: tensors[name].read(start, end),
        lambda name: places(model.config.model_type, name),
    )


def _tensorflow_checkpoint(prefix: str) -> _Source:
    from .google_checkpoint import open_checkpoint  # the only format that needs TensorFlow

    shapes, read = open_checkpoint(prefix)
    return _Source(shapes, lambda name, start, end: read(name)[start:end], google_places)


def load_module(path: str, shapes: Mapping[str, Shape]) -> dict[str, Array]:
    """Read the tensors of these stored names and shapes from the safetensors file of a module.

    Raises:
        ModelError: as in `load_variables`.
    """
    tensors = read_tensors(path)
    missing = [name for name in shapes if name not in tensors]
    if missing:
        raise ModelError('%s lacks what the graph needs: %s' % (path, _listing(missing)))
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise ModelError(
                '%s does not fit its config.json: %s is %s instead of %s'
                % (path, name, list(tensors[name].shape), list(shape))
            )
    return {name: _checked(path, tensors[name]) for name in shapes}


def _checked(path: str, tensor: Tensor) -> Array:
    values = tensor.read()
    if not np.isfinite(values).all():
        raise ModelError('%s: %s has values that are not finite: the model is damaged' % (path, tensor.name))
    return values


def _listing(items: Sequence[str]) -> str:
    """Format items on one line: for a long list, the first ones and the number of others."""
    named = ', '.join(items[:_MOST_NAMED])
    return named if len(items) <= _MOST_NAMED else '%s, and %d more' % (named, len(items) - _MOST_NAMED)


def count_parameters(shapes: Mapping[str, Shape]) -> int:
    return sum(map(math.prod, shapes.values()))
