"""Loads the tokenizer of a model of Hugging Face's kind, by the `tokenizers` package.

It is that of `tokenizer.json` or, in a folder without that file, a BERT tokenizer over `vocab.txt` with the settings of
`tokenizer_config.json`. The parent loads it once before it starts any process, so that a file that is wrong is one line
and exit code 2; each worker loads it again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from ..errors import ModelError
from .files import check_file, read_json_object

MOST_TOKENIZER_BYTES = 128 << 20
"""Of a tokenizer.json. The longest that are published, of models of hundreds of languages, have some 35 MB."""

BERT_CLASSES = ('BertTokenizer', 'DistilBertTokenizer', 'ElectraTokenizer')
"""The classes of transformers that are a WordPiece with BERT's normalizer and special tokens."""

_PLAIN_CLASSES = ('TokenizersBackend', 'PreTrainedTokenizer')
"""Those that take a tokenizer.json as it is."""

_SETTINGS = {
    'do_lower_case': 'lowercase',
    'strip_accents': 'strip_accents',
    'tokenize_chinese_chars': 'handle_chinese_chars',
}
"""How `tokenizer_config.json` and BERT's normalizer each call a setting."""


@dataclass(frozen=True)
class TokenizerFiles:
    """Which files a tokenizer is made of, and how its texts are changed first.

    `path` is a tokenizer.json; None if `vocab` and `settings`, a tokenizer_config.json, stand for it. `lowers` puts
    texts into lowercase even if the files do not; `cased` keeps case and accents even if they do not.
    """

    path: str | None
    vocab: str | None
    settings: str | None
    lowers: bool = False
    cased: bool = False

    def load(self, vocab_size: int) -> Tokenizer:
        """Load the tokenizer, with neither truncation nor padding, of a model with `vocab_size` embeddings.

        Raises:
            ModelError: a file is missing or makes no sense, or has ids that the model has no embedding for.
        """
        settings = _Settings.read(self.settings)
        tokenizer = (
            _from_file(self.path, settings) if self.path is not None else _from_vocab(self.vocab or '', settings)
        )
        tokenizer.no_truncation()
        tokenizer.no_padding()
        settings.add_tokens(tokenizer)
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


@dataclass(frozen=True)
class _Settings:
    """The values of a tokenizer_config.json, checked one by one."""

    path: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: str | None) -> _Settings:
        return cls('', {}) if path is None else cls(path, read_json_object(path))

    @property
    def tokenizer_class(self) -> str | None:
        """The class without the ending that old releases gave those of this package."""
        value = self.values.get('tokenizer_class')
        if value is not None and not isinstance(value, str):
            raise self.refusal('tokenizer_class', 'a name', value)
        return None if value is None else value.removesuffix('Fast')

    def switch(self, key: str) -> bool | None:
        """A setting that is on, off, or left to others."""
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
        """Add those of `added_tokens_decoder` that the tokenizer does not have.

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

    def refusal(self, key: str, expected: str, value: object) -> ModelError:
        return ModelError('%s: %r must be %s, not %.100r' % (self.path, key, expected, value))


def _from_file(path: str, settings: _Settings) -> Tokenizer:
    """The tokenizer of a tokenizer.json, whose normalizer has the settings that transformers would give it."""
    check_file(path, 'the tokenizer')
    if os.path.getsize(path) > MOST_TOKENIZER_BYTES:
        raise ModelError('%s has %d bytes: at most %d are read' % (path, os.path.getsize(path), MOST_TOKENIZER_BYTES))
    with _readable(path), open(path, 'rb') as file:
        tokenizer = Tokenizer.from_buffer(file.read())  # `from_file` takes no path that is not UTF-8
    name = settings.tokenizer_class
    said = {ours: settings.switch(theirs) for theirs, ours in _SETTINGS.items() if theirs in settings.values}
    if name in _PLAIN_CLASSES or not said or not isinstance(tokenizer.model, models.WordPiece):
        return tokenizer
    normalizer = tokenizer.normalizer
    if isinstance(normalizer, normalizers.BertNormalizer):
        for key, value in said.items():
            if value is not None or key == 'strip_accents':
                setattr(normalizer, key, value)
        tokenizer.normalizer = normalizer
    return tokenizer


def _from_vocab(path: str, settings: _Settings) -> Tokenizer:
    """BERT's tokenizer over the words of a vocab.txt."""
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
        with open(path, encoding='utf-8', newline='\n') as lines:
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
    """A command that writes the tokenizer.json of the model in `folder`."""
    return (
        'python -c "from transformers import AutoTokenizer; AutoTokenizer.from_pretrained(%r).save_pretrained(%r)"'
        % (folder, folder)
    )


def _lower(tokenizer: Tokenizer) -> None:
    """Put texts into lowercase first, unless the tokenizer does so."""
    spec = _normalizer_of(tokenizer)
    if not any(part.get('type') == 'Lowercase' or part.get('lowercase') is True for part in _parts(spec)):
        before = [normalizers.Lowercase()]
        tokenizer.normalizer = normalizers.Sequence(before + ([tokenizer.normalizer] if spec else []))


def _keep_case(tokenizer: Tokenizer) -> None:
    """Leave case and accents as they are; the other steps of the normalizer stay."""
    spec = _normalizer_of(tokenizer)
    if spec is None:
        return
    whole = json.loads(tokenizer.to_str())
    whole['normalizer'] = _without_lowering(spec)
    with _readable('the tokenizer'):
        tokenizer.normalizer = Tokenizer.from_str(json.dumps(whole)).normalizer


def _without_lowering(spec: dict[str, Any]) -> dict[str, Any] | None:
    if spec['type'] == 'Sequence':
        kept = [part for part in map(_without_lowering, spec['normalizers']) if part is not None]
        return {**spec, 'normalizers': kept}
    if spec['type'] == 'BertNormalizer':
        return {**spec, 'lowercase': False, 'strip_accents': False}
    return None if spec['type'] in ('Lowercase', 'StripAccents') else spec


def _normalizer_of(tokenizer: Tokenizer) -> dict[str, Any] | None:
    """The normalizer as tokenizer.json has it."""
    if tokenizer.normalizer is None:
        return None
    spec: dict[str, Any] = json.loads(tokenizer.normalizer.__getstate__())
    return spec


def _parts(spec: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The normalizers that one consists of, itself included."""
    if spec is not None:
        yield spec
        for part in spec.get('normalizers', ()):
            yield from _parts(part)


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """One ModelError for all that the package raises: exceptions, and panics of its Rust, which are no `Exception`."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == 'PanicException':
            raise ModelError(
                '%s is not a tokenizer that can be read: %s' % (path, str(error).split('\n')[0])
            ) from error
        raise
