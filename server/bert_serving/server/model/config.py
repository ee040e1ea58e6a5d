"""The configuration of an encoder, for the graph and the tokenizer, and checks of options against it.

`architectures/` reads an `EncoderConfig` from the JSON file of a model. The parent does that before it starts any
process (`folder.py`), and passes the config to the exporter as JSON. Pure: reads no file, imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..errors import UsageError
from .pooling import PoolingStrategy

ACTIVATIONS: Mapping[str, str] = {
    'gelu': 'gelu',
    'gelu_python': 'gelu',
    'gelu_new': 'gelu_tanh',
    'gelu_fast': 'gelu_tanh',
    'gelu_pytorch_tanh': 'gelu_tanh',
    'gelu_python_tanh': 'gelu_tanh',
    'gelu_accurate': 'gelu_tanh',
    'gelu_10': 'gelu_10',
    'quick_gelu': 'gelu_quick',
    'relu': 'relu',
    'relu2': 'relu2',
    'relu6': 'relu6',
    'leaky_relu': 'leaky_relu',
    'sigmoid': 'sigmoid',
    'hardswish': 'hardswish',
    'laplace': 'laplace',
    'sqrtsoftplus': 'sqrt_softplus',
    'mish': 'mish',
    'tanh': 'tanh',
    'linear': 'linear',
    'silu': 'silu',
    'swish': 'silu',
}
"""The names of activations in Google's and Hugging Face's configurations, with their functions."""


@dataclass(frozen=True)
class Biases:
    """The products of a layer that have a bias, and whether norms have one."""

    attention_in: bool = True
    """The projections to query, key and value."""
    attention_out: bool = True
    feed_forward_in: bool = True
    feed_forward_out: bool = True
    norm: bool = True


@dataclass(frozen=True)
class Rotary:
    """Positions as rotations of queries and keys.

    In a head of D units, units i and D / 2 + i rotate by the angle position / (base ** (2 * i / D) * scale).
    """

    base: float
    scale: float = 1.0


@dataclass(frozen=True)
class RelativeBias:
    """A bias of the attention scores for each head and bucket of distances, the same in every layer (MPNet).

    Half of the `buckets` are for keys before the query. In each half, the first half of the buckets have one distance
    each; the others grow logarithmically up to `max_distance`.
    """

    buckets: int
    max_distance: int = 128


@dataclass(frozen=True)
class Disentangled:
    """Attention scores of contents with the embeddings of relative positions (DeBERTa).

    A distance q - k is a row of a table with 2 * `span` rows; distance 0 is in the middle. If `has_buckets`, distances
    beyond `span` // 2 are in logarithmic buckets up to `max_distance`.
    """

    span: int
    max_distance: int
    has_buckets: bool = True
    content_to_position: bool = True
    position_to_content: bool = True
    shares_projections: bool = True
    """Whether the embeddings of positions use the projections of query and key, not their own."""
    has_norm: bool = True
    """Whether a LayerNorm is applied to the table."""

    @property
    def terms(self) -> int:
        """The number of products in the sum of a score."""
        return 1 + self.content_to_position + self.position_to_content


@dataclass(frozen=True)
class Classifier:
    """The layers between the last encoder layer and the logits, for an encoder fine-tuned for classification.

    A dense layer with `activation` takes one state of the row, [H]; an output layer to the labels follows. `scope` is
    the canonical scope of the dense layer: the pooler of pre-training, or a layer of the head.
    """

    scope: Literal['pooler', 'head'] = 'pooler'
    activation: str = 'tanh'
    has_bias: bool = True
    has_norm: bool = False
    """Whether a LayerNorm follows the activation."""
    pooling: Literal['cls', 'mean'] = 'cls'
    """The state of the row: that of the first token, or the mean of all tokens."""


@dataclass(frozen=True)
class Head:
    """The head of a model that is published for classification, with a score for each of its `labels`.

    `activation` is the function from logits to scores: `sigmoid`, `softmax` over the labels, or `linear`, which leaves
    the logits as they are.
    """

    labels: tuple[str, ...]
    activation: str


def score_activation(name: str, labels: int) -> str | None:
    """Return the activation of a head by its path in CrossEncoder, or None if it is not supported.

    Several labels get a softmax where CrossEncoder returns logits.
    """
    short = name.rpartition('.')[2].lower()
    if short == 'identity':
        return 'linear' if labels == 1 else 'softmax'
    return short if short in ('sigmoid', 'softmax') else None


@dataclass(frozen=True)
class EncoderConfig:
    """The shapes of an encoder's weights, and the formulas between them. The defaults are BERT's.

    `hidden_act` is one of the values (not the keys) of `ACTIVATIONS`.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    """The maximum length of a row in tokens, including special tokens."""
    type_vocab_size: int
    """The number of segment types; 0 if there are no such embeddings."""
    hidden_act: str = 'gelu'
    layer_norm_eps: float = 1e-12
    model_type: str = 'bert'
    embedding_size: int | None = None
    """The width of the embeddings if a projection follows, or None if they are as wide as the states."""
    pad_id: int = 0
    has_position_embeddings: bool = True
    """Whether there is a table of positions, counted from the start of a row."""
    first_position: int = 0
    """The row of that table for the first token. If it is not 0, padding uses the row before it, and positions skip
    padding."""
    has_pooler: bool = True
    """Whether the encoder has a pooler: a dense layer with tanh over the first token."""
    pre_norm: bool = False
    """Whether each half of a layer norms its input instead of its output. Then the first half has no norm, because the
    embeddings are normed, and another norm follows the last layer."""
    gated: bool = False
    """Whether a second product, without activation, is multiplied with the units of the feed-forward layer."""
    biases: Biases = Biases()
    layer_groups: int | None = None
    """The number of groups of consecutive layers with shared weights, or None if each layer has its own."""
    rotary: Rotary | None = None
    local_rotary: Rotary | None = None
    """The rotary positions of the layers with a window."""
    windows: tuple[int, ...] = ()
    """The greatest distance of attention in each layer, 0 for no limit; empty if no layer has a limit."""
    relative_bias: RelativeBias | None = None
    disentangled: Disentangled | None = None
    classifier: Classifier = Classifier()
    head: Head | None = None
    """None unless the model is published for classification."""

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def embedding_width(self) -> int:
        return self.embedding_size or self.hidden_size

    @property
    def position_rows(self) -> int:
        """The number of rows of the table of positions."""
        return self.first_position + self.max_position_embeddings

    def group(self, layer: int) -> int:
        """The number under which the weights of this layer are stored."""
        return layer if self.layer_groups is None else layer * self.layer_groups // self.num_hidden_layers

    def window(self, layer: int) -> int:
        """The greatest distance of attention in a layer, 0 for no limit."""
        return self.windows[layer] if self.windows else 0

    def rotary_of(self, layer: int) -> Rotary | None:
        return self.local_rotary if self.window(layer) and self.local_rotary else self.rotary

    def to_json(self) -> dict[str, Any]:
        """For `from_json`, through JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> EncoderConfig:
        parts = {name: _PARTS[name](**values[name]) for name in _PARTS if values.get(name) is not None}
        head = values.get('head')
        if head is not None:
            parts['head'] = Head(tuple(head['labels']), head['activation'])
        return cls(**{**values, 'windows': tuple(values.get('windows', ())), **parts})


_PARTS: dict[str, Any] = {
    'biases': Biases,
    'rotary': Rotary,
    'local_rotary': Rotary,
    'relative_bias': RelativeBias,
    'disentangled': Disentangled,
    'classifier': Classifier,
}


LONGEST_RELATIVE = 2048
"""The maximum tokens of a row in a model with relative positions: their terms are computed for all pairs at once, so
that 12 heads need 0.8 GB for each of several arrays."""


def resolve_layers(pooling_layer: Sequence[int], config: EncoderConfig) -> tuple[int, ...]:
    """Return the encoder layers of `-pooling_layer`, counted from 0 at the one nearest to the input.

    Order and repetitions are kept, because the layers are concatenated in the given order.
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


