"""The modules of a published model after its encoder: how the states of the tokens become the vector that is answered.

sentence-transformers calls them modules and lists them in `modules.json`. A folder without that file, such as Google's,
has none, and the options of 1.10 say how to pool. Read by `published.py`, built as ops by `graph/`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

PoolingMode = Literal['cls', 'max', 'mean', 'mean_sqrt_len_tokens', 'weightedmean', 'lasttoken']

POOLING_MODES: tuple[PoolingMode, ...] = ('cls', 'max', 'mean', 'mean_sqrt_len_tokens', 'weightedmean', 'lasttoken')
"""In the order in which sentence-transformers puts their vectors side by side."""


@dataclass(frozen=True)
class Pooling:
    """From the states of a row, [T, H], to one vector of H for each mode, side by side in the order of `modes`.

    Without `include_prompt`, the tokens of a prompt do not take part.
    """

    modes: tuple[PoolingMode, ...]
    include_prompt: bool = True


@dataclass(frozen=True)
class Dense:
    """A product with a kernel [outputs, inputs] in the safetensors file `weights`, a bias, and an activation.

    `activation` is one of the values of `model.config.ACTIVATIONS`.
    """

    inputs: int
    outputs: int
    bias: bool
    activation: str
    weights: str


@dataclass(frozen=True)
class LayerNorm:
    """Each vector to mean bias and deviation weight, both [width] in the safetensors file `weights`."""

    width: int
    weights: str
    epsilon: float = 1e-5


@dataclass(frozen=True)
class Normalize:
    """Each vector to length 1; a vector of length 0 stays as it is."""


Module = Dense | LayerNorm | Normalize
"""A module that may come after pooling."""

_MODULES: dict[str, type[Module]] = {'Dense': Dense, 'LayerNorm': LayerNorm, 'Normalize': Normalize}


@dataclass(frozen=True)
class Pipeline:
    """How a published folder is to be used.

    `max_seq_len` counts the special tokens and the prompt; None where the folder says nothing. `prompts` are put before
    a text by their names, that of `default_prompt_name` where a request names none. `similarity` is what its authors
    compare the vectors by.
    """

    pooling: Pooling | None = None
    """None where the options of 1.10 say how to pool; then there are no `modules`."""
    modules: tuple[Module, ...] = ()
    max_seq_len: int | None = None
    lower_case: bool = False
    prompts: dict[str, str] = field(default_factory=dict, hash=False)
    default_prompt_name: str | None = None
    similarity: str | None = None

    @property
    def normalizes(self) -> bool:
        """Whether the last module scales to length 1; the workers do that, and not the graph."""
        return bool(self.modules) and isinstance(self.modules[-1], Normalize)

    def to_json(self) -> dict[str, Any]:
        """For `from_json`, through JSON."""
        return {**asdict(self), 'modules': [[type(m).__name__, asdict(m)] for m in self.modules]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Pipeline:
        pooling = values['pooling']
        if pooling is not None:
            pooling = Pooling(tuple(pooling['modes']), pooling['include_prompt'])
        modules = tuple(_MODULES[name](**fields) for name, fields in values['modules'])
        return cls(**{**values, 'pooling': pooling, 'modules': modules})
