"""The pooling strategies: their names, their numbers in the status, and their requirements.

The option table (parser, status) and the graph builder import it. The formulas are in `graph/pooling_ops.py`.
"""

from __future__ import annotations

from enum import Enum


class PoolingStrategy(Enum):
    """The strategy that turns the hidden states of a row, [T, H], into a vector.

    The values are from bert-as-service 1.10, whose status shows them as integers. `CLS_TOKEN` and `SEP_TOKEN` are other
    names of `FIRST_TOKEN` and `LAST_TOKEN`.
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
        """Whether the strategy uses the pooler (dense + tanh on [CLS] of the last layer) instead of `pooling_layer`."""
        return self in (PoolingStrategy.CLS_POOLED, PoolingStrategy.CLASSIFICATION, PoolingStrategy.REGRESSION)

    @property
    def uses_head(self) -> bool:
        """Whether the strategy needs the fine-tuned `output_weights` and `output_bias`."""
        return self in (PoolingStrategy.CLASSIFICATION, PoolingStrategy.REGRESSION)

    @staticmethod
    def from_string(name: str) -> PoolingStrategy:
        """Parse a value of `-pooling_strategy`. Raise KeyError, which names the choices, for an unknown name."""
        try:
            return PoolingStrategy[name]
        except KeyError:
            raise KeyError('%r is none of %s' % (name, ', '.join(PoolingStrategy.__members__))) from None
