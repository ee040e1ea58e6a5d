"""Read the intended use of a published folder from the files that sentence-transformers writes next to the encoder.

`modules.json` lists the modules that a text goes through: the encoder, a pooling, and further ones. Each module has its
own folder with a `config.json`. This module reads the folders of all releases. An unsupported module is an error that
names it, because without it the vectors would differ from those of the model's authors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ModelError
from .config import Head, score_activation
from .encoder_settings import EncoderSettings
from .files import check_file, read_json_list
from .module_settings import ModuleSettings
from .pipeline import POOLING_MODES, Dense, LayerNorm, Module, Normalize, Pipeline, Pooling
from .torch_activations import TORCH_ACTIVATIONS, torch_activation

MODULES = 'modules.json'
USE = 'config_sentence_transformers.json'
WEIGHTS = 'model.safetensors'
PICKLE = 'pytorch_model.bin'

MOST_MODULES = 64
MOST_PROMPTS = 1000

_MODES_OF_OLD_KEYS: Mapping[str, str] = {
    'pooling_mode_cls_token': 'cls',
    'pooling_mode_max_tokens': 'max',
    'pooling_mode_mean_tokens': 'mean',
    'pooling_mode_mean_sqrt_len_tokens': 'mean_sqrt_len_tokens',
    'pooling_mode_weightedmean_tokens': 'weightedmean',
    'pooling_mode_lasttoken': 'lasttoken',
}
"""The modes by old keys, in the order in which their vectors are concatenated."""

_POOLING_INPUTS = ('embedding_dimension', 'word_embedding_dimension')
"""The keys of the width of the pooled states in new and old folders."""


@dataclass(frozen=True)
class Published:
    """The folder of the encoder inside a published folder, and the pipeline around it."""

    encoder: str
    pipeline: Pipeline
    pooling_config: str | None = None
    pooling_inputs: int | None = None
    """The width of states that the file `pooling_config` expects, if it has one."""
    use_config: str = ''
    activation: str | None = None
    """The path of the activation of a cross-encoder in the file `use_config`, if it has one."""
    is_classifier: bool = False
    """Whether the folder says that the encoder is a cross-encoder."""

    def head(self, head: Head | None) -> Head | None:
        """Return the head as this folder uses the one of its config. A folder that pools has no scores.

        Raises:
            ModelError: the activation is not supported.
        """
        if head is None or self.pipeline.pooling is not None:
            return None
        if self.activation is None:
            return head
        activation = score_activation(self.activation, len(head.labels))
        if activation is None:
            raise ModelError(
                "%s: 'activation_fn' must be Identity, Sigmoid or Softmax of torch, not %.100r"
                % (self.use_config, self.activation)
            )
        return replace(head, activation=activation)

    def check_widths(self, hidden_size: int) -> None:
        """Check that the input width of each module matches, with `hidden_size` units in a state.

        Raises:
            ModelError: one does not match; the message names its file.
        """
        if self.pooling_inputs not in (None, hidden_size):
            raise ModelError(
                '%s: the pooling is for states of width %d, but hidden_size of the model is %d'
                % (self.pooling_config, self.pooling_inputs, hidden_size)
            )
        width = hidden_size * (len(self.pipeline.pooling.modes) if self.pipeline.pooling else 1)
        for module in self.pipeline.modules:
            if isinstance(module, Normalize):
                continue
            takes = module.inputs if isinstance(module, Dense) else module.width
            if takes != width:
                path = os.path.join(os.path.dirname(module.weights), 'config.json')
                raise ModelError('%s: the module takes vectors of width %d, but gets %d' % (path, takes, width))
            width = module.outputs if isinstance(module, Dense) else width


def is_published(folder: str) -> bool:
    """Whether `folder` describes its intended use."""
    return os.path.lexists(os.path.join(folder, MODULES))


def read_published(folder: str) -> Published:
    """Read the modules of `folder`, and its prompts, length and similarity.

    A folder whose only module is the encoder is a cross-encoder or a bare encoder: its pipeline has no pooling.

    Raises:
        ModelError: a file is missing or invalid, or a module is not supported; the message names it.
    """
    path = os.path.join(folder, MODULES)
    entries = [_Entry.read(path, value) for value in _short_list(path, read_json_list(path))]
    kinds = [entry.kind for entry in entries]
    if kinds[0] != 'Transformer':
        raise ModelError('%s: the first module is %s: expected a Transformer' % (path, entries[0].type))
    for entry in entries[1:]:
        if entry.kind not in _READERS and entry.kind not in ('Pooling', 'Dropout'):
            raise ModelError('%s: the module %s is not served' % (path, entry.type))
    if len(kinds) > 1 and (kinds[1] != 'Pooling' or kinds.count('Pooling') != 1):
        raise ModelError(
            '%s: expected a Transformer, one Pooling, and what comes after; got %s' % (path, ', '.join(kinds))
        )
    folders = [_folder_inside(folder, path, entry.path) for entry in entries]
    if not os.path.isdir(folders[0]):
        raise ModelError('%s: there is no folder %s' % (path, folders[0]))
    settings = ModuleSettings.read(os.path.join(folders[1], 'config.json')) if len(kinds) > 1 else None
    pooling = _read_pooling(settings) if settings is not None else None
    modules = tuple(
        _READERS[entry.kind](where)
        for entry, where in zip(entries[2:], folders[2:], strict=True)
        if entry.kind != 'Dropout'  # which only has an effect in training
    )
    use = ModuleSettings.read(os.path.join(folder, USE), optional=True)
    encoder = EncoderSettings.read(folders[0])
    if encoder.is_classifier and pooling is not None:
        raise ModelError(
            '%s: the transformer_task of %s is sequence-classification, which leaves no states for a Pooling: '
            'remove that key from the settings of the encoder, or the Pooling' % (path, folders[0])
        )
    pipeline = _read_use(use, encoder, pooling, modules)
    activation = use.value('activation_fn')
    published = Published(
        folders[0],
        pipeline,
        use_config=use.path,
        activation=activation and str(activation),
        is_classifier=encoder.is_classifier,
    )
    if settings is None or settings.value(*_POOLING_INPUTS) is None:
        return published
    return replace(published, pooling_config=settings.path, pooling_inputs=settings.size(*_POOLING_INPUTS))


def read_module_paths(path: str) -> list[str]:
    """The folders of the modules in a `modules.json`, relative to its own folder ('').

    Raises:
        ModelError: as in `read_published`.
    """
    entries = [_Entry.read(path, value) for value in _short_list(path, read_json_list(path))]
    folders = [_folder_inside('.', path, entry.path) for entry in entries]
    return ['' if folder == '.' else folder for folder in folders]


@dataclass(frozen=True)
class _Entry:
    """One entry of `modules.json`."""

    type: str
    path: str

    @property
    def kind(self) -> str:
        """The name of the class. Its package differs between releases. Classes of other packages are unknown."""
        package, _, name = self.type.rpartition('.')
        return name if package.startswith('sentence_transformers') else self.type

    @classmethod
    def read(cls, path: str, value: object) -> _Entry:
        if not isinstance(value, dict):
            raise ModelError('%s: expected an object for each module, got %s' % (path, type(value).__name__))
        for key in ('type', 'path'):
            if not isinstance(value.get(key), str):
                raise ModelError('%s: a module lacks %r' % (path, key))
        return cls(value['type'], value['path'])


def _short_list(path: str, values: list[Any]) -> list[Any]:
    if not 0 < len(values) <= MOST_MODULES:
        raise ModelError('%s lists %d modules: expected 1 to %d' % (path, len(values), MOST_MODULES))
    return values


def _folder_inside(folder: str, source: str, path: str) -> str:
    """The folder of a module, which must be inside the model's folder."""
    parts = path.replace('\\', '/').split('/')
    if os.path.isabs(path) or '..' in parts or '\0' in path:
        raise ModelError('%s: the path %r leads out of the folder' % (source, path))
    return os.path.normpath(os.path.join(folder, path))


