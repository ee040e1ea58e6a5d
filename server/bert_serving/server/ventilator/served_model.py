"""The options that a request may have for the model that is served.

The ventilator checks it before a request waits for its turn, and replaces the name of a prompt by its text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ..errors import RequestError
from ..protocol.options import EncodingOptions

Resolve: TypeAlias = Callable[[EncodingOptions], EncodingOptions]

SMALL_TYPES = ('int8', 'binary', 'ubinary')
"""The types that only a pooled vector can have."""


def as_it_is(options: EncodingOptions) -> EncodingOptions:
    """Return the options unchecked."""
    return options


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The answers of a server.

    `dimensions` is the width of an answer. `is_token_level` says that it is the states of the tokens and no vector;
    `has_scores`, that it is scores; `has_logits`, that the scores can also be had without their activation.
    """

    dimensions: int
    prompts: Mapping[str, str] = field(default_factory=dict)
    is_token_level: bool = False
    has_scores: bool = False
    has_logits: bool = False

    def resolve(self, options: EncodingOptions) -> EncodingOptions:
        """Check the options; return them with the text of the prompt that they name.

        Raises:
            RequestError: the model cannot do what they ask for.
        """
        if options.raw is not None and not self.has_scores:
            raise RequestError(
                'raw: the model answers vectors, not scores: for predict and rerank, serve a cross-encoder or a classifier'
            )
        if options.raw and not self.has_logits:
            raise RequestError('raw: -pooling_strategy of the server answers scores only: ask without raw')
        if self.has_scores or self.is_token_level:
            self._refuse_options_of_vectors(options)
        if options.dimensions is not None and options.dimensions > self.dimensions:
            raise RequestError(
                'dimensions: expected at most %d, the width of the vectors of the model, got %d'
                % (self.dimensions, options.dimensions)
            )
        if options.prompt_name is None:
            return options
        if options.prompt_name not in self.prompts:
            known = ', '.join(sorted(self.prompts)) or 'none'
            raise RequestError(
                'prompt_name: the model has no prompt %.64r: the known ones are %s' % (options.prompt_name, known)
            )
        return replace(options, prompt=self.prompts[options.prompt_name], prompt_name=None)

    def _refuse_options_of_vectors(self, options: EncodingOptions) -> None:
        answers = 'scores' if self.has_scores else 'the states of the tokens'
        for name, is_asked in (
            ('normalize', options.normalize),
            ('dimensions', options.dimensions is not None),
            ('dtype', options.dtype in SMALL_TYPES),
        ):
            if is_asked:
                raise RequestError('%s: expected a server of vectors for this, but it answers %s' % (name, answers))
