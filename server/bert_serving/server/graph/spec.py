"""The specification of a graph: the model, the layers and the pooling, types and devices.

It imports TensorFlow only for types, so that looking up a kept graph does not need it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..model.config import Head
from ..model.folder import Model
from ..model.pipeline import Module, Pipeline, Pooling
from ..model.pooling import PoolingStrategy
from ..options.engines import TENSORFLOW
from . import checkpoint
from .checkpoint import WORDS, Shape

LARGEST_WEIGHTS = 2**31 - 1 - 2**24
"""The maximum size of a protobuf message, and so of a graph, less some room for the ops."""

LEAST_APART = 2**24
"""The least size of a table of word embeddings that is worth a separate file."""


@dataclass(frozen=True)
class GraphSpec:
    """The specification of a graph: everything that determines it.

    If there is a `head`, the answers are its scores. Otherwise the pooling of the `pipeline` or, without one,
    `strategy` makes vectors of the `layers`.
    """

    model: Model
    layers: tuple[int, ...]
    """The encoder layers to pool, from `resolve_layers`; pooler and head ignore them."""
    strategy: PoolingStrategy = PoolingStrategy.REDUCE_MEAN
    position_embeddings: bool = True
    num_labels: int = 2
    """The number of labels of CLASSIFICATION."""
    fp16: bool = False
    """Whether the answers are float16."""
    bf16: bool = False
    """Whether weights, products and the states between layers are bfloat16; pooling and answers are float32."""
    on_gpu: bool = False
    """Whether only GPUs run it. `fp16` then also computes in float16, which would be slower on a CPU."""
    on_cpu: bool = False
    """Whether only CPUs run it, without XLA. It can then contain ops that only oneDNN runs.

    A graph for GPUs and CPUs has neither flag: it consists of plain ops, which run on both."""
    engine: str = TENSORFLOW
    """The engine that runs the graph; ONNX Runtime runs one of plain ops, on CPUs only."""
    int8: bool = False
    """Whether ONNX Runtime multiplies bytes."""
    pipeline: Pipeline | None = None
    """The pipeline from the folder of the model. The workers apply a final Normalize."""
    head: Head | None = None
    """The head that the config of the model describes."""
    is_raw: bool = False
    """Whether the answers of a head are its logits, without the activation."""

    @property
    def uses_classifier(self) -> bool:
        """Whether the answers are scores of labels."""
        return self.head is not None or (self.pooling is None and self.strategy.uses_head)

    @property
    def uses_pooler(self) -> bool:
        """Whether the answers are those of the pooler."""
        return not (self.head or self.pooling) and self.strategy is PoolingStrategy.CLS_POOLED

    @property
    def depth(self) -> int:
        """The number of layers to build."""
        uses_last = self.uses_classifier or self.uses_pooler
        return self.model.config.num_hidden_layers if uses_last else max(self.layers) + 1

    @property
    def labels(self) -> int:
        """The width of the head, 0 without one; the head of a regression always has width 1."""
        if not self.uses_classifier:
            return 0
        if self.head:
            return len(self.head.labels)
        return 1 if self.strategy is PoolingStrategy.REGRESSION else self.num_labels

    @property
    def activation(self) -> str:
        """The name of the function from logits to scores."""
        if self.is_raw:
            return 'linear'
        if self.head:
            return self.head.activation
        return 'sigmoid' if self.strategy is PoolingStrategy.REGRESSION else 'softmax'

    @property
    def pooling(self) -> Pooling | None:
        """The pooling of the pipeline; None if there is none, or nothing is pooled."""
        return self.pipeline.pooling if self.pipeline and not self.head else None

    @property
    def modules(self) -> tuple[Module, ...]:
        """The modules after the pooling of the pipeline, without a Normalize that comes last."""
        if self.pipeline is None or self.pooling is None:
            return ()
        return self.pipeline.modules[:-1] if self.pipeline.normalizes else self.pipeline.modules

    @property
    def pooled_width(self) -> int:
        """The width of the vectors that the pooling of the pipeline makes; 0 without one."""
        modes = self.pooling.modes if self.pooling else ()
        return self.model.config.hidden_size * len(self.layers) * len(modes)

    @property
    def has_pooling_mask(self) -> bool:
        """Whether the graph has an input for the tokens that take part in pooling."""
        return self.pooling is not None and not self.pooling.include_prompt

    @property
    def most_tokens(self) -> int:
        """The maximum length of a row in tokens, 0 if it is not bounded."""
        return self.model.config.max_position_embeddings if self.position_embeddings else 0

    @property
    def packs(self) -> bool:
        """Whether padding has no states, so that no product computes any."""
        return self.on_cpu

    @property
    def dtype(self) -> Any:
        """The type of weights and products."""
        from .tf import tf  # takes a second, so only here

        if self.bf16:
            return tf.bfloat16
        return tf.float16 if self.fp16 and self.on_gpu else tf.float32

    @property
    def has_words_apart(self) -> bool:
        """Whether the word embeddings are in a separate file, from which the workers take rows.

        All workers share the pages of that file, while a constant is copied several times in each of them. A GPU takes
        the rows faster from its own memory, so the graph has them there unless it would be too large.
        """
        shapes = self.variable_shapes()
        if self.on_cpu and self._bytes(shapes[WORDS]) >= LEAST_APART:
            return True
        return sum(map(self._bytes, shapes.values())) > LARGEST_WEIGHTS

    def constant_bytes(self) -> int:
        """The size of all constants of the graph."""
        shapes = self.variable_shapes()
        if self.has_words_apart:
            del shapes[WORDS]
        return sum(map(self._bytes, shapes.values()))

    def _bytes(self, shape: Shape) -> int:
        return int(self.dtype.size) * math.prod(shape)

    def variable_shapes(self) -> dict[str, Shape]:
        """The weights that the graph needs, and their shapes."""
        return checkpoint.variable_shapes(
            self.model.config,
            depth=self.depth,
            position_embeddings=self.position_embeddings,
            pooler=self.uses_pooler,
            num_labels=self.labels,
        )
