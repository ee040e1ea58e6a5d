"""Names of models on the Hugging Face hub, and the files of a repository that make up the model.

Only the necessary files are fetched: configurations, the tokenizer, and weights as safetensors. File names come from a
server, so names that lead out of the model's folder are rejected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import ModelError
from .encoder_settings import ENCODER_CONFIGS
from .published import MODULES, PICKLE, USE, WEIGHTS

INDEX = WEIGHTS + '.index.json'

MOST_FILES = 100_000
"""The maximum number of files in a repository. The largest published ones have a few thousand."""

_NAME = re.compile(r'(?P<repository>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>\w[\w./-]*))?', re.ASCII)


@dataclass(frozen=True)
class HubName:
    """A model on the hub: `ORGANIZATION/NAME`, and the branch, tag or commit."""

    repository: str
    revision: str = 'main'

    @classmethod
    def parse(cls, text: str) -> HubName | None:
        """Parse `text` as a name. Return None if it can only be a path."""
        match = _NAME.fullmatch(text)
        if match is None or '..' in text or '//' in text or text.endswith('/'):
            return None
        return cls(match['repository'], match['revision'] or 'main')

    def __str__(self) -> str:
        return self.repository if self.revision == 'main' else '%s@%s' % (self.repository, self.revision)


@dataclass(frozen=True)
class Repository:
    """The names of the files of a model on the hub, with `/` between folders."""

    name: HubName
    files: frozenset[str]

    @classmethod
    def of(cls, name: HubName, files: Iterable[str]) -> Repository:
        """Check the listing of the hub.

        Raises:
            ModelError: a name leads out of the model's folder, or there are too many files.
        """
        names = frozenset(files)
        if len(names) > MOST_FILES:
            raise ModelError('%s has %d files on the hub: at most %d are listed' % (name, len(names), MOST_FILES))
        for file in names:
            if not file or {'', '.', '..'} & set(file.split('/')) or set('\\\0:') & set(file):
                raise ModelError('%s: the hub lists a file %r, which leads out of the folder' % (name, file))
        return cls(name, names)

    def settings(self, encoder: str, config_name: str | None = None) -> list[str]:
        """The small files with the settings of the model, in its folder and in its `encoder` folder ('' if the same).

        `modules.json` comes first, because without it the rest would be a different model.
        """
        used = [MODULES, USE]
        inside = [
            'config.json',
            'tokenizer_config.json',
            'tokenizer.json',
            'vocab.txt',
            'added_tokens.json',
            *ENCODER_CONFIGS,
        ]
        inside += [config_name] if config_name else []
        return self._existing(used + [_join(encoder, file) for file in inside])

    def module_files(self, folders: Sequence[str]) -> list[str]:
        """The small files of the modules after the encoder.

        Raises:
            ModelError: a module has its weights only as a pickle.
        """
        for folder in folders:
            if _join(folder, WEIGHTS) not in self.files and _join(folder, PICKLE) in self.files:
                raise ModelError(self._only_pickles(_join(folder, PICKLE), published=True))
        return self._existing(_join(folder, file) for folder in folders for file in ('config.json', WEIGHTS))

    def weights(self, encoder: str, ckpt_name: str | None = None) -> str:
        """The safetensors file of the encoder, or the index of several files.

        Raises:
            ModelError: there is none; the message has the command to convert other weights.
        """
        names = [ckpt_name, ckpt_name + '.index.json'] if ckpt_name else [WEIGHTS, INDEX]
        for name in names:
            if _join(encoder, name) in self.files:
                return _join(encoder, name)
        others = ('pytorch_model.bin', 'pytorch_model.bin.index.json', 'tf_model.h5', 'flax_model.msgpack')
        for file in (_join(encoder, other) for other in others):
            if file in self.files:
                raise ModelError(self._only_pickles(file, published=MODULES in self.files))
        raise ModelError('%s has no %s on the hub: it is not a model that can be served' % (self.name, names[0]))

    def _existing(self, files: Iterable[str]) -> list[str]:
        return [file for file in dict.fromkeys(files) if file in self.files]

    def _only_pickles(self, file: str, *, published: bool) -> str:
        repository, folder = self.name.repository, self.name.repository.partition('/')[2]
        if published:
            command = "from sentence_transformers import SentenceTransformer as M; M(%r).save('%s')" % (
                repository,
                folder,
            )
        else:
            command = (
                'from transformers import AutoModel, AutoTokenizer; '
                '[kind.from_pretrained(%r).save_pretrained(%r) for kind in (AutoModel, AutoTokenizer)]'
                % (repository, folder)
            )
        return '%s has %s on the hub, but no safetensors, and no other weights are read: run `python -c "%s"`, %s' % (
            self.name,
            file,
            command,
            'and give -model_dir %s' % folder,
        )


def shards(source: str, index: object) -> list[str]:
    """The names of the files that an index of safetensors lists.

    Raises:
        ModelError: it lists no files, or other files than safetensors in its own folder.
    """
    where = index.get('weight_map') if isinstance(index, dict) else None
    if not isinstance(where, dict) or not where:
        raise ModelError("%s: 'weight_map' must be an object with the file of each tensor" % source)
    for file in where.values():
        if not isinstance(file, str) or '/' in file or '\\' in file or not file.endswith('.safetensors'):
            raise ModelError("%s: 'weight_map' names %r, which is no safetensors file of this folder" % (source, file))
    return sorted(set(where.values()))


def _join(folder: str, file: str) -> str:
    return '%s/%s' % (folder, file) if folder else file
