"""The pooling strategies: their names, their numbers in the status, and what each needs of the graph.

Imported by the option table (parser, status) and by the graph builder. The formulas themselves are TensorFlow code,
in `graph/pooling_ops.py`.
"""

from __future__ import annotations

from enum import Enum


class PoolingStrategy(Enum):
    """How the hidden states of a row, [T, H], become the vector that is answered.

    The values are those of bert-as-service 1.10, whose status shows them as integers. `CLS_TOKEN` and
    `SEP_TOKEN` are other names of `FIRST_TOKEN` and `LAST_TOKEN`.
    """

    NONE = 0
    REDUCE_MAX = 1
    REDUCE_MEAN = 2
    REDUCE_MEAN_MAX = 3
    FIRST_TOKEN = 4
    LAST_TOKEN = 5
    CLS_POOLED = 6
    CLASSIFICATION = 7
    REGRESSION = 8
    CLS_TOKEN = 4
    SEP_TOKEN = 5

    def __str__(self) -> str:
        return self.name

    @property
    def uses_pooler(self) -> bool:
        """Whether it reads the pooler (dense + tanh on [CLS] of the last layer) instead of `pooling_layer`."""
        return self in (PoolingStrategy.CLS_POOLED, PoolingStrategy.CLASSIFICATION, PoolingStrategy.REGRESSION)

    @property
    def uses_head(self) -> bool:
        """Whether it needs the fine-tuned `output_weights` and `output_bias`."""
        return self in (PoolingStrategy.CLASSIFICATION, PoolingStrategy.REGRESSION)

    @staticmethod
    def from_string(name: str) -> PoolingStrategy:
        """The strategy of that name, as `-pooling_strategy` takes it; KeyError names the choices."""
        try:
            return PoolingStrategy[name]
        except KeyError:
            raise KeyError('%r is none of %s' % (name, ', '.join(PoolingStrategy.__members__))) from None
