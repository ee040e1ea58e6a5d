"""Load the tokenizer of a Hugging Face model with the `tokenizers` package.

It comes from `tokenizer.json` or, without that file, is a BERT tokenizer over `vocab.txt` with the settings of
`tokenizer_config.json`. The parent loads it once before it starts any process, so that an invalid file is one line and
exit code 2. Each worker loads it again.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from ..errors import ModelError
from .files import check_file, read_json_object
from .tokenizer_classes import (
    BERT_CLASSES,
    BYTE_LEVEL_CLASSES,
    CLASSES_WITHOUT_TYPES,
    NORMALIZING_CLASSES,
    PLAIN_CLASSES,
    SPLITTING_CLASSES,
    class_of,
    contradiction,
)

MOST_TOKENIZER_BYTES = 128 << 20
"""The maximum size of a tokenizer.json. The longest published ones, for hundreds of languages, have about 35 MB."""

_SETTINGS = {
    'do_lower_case': 'lowercase',
    'strip_accents': 'strip_accents',
    'tokenize_chinese_chars': 'handle_chinese_chars',
}
"""The names of a setting in `tokenizer_config.json` and in BERT's normalizer."""


@dataclass(frozen=True)
class TokenizerFiles:
    """The files of a tokenizer, and the changes to its normalizer.

    `path` is a tokenizer.json, or None if `vocab` and `settings` (a tokenizer_config.json) replace it. `model_type`
    determines the class of the tokenizer if `settings` does not. `lowers` lowercases texts even if the files do not.
    `cased` keeps case and accents even if the files do not.
    """

    path: str | None
    vocab: str | None
    settings: str | None
    model_type: str = 'bert'
    lowers: bool = False
    cased: bool = False

    def load(self, vocab_size: int, warn: Callable[[str], object] | None = None) -> Tokenizer:
        """Load the tokenizer, with neither truncation nor padding, of a model with `vocab_size` embeddings.

        It calls `warn` with a sentence if the tokenizer class contradicts the tokenizer.json, which takes precedence.

        Raises:
            ModelError: a file is missing or invalid, or has ids without an embedding in the model.
        """
        settings = _Settings.read(self.settings)
        tokenizer = (
            _from_file(self.path, settings, self._class(settings))
            if self.path is not None
            else _from_vocab(self.vocab or '', settings)
        )
        _check_side(tokenizer, settings, self.path or self.vocab or '')
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if warn is not None and self.path is not None:
            with _readable(self.path):
                found = contradiction(tokenizer, settings.values, settings.tokenizer_class, self.model_type)
            if found is not None:
                warn(
                    'chose %s over its tokenizer class, as transformers 4 does and transformers 5 does not: %s'
                    % (self.path, found)
                )
        settings.add_tokens(tokenizer)
        settings.add_special_tokens(tokenizer)
        if self.lowers and not self.cased:
            _lower(tokenizer)
        if self.cased:
            _keep_case(tokenizer)
        source = self.path or self.vocab or ''
        largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        if largest < 0:
            raise ModelError('%s has no tokens' % source)
        if largest >= vocab_size:
            raise ModelError('%s has the id %d, but the vocab_size of the model is %d' % (source, largest, vocab_size))
        return tokenizer

    def gives_types(self) -> bool:
        """Whether the second text of a pair has type 1. Otherwise the model gets zeros for both texts."""
        settings = _Settings.read(self.settings)
        names = settings.values.get('model_input_names')
        if names is None:
            return self._class(settings) not in CLASSES_WITHOUT_TYPES
        if not isinstance(names, list):
            raise settings.refusal('model_input_names', 'a list of names', names)
        return 'token_type_ids' in names

    def _class(self, settings: _Settings) -> str:
        return settings.tokenizer_class or class_of(self.model_type)


