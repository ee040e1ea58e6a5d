"""Load the weights of BERT as NumPy arrays, under the same names for every file format.

Runs in the exporter. Only variables that the graph needs are read: not the Adam slots of a fine-tuned checkpoint, nor
the heads of pre-training. A missing variable stops the startup (1.10 left it random).

The canonical names are Google's, without `bert/`:

    embeddings/word_embeddings                      [V, H]
    embeddings/position_embeddings                  [P, H]
    embeddings/token_type_embeddings                [S, H]
    embeddings/LayerNorm/{gamma,beta}               [H]
    encoder/layer_0/attention/self/query/kernel     [H, H]      and /bias [H]; and key, value
    encoder/layer_0/attention/output/dense/kernel   [H, H]      and /bias [H]
    encoder/layer_0/attention/output/LayerNorm/{gamma,beta}
    encoder/layer_0/intermediate/dense/kernel       [H, F]      and /bias [F]
    encoder/layer_0/output/dense/kernel             [F, H]      and /bias [H]
    encoder/layer_0/output/LayerNorm/{gamma,beta}
    pooler/dense/kernel                             [H, H]      and /bias [H]
    output_weights                                  [C, H]      a head that fine-tuning added
    output_bias                                     [C]

with V words, P positions, S segment types, H hidden units, F units in the feed-forward layer, C labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors

from ..errors import ModelError
from ..model.config import EncoderConfig
from ..model.folder import Model
from .tf import tf

Array = npt.NDArray[np.float32]
Shape = tuple[int, ...]
Variables = Mapping[str, Array]

_MOST_NAMED = 24


def variable_shapes(
    config: EncoderConfig, *, depth: int, position_embeddings: bool = True, pooler: bool = False, num_labels: int = 0
) -> dict[str, Shape]:
    """The variables of the `depth` lowest layers and their shapes, with a head of `num_labels` unless that is 0."""
    hidden, intermediate = config.hidden_size, config.intermediate_size
    shapes: dict[str, Shape] = {}

    def dense(name: str, inputs: int, outputs: int) -> None:
        shapes[name + '/kernel'] = (inputs, outputs)
        shapes[name + '/bias'] = (outputs,)

    def layer_norm(name: str) -> None:
        shapes[name + '/LayerNorm/gamma'] = (hidden,)
        shapes[name + '/LayerNorm/beta'] = (hidden,)

    shapes['embeddings/word_embeddings'] = (config.vocab_size, hidden)
    shapes['embeddings/token_type_embeddings'] = (config.type_vocab_size, hidden)
    if position_embeddings:
        shapes['embeddings/position_embeddings'] = (config.max_position_embeddings, hidden)
    layer_norm('embeddings')
    for index in range(depth):
        layer = 'encoder/layer_%d' % index
        for part in ('query', 'key', 'value'):
            dense('%s/attention/self/%s' % (layer, part), hidden, hidden)
        dense(layer + '/attention/output/dense', hidden, hidden)
        layer_norm(layer + '/attention/output')
        dense(layer + '/intermediate/dense', hidden, intermediate)
        dense(layer + '/output/dense', intermediate, hidden)
        layer_norm(layer + '/output')
    if pooler:
        dense('pooler/dense', hidden, hidden)
    if num_labels:
        shapes['output_weights'] = (num_labels, hidden)
        shapes['output_bias'] = (num_labels,)
    return shapes


def load_variables(
    model: Model, shapes: Mapping[str, Shape], on_read: Callable[[int], None] = lambda _: None
) -> dict[str, Array]:
    """Read the variables with these canonical names and shapes as float32.

    `on_read` is called with the size of each variable in bytes, after it is read.

    Raises:
        ModelError: the file is damaged, or variables are missing or have other shapes; the message names them all.
    """
    with _open(model) as source:
        stored = {name: source.find(name) for name in shapes}
        missing = [source.spellings(name)[0] for name, found in stored.items() if found is None]
        if missing:
            raise ModelError('%s lacks what the graph needs: %s' % (model.weights, _listing(missing)))
        where = {name: found for name, found in stored.items() if found is not None}
        misfits = [
            '%s is %s instead of %s'
            % (found, list(source.shapes[found]), list(source.stored_shape(name, shapes[name])))
            for name, found in where.items()
            if source.shapes[found] != source.stored_shape(name, shapes[name])
        ]
        if misfits:
            raise ModelError(
                '%s does not fit %s and the options: %s' % (model.weights, model.config_path, _listing(misfits))
            )
        variables = {}
        for name, found in where.items():
            variables[name] = source.variable(name, found)
            on_read(variables[name].nbytes)
        return variables


@dataclass(frozen=True)
class _Source:
    """An open file of weights: the shapes of its variables, and its spellings of the canonical names."""

    path: str
    shapes: Mapping[str, Shape]
    read: Callable[[str], npt.NDArray[Any]]
    spellings: Callable[[str], Sequence[str]]
    """The names under which a variable can be stored, the usual one first."""
    kernels_are_transposed: bool
    """Whether a dense kernel is stored [outputs, inputs], as PyTorch does."""

    def find(self, name: str) -> str | None:
        return next((spelling for spelling in self.spellings(name) if spelling in self.shapes), None)

    def stored_shape(self, name: str, shape: Shape) -> Shape:
        return shape[::-1] if self._transposes(name) else shape

    def variable(self, name: str, stored_name: str) -> Array:
        with _readable(self.path):
            values = self.read(stored_name)
        if values.dtype.kind in 'biu':
            raise ModelError('%s: %s holds %s, not floating-point weights' % (self.path, stored_name, values.dtype))
        return np.ascontiguousarray(values.T if self._transposes(name) else values, dtype=np.float32)

    def _transposes(self, name: str) -> bool:
        return self.kernels_are_transposed and name.endswith('/kernel')


@contextmanager
def _open(model: Model) -> Iterator[_Source]:
    with ExitStack() as files:
        with _readable(model.weights):
            if model.kind == 'huggingface':
                file = files.enter_context(safetensors.safe_open(model.weights, framework='numpy'))
                source = _safetensors(model.weights, file)
            else:
                source = _tensorflow_checkpoint(model.weights)
        yield source


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Raise a ModelError for the many exceptions that the two libraries raise for a damaged file."""
    try:
        yield
    except (*_DAMAGED, tf.errors.OpError, safetensors.SafetensorError) as error:
        raise ModelError('%s cannot be read: %s' % (path, str(error) or type(error).__name__)) from error