def check_max_seq_len(max_seq_len: int | None, config: EncoderConfig, position_embeddings: bool = True) -> None:
    """Reject a `-max_seq_len` beyond the position embeddings of the model, or beyond the memory for attention.

    Without position embeddings, nothing in a BERT depends on the length, and 1.10's check applied only to a graph with
    them. So with `-no_position_embeddings` there is no limit. None (the longest row of each sub-batch) is always valid,
    because sub-batches are limited to `max_position_embeddings`.
    """
    longest = config.max_position_embeddings if max_seq_len is None else max_seq_len
    if (config.relative_bias or config.disentangled) and longest > LONGEST_RELATIVE:
        raise UsageError(
            '%d tokens are too many for the attention of a %s, which needs memory for all pairs of them: give a '
            '-max_seq_len of at most %d' % (longest, config.model_type, LONGEST_RELATIVE)
        )
    if max_seq_len is None or not position_embeddings:
        return
    if max_seq_len > config.max_position_embeddings:
        raise UsageError(
            '-max_seq_len %d is more than the %d positions that the model was trained with (max_position_embeddings)'
            % (max_seq_len, config.max_position_embeddings)
        )


def check_strategy(strategy: PoolingStrategy, config: EncoderConfig) -> None:
    """Reject a `-pooling_strategy` that needs a layer that this model lacks."""
    if strategy is PoolingStrategy.CLS_POOLED and not config.has_pooler:
        raise UsageError(
            '-pooling_strategy CLS_POOLED needs the pooler of pre-training, and a %s has none: use CLS_TOKEN instead'
            % config.model_type
        )


def check_position_embeddings(position_embeddings: bool, config: EncoderConfig) -> None:
    """Reject `-no_position_embeddings` for a model with other positions than a table of embeddings."""
    if not position_embeddings and (config.relative_bias or not config.has_position_embeddings):
        raise UsageError(
            '-no_position_embeddings: the positions of a %s are part of its attention and cannot be left out; remove '
            'the option' % config.model_type
        )
