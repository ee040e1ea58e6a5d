"""The model that a server has, as its status describes it: names, task, prompts and labels.

Pure. The routes ask it whether the model can do what they are for.
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
"""The strategies of 1.10 that answer scores, and their tasks."""

_EXAMPLE = 'cross-encoder/ms-marco-MiniLM-L6-v2'


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The properties of a model that the routes need; the defaults are those of a server that does not describe it.

    `names` are those in OpenAI's API. `labels` are those of the scores, () for an encoder. `pools` says whether a text
    has one vector, not one for each token. `started_at` is in seconds since 1970, 0 if not known.
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
        """The card of the server that has sent `status`; `given_names` replace the name of its model."""
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
        """Whether the model is for it: to embed, to predict scores, or to rerank by one."""
        return self.task == need or (need == 'predict' and self.task != 'embed')

    def check_name(self, requested: str | None) -> str:
        """The name of the model in the response: the requested one, else its first.

        Raises:
            HTTPError: ModelNotFound, it has no such name.
        """
        if requested is None:
            return self.names[0]
        if requested not in self.names:
            message = 'the model %r is not served here: there is %s' % (requested[:100], ', '.join(self.names))
            raise HTTPError('ModelNotFound', message, 'model')
        return requested

    def check_embeds(self) -> None:
        """Refuse a request for vectors if the model answers scores."""
        if self.task != 'embed':
            message = (
                'this server answers scores, not vectors: serve an encoder, such as '
                'sentence-transformers/all-MiniLM-L6-v2, or ask /predict%s'
            )
            raise HTTPError('BadRequest', message % (' or /rerank' if self.task == 'rerank' else ''))

    def check_pools(self) -> None:
        """Refuse a request for one vector a text if the server does not pool, or answers scores."""
        self.check_embeds()
        if not self.pools:
            message = 'this server answers a vector for each token: start it with another -pooling_strategy than NONE'
            raise HTTPError('BadRequest', message + ', or ask /embed_all')

    def check_does_not_pool(self) -> None:
        """Refuse a request for the vectors of tokens unless the server answers them."""
        self.check_embeds()
        if self.pools:
            message = 'this server answers one vector for each text: start it with -pooling_strategy NONE for those of '
            raise HTTPError('BadRequest', message + 'the tokens, or ask /embed')

    def check_predicts(self) -> None:
        """Refuse a request for scores if the model is an encoder."""
        if self.task == 'embed':
            self._refuse_scores('a classifier or a cross-encoder')

    def check_reranks(self) -> None:
        """Refuse a request for a ranking unless the model gives a pair of texts one score."""
        if self.task == 'embed':
            self._refuse_scores('a cross-encoder of one label')
        if self.task != 'rerank':
            message = 'a ranking needs a cross-encoder of one label, such as %s; this model has %d labels: ask /predict'
            raise HTTPError('BadRequest', message % (_EXAMPLE, len(self.labels)))

    def _refuse_scores(self, needed: str) -> NoReturn:
        message = 'this server has an encoder, which gives vectors and no scores: start one with %s, such as %s'
        raise HTTPError('BadRequest', message % (needed, '-model_dir ' + _EXAMPLE))

    def with_prompt_for(self, options: EncodingOptions, input_type: str | None) -> EncodingOptions:
        """`options` with the prompt that the model has for an `input_type`, or with none if it has no such prompt."""
        if input_type is None:
            return options
        known = [name for name in INPUT_TYPES[input_type] if name in self.prompts]
        if known:
            return replace(options, prompt_name=known[0])
        return options if self.default_prompt_name is None else replace(options, prompt='')


def model_names(status: Mapping[str, Any] | None, given: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the model: those that were `given`, else its own name; () if it is not known yet.

    A server of an earlier release tells only the folder. If that is called `model`, as in Python packages, the name is
    that of its parent.
    """
    if given or status is None:
        return given
    model = status.get('model')
    if isinstance(model, Mapping) and model.get('name'):
        return (str(model['name']),)
    folders = [folder for folder in str(status.get('model_dir') or '').split('/') if folder not in ('', 'model')]
    return (folders[-1] if folders else 'bert',)


def started_at(status: Mapping[str, Any]) -> int:
    """The time of the server's start, in seconds since 1970; 0 if its status does not contain it."""
    try:
        return int(datetime.fromisoformat(str(status.get('server_start_time'))).timestamp())
    except ValueError:
        return 0
