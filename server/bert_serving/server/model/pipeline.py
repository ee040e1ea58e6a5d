"""The modules of a published model after its encoder, which turn token states into the vector of a text.

sentence-transformers lists the modules in `modules.json`. A folder without that file, such as Google's, has none, and
the options of 1.10 determine the pooling. `published.py` reads the modules, and `graph/` builds their ops.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

PoolingMode = Literal['cls', 'max', 'mean', 'mean_sqrt_len_tokens', 'weightedmean', 'lasttoken']

POOLING_MODES: tuple[PoolingMode, ...] = ('cls', 'max', 'mean', 'mean_sqrt_len_tokens', 'weightedmean', 'lasttoken')
"""The pooling modes, in the order in which sentence-transformers concatenates their vectors."""


@dataclass(frozen=True)
class Pooling:
    """Pools the states of a row, [T, H], to a vector of H for each mode, concatenated in the order of `modes`.

    Without `include_prompt`, it excludes the tokens of a prompt.
    """

    modes: tuple[PoolingMode, ...]
    include_prompt: bool = True


@dataclass(frozen=True)
class Dense:
    """A product with a kernel [outputs, inputs] in the safetensors file `weights`, a bias, and an activation.

    `activation` is one of the values of `TORCH_ACTIVATIONS`.
    """

    inputs: int
    outputs: int
    bias: bool
    activation: str
    weights: str


@dataclass(frozen=True)
class LayerNorm:
    """Normalizes each vector to mean `bias` and deviation `weight`, both [width] in the safetensors file `weights`."""

    width: int
    weights: str
    epsilon: float = 1e-5


@dataclass(frozen=True)
class Normalize:
    """Scales each vector to length 1. A zero vector stays unchanged."""


Module = Dense | LayerNorm | Normalize
"""A module that can follow pooling."""

_MODULES: dict[str, type[Module]] = {'Dense': Dense, 'LayerNorm': LayerNorm, 'Normalize': Normalize}


@dataclass(frozen=True)
class Pipeline:
    """The intended use of a published model.

    `max_seq_len` includes special tokens and the prompt; it is None if the folder has no limit. `prompts` maps names to
    texts to put before a text; `default_prompt_name` is for requests without a choice. `similarity` is the authors'
    measure for comparing vectors.
    """

    pooling: Pooling | None = None
    """None if the options of 1.10 determine the pooling. Then there are no `modules`."""
    modules: tuple[Module, ...] = ()
    max_seq_len: int | None = None
    lower_case: bool = False
    prompts: dict[str, str] = field(default_factory=dict, hash=False)
    default_prompt_name: str | None = None
    similarity: str | None = None

    @property
    def normalizes(self) -> bool:
        """Whether the last module scales to length 1, which the workers do instead of the graph."""
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
