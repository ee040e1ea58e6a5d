"""The tokenizer classes of transformers, which can change or contradict a tokenizer.json.

Transformers 4 takes every part of a tokenizer from tokenizer.json. Transformers 5 takes the vocabulary from there, and
builds the other parts as the class defines them. For most published models, both give the same tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

BERT_CLASSES = ('BertTokenizer', 'DistilBertTokenizer', 'ElectraTokenizer')
"""The classes of transformers for WordPiece with BERT's normalizer and special tokens."""

PLAIN_CLASSES = ('TokenizersBackend', 'PreTrainedTokenizer')
"""The classes that use a tokenizer.json unchanged."""

NORMALIZING_CLASSES = (*BERT_CLASSES, 'MPNetTokenizer')
"""The classes whose settings in `tokenizer_config.json` override BERT's normalizer in `tokenizer.json`."""

BYTE_LEVEL_CLASSES = ('RobertaTokenizer', 'LongformerTokenizer', 'BartTokenizer', 'GPT2Tokenizer')
"""The classes whose `add_prefix_space` overrides that of `tokenizer.json`."""

SPLITTING_CLASSES = ('XLMRobertaTokenizer', 'CamembertTokenizer', 'AlbertTokenizer')
"""The classes that split words at white space and drop it, regardless of `tokenizer.json`."""

_WITHOUT_TYPES = ('DistilBertTokenizer', 'MPNetTokenizer')

CLASSES_WITHOUT_TYPES = (*PLAIN_CLASSES, *BYTE_LEVEL_CLASSES, *SPLITTING_CLASSES, *_WITHOUT_TYPES)
"""The classes without token types, unless `model_input_names` includes them."""

_OF_MODELS: Mapping[str, str] = {
    'albert': 'AlbertTokenizer',
    'camembert': 'CamembertTokenizer',
    'deberta-v2': 'DebertaV2Tokenizer',
    'modernbert': 'TokenizersBackend',
    'mpnet': 'MPNetTokenizer',
    'roberta': 'RobertaTokenizer',
    'xlm-roberta': 'XLMRobertaTokenizer',
}

_WITHOUT_CLASS = ('gte', 'new')
"""The model types for which the releases of transformers do not agree on a class."""


@dataclass(frozen=True)
class _Parts:
    """The types of the parts that a class builds. `object` stands for any."""

    model: type
    normalizer: type = object
    pre_tokenizer: type = object
    classify: str = '<s>'
    separate: str = '</s>'
    separators_in_pair: int = 3


_LIKE_BERT = _Parts(
    models.WordPiece,
    normalizers.BertNormalizer,
    pre_tokenizers.BertPreTokenizer,
    classify='[CLS]',
    separate='[SEP]',
    separators_in_pair=2,
)
_LIKE_ALBERT = _Parts(models.Unigram, classify='[CLS]', separate='[SEP]', separators_in_pair=2)

_PARTS: Mapping[str, _Parts] = {
    **dict.fromkeys(BERT_CLASSES, _LIKE_BERT),
    'MPNetTokenizer': _Parts(models.WordPiece, normalizers.BertNormalizer, pre_tokenizers.BertPreTokenizer),
    'RobertaTokenizer': _Parts(models.BPE, type(None), pre_tokenizers.ByteLevel),
    'XLMRobertaTokenizer': _Parts(models.Unigram),
    'CamembertTokenizer': _Parts(models.Unigram),
    'AlbertTokenizer': _LIKE_ALBERT,
    'DebertaV2Tokenizer': _LIKE_ALBERT,
}


def class_of(model_type: str) -> str:
    """Return the class for a `model_type` if no file names one."""
    return _OF_MODELS.get(model_type, 'BertTokenizer')


def contradiction(tokenizer: Tokenizer, settings: Mapping[str, Any], name: str | None, model_type: str) -> str | None:
    """Describe the first part of `tokenizer` that its class would build differently, or return None.

    `tokenizer` comes from a tokenizer.json, with neither truncation nor padding. `settings` is its
    tokenizer_config.json, whose special tokens count, and `name` the class without the suffix Fast, if it names one.
    """
    if name is None and model_type in _WITHOUT_CLASS:
        return None
    name = class_of(model_type) if name is None or class_of(model_type) in PLAIN_CLASSES else name
    parts = _PARTS.get(name)
    if parts is None:
        return None
    for part in ('model', 'normalizer', 'pre_tokenizer'):
        found, expected = getattr(tokenizer, part), getattr(parts, part)
        if not isinstance(found, expected):
            return '%s has the %s %s, not %s' % (name, part, _shown(expected), _shown(type(found)))
    separate = _token(settings, 'sep_token', parts.separate)
    tokens = [_token(settings, 'cls_token', parts.classify), *[separate] * parts.separators_in_pair]
    pair = tokenizer.encode('a', 'a')
    special = [token for token, text in zip(pair.tokens, pair.sequence_ids, strict=True) if text is None]
    if special != tokens:
        return '%s puts %s around a pair, not %s' % (name, ' '.join(tokens), ' '.join(special) or 'nothing')
    return None


def _shown(part: type) -> str:
    return 'None' if part is type(None) else part.__name__


def _token(settings: Mapping[str, Any], key: str, default: str) -> str:
    value = settings.get(key)
    value = value.get('content') if isinstance(value, dict) else value
    return value if isinstance(value, str) else default
