"""Read how sentence-transformers uses the encoder of a published folder: its maximum length, case, and output.

Most folders have two of the keys for this, or none. The others can change the answers, so a value that the server does
not apply is an error that names it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError
from .files import read_json_object
from .module_settings import ModuleSettings

ENCODER_CONFIGS = tuple(
    'sentence_%s_config.json' % name
    for name in ('bert', 'roberta', 'distilbert', 'camembert', 'albert', 'xlm-roberta', 'xlnet')
)
"""The files in the encoder's folder that can have the maximum length of inputs."""

_LOADING = frozenset(
    'trust_remote_code revision token cache_dir local_files_only subfolder use_safetensors low_cpu_mem_usage device_map '
    'torch_dtype dtype attn_implementation use_memory_efficient_attention unpad_inputs add_pooling_layer use_cache '
    'default_task'.split()
)
"""Arguments that determine where and how transformers loads and computes, but not the answers."""

_OF_MODEL, _OF_CONFIG = ('model_kwargs', 'model_args'), ('config_kwargs', 'config_args')
_OF_TOKENIZER = 'processor_kwargs', 'tokenizer_args'
"""The new and the old key of the arguments for each part."""

_LENGTH = 'model_max_length'
_TOKENIZING = _LOADING | {_LENGTH, 'use_fast', 'padding_side', 'clean_up_tokenization_spaces'}

_OUTPUTS: Mapping[str, Sequence[Any]] = {
    'feature-extraction': ('last_hidden_state', ['last_hidden_state'], ['hidden_states', -1]),
    'sequence-classification': ('logits', ['logits']),
}
"""The tasks of an encoder, with the names of the output."""


@dataclass(frozen=True)
class EncoderSettings:
    """How an encoder is used. `max_seq_len` is None if there is no limit, or an absurd one."""

    max_seq_len: int | None
    lower_case: bool
    is_classifier: bool = False
    """Whether the task of the encoder is to score texts, so that it has no states to pool."""

    @classmethod
    def read(cls, encoder: str) -> EncoderSettings:
        """Read the settings in an encoder's folder.

        Raises:
            ModelError: a value is invalid or not supported; the message names it.
        """
        paths = [os.path.join(encoder, name) for name in ENCODER_CONFIGS]
        settings = ModuleSettings.read(next(filter(os.path.lexists, paths), paths[0]), optional=True)
        for keys in (_OF_MODEL, _OF_CONFIG):
            _arguments(settings, keys, _LOADING)
        task = _read_task(settings)
        for key in ('query_length', 'document_length'):  # which only `encode_query` and `encode_document` apply
            if settings.value(key) is not None:
                settings.size(key)
        settings.only('query_expansion', None)
        lower_case = settings.flag('do_lower_case', default=False)
        return cls(_read_length(encoder, settings), lower_case, task == 'sequence-classification')


def _read_length(encoder: str, settings: ModuleSettings) -> int | None:
    """The maximum tokens of a row. The limits of sentence-transformers take precedence over the tokenizer's."""
    for source, value in _lengths(encoder, settings):
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 4:
                raise ModelError('%s: %s must be a number of at least 4, not %r' % (encoder, source, value))
            return int(value) if value < 1 << 31 else None  # transformers writes 10^30 for "no limit"
    return None


def _lengths(encoder: str, settings: ModuleSettings) -> Sequence[tuple[str, Any]]:
    """The values for the maximum length with their sources, in the order of precedence."""
    call = _processing(settings)
    tokenizer = _arguments(settings, _OF_TOKENIZER, _TOKENIZING)
    path = os.path.join(encoder, 'tokenizer_config.json')
    own = read_json_object(path) if os.path.lexists(path) else {}
    key = 'model_max_length' if 'model_max_length' in own else 'max_len'  # the key of the first releases
    return (
        ('processing_kwargs.text.max_length', call.get('max_length')),
        (_LENGTH, tokenizer.get(_LENGTH)),
        ('max_seq_length', settings.value('max_seq_length')),
        ('%s: %s' % (path, key), own.get(key)),
    )


def _arguments(settings: ModuleSettings, keys: tuple[str, str], known: Set[str]) -> Mapping[str, Any]:
    """The arguments under the new or the old key, of which only the `known` ones are supported."""
    key = keys[1] if keys[1] in settings.values else keys[0]
    values = settings.section(key)
    for name, value in values.items():
        if name not in known:
            raise settings.refusal(key, 'without %r, which the server does not apply' % name, {name: value})
    return values


def _processing(settings: ModuleSettings) -> Mapping[str, Any]:
    """The arguments for calls of the tokenizer, of which only the length of texts is supported."""
    key = 'processing_kwargs'
    calls = settings.section(key)
    texts = calls.get('text')
    texts = {} if texts is None else texts
    if not isinstance(texts, dict) or set(texts) - {'max_length', 'padding', 'pad_to_multiple_of'}:
        raise settings.refusal(key, 'a max_length of texts', {'text': texts})
    if calls.get('common') or calls.get('chat_template'):
        raise settings.refusal(key, 'a max_length of texts', calls)
    return texts


def _read_task(settings: ModuleSettings) -> str:
    """The task of the encoder, whose output is the states of its last layer or the logits of its head.

    Raises:
        ModelError: the settings ask for another output.
    """
    task = settings.value('transformer_task') or 'feature-extraction'
    if task not in _OUTPUTS:
        raise settings.refusal('transformer_task', ' or '.join(_OUTPUTS), task)
    modalities = settings.section('modality_config')
    if modalities:
        text = modalities.get('text')
        output = text.get('method_output_name') if isinstance(text, dict) else None
        if output not in _OUTPUTS[task] or 'message' in modalities:
            raise settings.refusal('modality_config', 'texts with the output %s' % _OUTPUTS[task][0], modalities)
    return str(task)