@dataclass(frozen=True)
class _Settings:
    """The validated values of a tokenizer_config.json."""

    path: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: str | None) -> _Settings:
        return cls('', {}) if path is None else cls(path, read_json_object(path))

    @property
    def tokenizer_class(self) -> str | None:
        """The class without the ending Fast, which old releases used for classes of this package."""
        value = self.values.get('tokenizer_class')
        if value is not None and not isinstance(value, str):
            raise self.refusal('tokenizer_class', 'a name', value)
        return None if value is None else value.removesuffix('Fast')

    def switch(self, key: str) -> bool | None:
        """A setting: on, off, or None if it is not given."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.refusal(key, 'true or false', value)
        return value

    def token(self, key: str, default: str) -> str:
        value = self.values.get(key, default)
        if isinstance(value, dict):
            value = value.get('content')
        if not isinstance(value, str) or not value:
            raise self.refusal(key, 'a token', value)
        return value

    def add_tokens(self, tokenizer: Tokenizer) -> None:
        """Add the tokens of `added_tokens_decoder` that the tokenizer lacks.

        Raises:
            ModelError: one would get another id than the file says.
        """
        tokens = self.values.get('added_tokens_decoder', {})
        if not isinstance(tokens, dict):
            raise self.refusal('added_tokens_decoder', 'an object', tokens)
        for name, token in sorted(tokens.items(), key=lambda item: item[0].rjust(20)):
            if not name.isascii() or not name.isdecimal() or not isinstance(token, dict):
                raise self.refusal('added_tokens_decoder', 'an object of tokens by id', {name: token})
            content = token.get('content')
            if not isinstance(content, str) or not content:
                raise self.refusal('added_tokens_decoder', 'an object of tokens with content', {name: token})
            if tokenizer.token_to_id(content) == int(name):
                continue
            switches = {
                key: bool(token[key]) for key in ('single_word', 'lstrip', 'rstrip', 'normalized') if key in token
            }
            special = bool(token.get('special', False))
            added = AddedToken(content, special=special, **switches)
            (tokenizer.add_special_tokens if special else tokenizer.add_tokens)([added])
            if tokenizer.token_to_id(content) != int(name):
                raise self.refusal('added_tokens_decoder', 'ids that go on from the vocabulary', {name: content})

    def add_special_tokens(self, tokenizer: Tokenizer) -> None:
        """Add the additional special tokens, which texts can contain. They can already be in the vocabulary.

        Raises:
            ModelError: a value is not a list of tokens.
        """
        for key in ('additional_special_tokens', 'extra_special_tokens'):
            tokens = self.values.get(key) or []
            if isinstance(tokens, dict):
                tokens = list(tokens.values())
            if not isinstance(tokens, list):
                raise self.refusal(key, 'a list of tokens', tokens)
            for token in tokens:
                content = token.get('content') if isinstance(token, dict) else token
                if not isinstance(content, str) or not content:
                    raise self.refusal(key, 'a list of tokens', tokens)
                tokenizer.add_special_tokens([content])

    def refusal(self, key: str, expected: str, value: object) -> ModelError:
        return ModelError('%s: %r must be %s, not %.100r' % (self.path, key, expected, value))


def _from_file(path: str, settings: _Settings, name: str) -> Tokenizer:
    """Load a tokenizer.json, with the settings of its class `name` in transformers."""
    check_file(path, 'the tokenizer')
    if os.path.getsize(path) > MOST_TOKENIZER_BYTES:
        raise ModelError('%s has %d bytes: at most %d are read' % (path, os.path.getsize(path), MOST_TOKENIZER_BYTES))
    with _readable(path), open(path, 'rb') as file:
        data = file.read()  # `from_file` needs a UTF-8 path
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise ModelError('%s is not UTF-8: byte %d cannot be decoded' % (path, error.start)) from None
    with _readable(path):
        tokenizer = Tokenizer.from_buffer(data.removeprefix(codecs.BOM_UTF8))
    if name in PLAIN_CLASSES:
        return tokenizer
    if isinstance(tokenizer.model, models.WordPiece):
        _set_normalizer(tokenizer, settings, has_defaults=name in NORMALIZING_CLASSES)
    elif isinstance(tokenizer.model, models.Unigram) and name in SPLITTING_CLASSES:
        _split_at_white_space(tokenizer, adds_prefix=settings.switch('add_prefix_space') is not False)
    elif isinstance(tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel) and name in BYTE_LEVEL_CLASSES:
        pre_tokenizer = tokenizer.pre_tokenizer
        pre_tokenizer.add_prefix_space = bool(settings.switch('add_prefix_space'))
        tokenizer.pre_tokenizer = pre_tokenizer
    return tokenizer


def _set_normalizer(tokenizer: Tokenizer, settings: _Settings, *, has_defaults: bool) -> None:
    """Apply the settings of the class, including defaults, to BERT's normalizer if the tokenizer has it."""
    normalizer = tokenizer.normalizer
    if not isinstance(normalizer, normalizers.BertNormalizer):
        return
    for theirs, ours in _SETTINGS.items():
        default = (has_defaults and ours != 'strip_accents') or None
        value = settings.switch(theirs) if theirs in settings.values else default
        if value is not None or (ours == 'strip_accents' and (has_defaults or theirs in settings.values)):
            setattr(normalizer, ours, value)
    tokenizer.normalizer = normalizer


def _split_at_white_space(tokenizer: Tokenizer, *, adds_prefix: bool) -> None:
    """Split words at white space before a Metaspace, which would make tokens from spaces at the end of a text."""
    scheme: Literal['always', 'never'] = 'always' if adds_prefix else 'never'
    metaspace = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    _change_normalizer(tokenizer, lambda step: None if step.get('pattern') == {'Regex': ' {2,}'} else step)


