"""The model card: names, task, prompts and labels of a server's model, from its status.

Pure. The routes check with it that the model supports them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NoReturn

from ..model.pooling import PoolingStrategy
from ..protocol.options import EncodingOptions
from .errors import HTTPError
from .openai_bodies import INPUT_TYPES

Task = Literal['embed', 'rerank', 'classify']

_SCORING = {str(PoolingStrategy.REGRESSION): 'rerank', str(PoolingStrategy.CLASSIFICATION): 'classify'}
"""The strategies of 1.10 that return scores, and their tasks."""

_EXAMPLE = 'cross-encoder/ms-marco-MiniLM-L6-v2'


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The properties of a model that the routes need. The defaults are for a server that does not describe its model.

    `names` are the names in OpenAI's API. `labels` has the labels of the scores, () for an encoder. `pools` says
    whether a text gets one vector instead of one for each token. `started_at` is in seconds since 1970, or 0 if
    unknown.
    """

    names: tuple[str, ...]
    task: Task = 'embed'
    labels: tuple[str, ...] = ()
    pooling: str | None = None
    model_type: str = 'bert'
    max_seq_len: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    started_at: int = 0

    @classmethod
    def from_status(cls, status: Mapping[str, Any], given_names: Sequence[str] = ()) -> ModelCard:
        """Make the card from the `status` of a server. `given_names` replace the name of its model."""
        model = status.get('model')
        if not isinstance(model, Mapping):
            model = {}
        pooling, labels = model.get('pooling'), model.get('labels')
        task = model.get('task', 'embed')
        if pooling in _SCORING:
            task = _SCORING[pooling]
            labels = ['LABEL_%d' % number for number in range(model.get('dimensions') or 1)]
        return cls(
            names=model_names(status, tuple(given_names)),
            task=task,
            labels=tuple(labels or ()),
            pooling=pooling,
            model_type=str(model.get('model_type') or 'bert'),
            max_seq_len=model.get('max_seq_len'),
            prompts=model.get('prompts') or {},
            default_prompt_name=model.get('default_prompt_name'),
            started_at=started_at(status),
        )

    @property
    def pools(self) -> bool:
        """Whether a text gets one vector."""
        return self.pooling != str(PoolingStrategy.NONE)

    def does(self, need: str) -> bool:
        """Whether the model supports a task: to embed, to predict scores, or to rerank."""
        return self.task == need or (need == 'predict' and self.task != 'embed')

    def check_name(self, requested: str | None) -> str:
        """Return the name of the model for the response: the requested name, or by default its first name.

        Raises:
            HTTPError: ModelNotFound if the model has another name.
        """
        if requested is None:
            return self.names[0]
        if requested not in self.names:
            message = 'the model %r is not served here: there is %s' % (requested[:100], ', '.join(self.names))
            raise HTTPError('ModelNotFound', message, 'model')
        return requested

    def check_embeds(self) -> None:
        """Refuse a request for vectors if the model computes scores."""
        if self.task != 'embed':
            message = (
                'this server returns scores, not vectors: serve an encoder, such as '
                'sentence-transformers/all-MiniLM-L6-v2, or use /predict%s'
            )
            raise HTTPError('BadRequest', message % (' or /rerank' if self.task == 'rerank' else ''))

    def check_pools(self) -> None:
        """Refuse a request for one vector per text if the server does not pool or returns scores."""
        self.check_embeds()
        if not self.pools:
            message = 'this server returns a vector for each token: start it with another -pooling_strategy than NONE'
            raise HTTPError('BadRequest', message + ', or use /embed_all')

    def check_does_not_pool(self) -> None:
        """Refuse a request for vectors of tokens unless the server returns them."""
        self.check_embeds()
        if self.pools:
            message = 'this server answers one vector for each text: start it with -pooling_strategy NONE for those of '
            raise HTTPError('BadRequest', message + 'the tokens, or ask /embed')

    def check_predicts(self) -> None:
        """Refuse a request for scores if the model is an encoder."""
        if self.task == 'embed':
            self._refuse_scores('a classifier or a cross-encoder')

    def check_reranks(self) -> None:
        """Refuse a rerank request unless the model computes one score for a pair of texts."""
        if self.task == 'embed':
            self._refuse_scores('a single-label cross-encoder')
        if self.task != 'rerank':
            message = (
                'reranking needs a single-label cross-encoder, such as %s, but this model has %d labels: use /predict'
            )
            raise HTTPError('BadRequest', message % (_EXAMPLE, len(self.labels)))

    def _refuse_scores(self, needed: str) -> NoReturn:
        message = 'this server has an encoder, which computes vectors, not scores: start one with %s, such as %s'
        raise HTTPError('BadRequest', message % (needed, '-model_dir ' + _EXAMPLE))

    def with_prompt_for(self, options: EncodingOptions, input_type: str | None) -> EncodingOptions:
        """Return `options` with the model's prompt for `input_type`, or unchanged if it has none."""
        if input_type is None:
            return options
        known = [name for name in INPUT_TYPES[input_type] if name in self.prompts]
        if known:
            return replace(options, prompt_name=known[0])
        return options if self.default_prompt_name is None else replace(options, prompt='')


def model_names(status: Mapping[str, Any] | None, given: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the model: the `given` ones, or its own name, or () if that is not known yet.

    A server of an earlier release provides only the folder. If it is called `model`, as in Python packages, the name is
    that of its parent folder.
    """
    if given or status is None:
        return given
    model = status.get('model')
    if isinstance(model, Mapping) and model.get('name'):
        return (str(model['name']),)
    folders = [folder for folder in str(status.get('model_dir') or '').split('/') if folder not in ('', 'model')]
    return (folders[-1] if folders else 'bert',)


def started_at(status: Mapping[str, Any]) -> int:
    """The time of the server's start, in seconds since 1970, or 0 if the status lacks it."""
    try:
        return int(datetime.fromisoformat(str(status.get('server_start_time'))).timestamp())
    except ValueError:
        return 0