_DAMAGED = (OSError, ValueError, IndexError, RuntimeError)


def _tensorflow_checkpoint(prefix: str) -> _Source:
    reader = tf.train.load_checkpoint(prefix)
    shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
    return _Source(prefix, shapes, reader.get_tensor, _google_spellings, kernels_are_transposed=False)


def _safetensors(path: str, file: Any) -> _Source:
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)
    return _Source(path, shapes, file.get_tensor, _huggingface_spellings, kernels_are_transposed=True)


def _google_spellings(name: str) -> Sequence[str]:
    """`bert/encoder/layer_0/output/dense/kernel`; a head is outside the `bert` scope."""
    return (name,) if name in _HEAD else ('bert/' + name, name)


def _huggingface_spellings(name: str) -> Sequence[str]:
    """`bert.encoder.layer.0.output.dense.weight`; a plain encoder is stored without `bert.`, a head outside it.

    Early exports name the weights of a LayerNorm gamma and beta, as Google does.
    """
    if name in _HEAD:
        return (_HEAD[name],)
    dotted = name.replace('/', '.').replace('layer_', 'layer.')
    plain = dotted.replace('.gamma', '.weight').replace('.beta', '.bias').replace('.kernel', '.weight')
    if plain.endswith('_embeddings'):
        plain += '.weight'
    return ('bert.' + plain, plain, 'bert.' + dotted, dotted)


_HEAD = {'output_weights': 'classifier.weight', 'output_bias': 'classifier.bias'}


def _listing(items: Sequence[str]) -> str:
    """The items on one line; of a long list, the first ones and the number of others."""
    named = ', '.join(items[:_MOST_NAMED])
    return named if len(items) <= _MOST_NAMED else '%s, and %d more' % (named, len(items) - _MOST_NAMED)