def _check_side(tokenizer: Tokenizer, settings: _Settings, path: str) -> None:
    """Reject a tokenizer that truncates the beginning of long texts."""
    side = settings.values.get('truncation_side')
    if side == 'left':
        raise settings.refusal('truncation_side', "'right'", side)
    if side is None and (tokenizer.truncation or {}).get('direction') == 'left':
        raise ModelError("%s: the direction of truncation must be 'Right', not 'Left'" % path)


def _from_vocab(path: str, settings: _Settings) -> Tokenizer:
    """Make BERT's tokenizer over the words of a vocab.txt."""
    name = settings.tokenizer_class
    if name is not None and name not in BERT_CLASSES:
        raise ModelError(
            '%s: a %s needs a tokenizer.json, which is missing next to it: write one with `%s`'
            % (settings.path, name, write_tokenizer(os.path.dirname(path)))
        )
    if settings.values.get('never_split'):
        raise settings.refusal('never_split', 'empty', settings.values['never_split'])
    if settings.switch('do_basic_tokenize') is False:
        raise settings.refusal('do_basic_tokenize', 'true', False)
    check_file(path, 'the vocabulary')
    try:
        with open(path, encoding='utf-8-sig', newline='\n') as lines:
            vocab = {line.rstrip('\r\n'): index for index, line in enumerate(lines)}
    except UnicodeDecodeError as error:
        raise ModelError('%s is not UTF-8: byte %d cannot be decoded' % (path, error.start)) from None
    unknown = settings.token('unk_token', '[UNK]')
    classify, separate = settings.token('cls_token', '[CLS]'), settings.token('sep_token', '[SEP]')
    specials = [
        unknown,
        separate,
        settings.token('pad_token', '[PAD]'),
        classify,
        settings.token('mask_token', '[MASK]'),
    ]
    missing = [token for token in (unknown, classify, separate) if token not in vocab]
    if missing:
        raise ModelError('%s has no %s: it is not the vocabulary of this model' % (path, ' '.join(missing)))
    lower_case, chinese = settings.switch('do_lower_case'), settings.switch('tokenize_chinese_chars')
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=unknown, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=chinese is not False,
        strip_accents=settings.switch('strip_accents'),
        lowercase=lower_case is not False,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing((separate, vocab[separate]), (classify, vocab[classify]))
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in specials if token in vocab])
    return tokenizer


def write_tokenizer(folder: str) -> str:
    """Make a command that writes the tokenizer.json of the model in `folder`."""
    return (
        'python -c "from transformers import AutoTokenizer; AutoTokenizer.from_pretrained(%r).save_pretrained(%r)"'
        % (folder, folder)
    )


def _lower(tokenizer: Tokenizer) -> None:
    """Lowercase texts first, unless the tokenizer does it."""
    spec = _normalizer_of(tokenizer)
    if not any(part.get('type') == 'Lowercase' or part.get('lowercase') is True for part in _parts(spec)):
        before = [normalizers.Lowercase()]
        tokenizer.normalizer = normalizers.Sequence(before + ([tokenizer.normalizer] if spec else []))


def _keep_case(tokenizer: Tokenizer) -> None:
    """Keep case and accents. The other steps of the normalizer stay."""
    _change_normalizer(tokenizer, _without_lowering)


def _without_lowering(step: dict[str, Any]) -> dict[str, Any] | None:
    if step['type'] == 'BertNormalizer':
        return {**step, 'lowercase': False, 'strip_accents': False}
    return None if step['type'] in ('Lowercase', 'StripAccents') else step


def _change_normalizer(tokenizer: Tokenizer, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Change each step of the normalizer, or remove it if `change` returns None."""
    spec = _normalizer_of(tokenizer)
    if spec is None:
        return
    changed = _changed(spec, change)
    if changed != spec:
        vocabulary = {'type': 'WordLevel', 'vocab': {'a': 0}, 'unk_token': 'a'}
        with _readable('the tokenizer'):
            other = Tokenizer.from_str(json.dumps({'version': '1.0', 'normalizer': changed, 'model': vocabulary}))
        tokenizer.normalizer = other.normalizer


def _changed(spec: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> dict[str, Any] | None:
    if spec['type'] == 'Sequence':
        steps = [_changed(step, change) for step in spec['normalizers']]
        return {**spec, 'normalizers': [step for step in steps if step is not None]}
    return change(spec)


def _normalizer_of(tokenizer: Tokenizer) -> dict[str, Any] | None:
    """The normalizer in the form of tokenizer.json."""
    if tokenizer.normalizer is None:
        return None
    spec: dict[str, Any] = json.loads(tokenizer.normalizer.__getstate__())
    return spec


def _parts(spec: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A normalizer and all its parts."""
    if spec is not None:
        yield spec
        for part in spec.get('normalizers', ()):
            yield from _parts(part)


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Convert the package's exceptions, and the panics of its Rust code, to a ModelError."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == 'PanicException':
            raise ModelError(
                '%s is not a tokenizer that can be read: %s' % (path, str(error).split('\n')[0])
            ) from error
        raise
