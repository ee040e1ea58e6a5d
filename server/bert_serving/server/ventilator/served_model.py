"""Check the options of requests against the served model.

The ventilator checks a request before queuing it, and replaces the name of a prompt by its text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ..errors import RequestError
from ..protocol.options import EncodingOptions

Resolve: TypeAlias = Callable[[EncodingOptions], EncodingOptions]

SMALL_TYPES = ('int8', 'binary', 'ubinary')
"""The types that only pooled vectors can have."""


def as_it_is(options: EncodingOptions) -> EncodingOptions:
    """Return the options unchanged and unchecked."""
    return options


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The properties of the served model that options depend on.

    `dimensions` is the width of a result. `is_token_level` means that results are token states instead of vectors, and
    `has_scores` that they are scores. With `has_logits`, scores are also available without their activation.
    """

    dimensions: int
    prompts: Mapping[str, str] = field(default_factory=dict)
    is_token_level: bool = False
    has_scores: bool = False
    has_logits: bool = False

    def resolve(self, options: EncodingOptions) -> EncodingOptions:
        """Check the options, and return them with the text of the named prompt.

        Raises:
            RequestError: the model does not support an option.
        """
        if options.raw is not None and not self.has_scores:
            raise RequestError(
                'raw: the model computes vectors, not scores: for predict and rerank, serve a cross-encoder or a '
                'classifier'
            )
        if options.raw and not self.has_logits:
            raise RequestError('raw: -pooling_strategy of the server returns only scores: leave out raw')
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
                raise RequestError(
                    '%s: only works for vectors, but this server returns %s: leave it out' % (name, answers)
                )