def _read_pooling(settings: ModuleSettings) -> Pooling:
    given = settings.value('pooling_mode')
    if given is None:
        given = [mode for key, mode in _MODES_OF_OLD_KEYS.items() if settings.flag(key, default=False)] or ['mean']
    modes = [given] if isinstance(given, str) else given
    if not isinstance(modes, list) or not 0 < len(modes) <= len(POOLING_MODES):
        raise settings.refusal('pooling_mode', 'a mode or a list of some', given)
    for mode in modes:
        if mode not in POOLING_MODES:
            raise settings.refusal('pooling_mode', 'made of %s' % ', '.join(POOLING_MODES), mode)
    return Pooling(tuple(modes), settings.flag('include_prompt', default=True))


def _read_dense(folder: str) -> Dense:
    settings = ModuleSettings.read(os.path.join(folder, 'config.json'))
    for key in ('module_input_name', 'module_output_name'):
        settings.only(key, 'sentence_embedding')
    settings.only('use_residual', False)
    name = settings.value('activation_function')
    activation = torch_activation('torch.nn.Tanh' if name is None else name)
    if activation is None:
        raise settings.refusal('activation_function', 'torch.nn. and one of %s' % ', '.join(TORCH_ACTIVATIONS), name)
    return Dense(
        settings.size('in_features'),
        settings.size('out_features'),
        settings.flag('bias', default=True),
        activation,
        _weights(folder),
    )


def _read_layer_norm(folder: str) -> LayerNorm:
    settings = ModuleSettings.read(os.path.join(folder, 'config.json'))
    return LayerNorm(settings.size('dimension'), _weights(folder))


def _read_normalize(folder: str) -> Normalize:
    settings = ModuleSettings.read(os.path.join(folder, 'config.json'), optional=True)
    for key in ('module_input_name', 'module_output_name'):
        settings.only(key, 'sentence_embedding')
    return Normalize()


_READERS: Mapping[str, Any] = {'Dense': _read_dense, 'LayerNorm': _read_layer_norm, 'Normalize': _read_normalize}


def _weights(folder: str) -> str:
    path, pickle = os.path.join(folder, WEIGHTS), os.path.join(folder, PICKLE)
    if not os.path.lexists(path) and os.path.lexists(pickle):
        raise ModelError(
            '%s is missing, and pickles are not read: convert %s with `%s`' % (path, pickle, convert_module(folder))
        )
    check_file(path, 'the weights of the module')
    return path


def convert_module(folder: str) -> str:
    """Make a command that writes the safetensors file of a module next to its pickle."""
    return (
        'python -c "import torch; from safetensors.torch import save_file; '
        "save_file(torch.load('%s/pytorch_model.bin', weights_only=True), '%s/model.safetensors')\"" % (folder, folder)
    )


def _read_use(
    settings: ModuleSettings, encoder: EncoderSettings, pooling: Pooling | None, modules: tuple[Module, ...]
) -> Pipeline:
    prompts = settings.value('prompts')
    prompts = {} if prompts is None else prompts
    if not isinstance(prompts, dict) or len(prompts) > MOST_PROMPTS:
        raise settings.refusal('prompts', 'an object of at most %d texts' % MOST_PROMPTS, prompts)
    for name, prompt in prompts.items():
        if not isinstance(prompt, str):
            raise settings.refusal('prompts', 'an object of texts', {name: prompt})
    default = settings.value('default_prompt_name')
    if default is not None and default not in prompts:
        raise settings.refusal('default_prompt_name', 'the name of one of its prompts', default)
    similarity = settings.value('similarity_fn_name')
    if similarity is not None and not isinstance(similarity, str):
        raise settings.refusal('similarity_fn_name', 'a name', similarity)
    return Pipeline(
        pooling,
        modules,
        encoder.max_seq_len,
        encoder.lower_case,
        prompts,
        default,
        similarity,
    )
