"""Hints for an incomplete model folder: the files that it has instead, and the command to fix it.

Each function returns the end of an error message, which begins with `: ` or is empty.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import islice

CONFIGS = ('bert_config.json', 'config.json', 'modules.json')
ARCHIVES = ('.zip', '.tar', '.gz', '.tgz', '.bz2', '.xz', '.7z', '.rar', '.zst', '.whl')

MOST_ENTRIES = 1000
"""The maximum number of entries of a folder to check."""

_OTHER_WEIGHTS = (
    ('pytorch_model.bin', 'a pickle of PyTorch, which is never loaded'),
    ('pytorch_model.bin.index.json', 'pickles of PyTorch, which are never loaded'),
    ('pytorch_model-*.bin', 'one of several pickles of PyTorch, which are never loaded'),
    ('*.pt', 'a pickle of PyTorch, which is never loaded'),
    ('*.pth', 'a pickle of PyTorch, which is never loaded'),
    ('tf_model.h5', 'weights of Keras'),
    ('flax_model.msgpack', 'weights of Flax'),
    ('model.ckpt.index', 'a TensorFlow checkpoint'),
)
_NO_MODELS = (
    ('adapter_config.json', 'an adapter without its model: merge it into the model, and serve that folder'),
    ('*.onnx', 'an ONNX file: serve the folder that it was exported from'),
    ('openvino_model.xml', 'an OpenVINO file: serve the folder that it was exported from'),
    ('saved_model.pb', 'a SavedModel: serve the checkpoint that it was exported from'),
    ('variables.index', 'the variables of a SavedModel: serve the checkpoint that it was exported from'),
    ('*.gguf', 'a GGUF file: serve the folder that it was converted from'),
)
_PARTS_OF_MODELS = re.compile(r'\d+_(Pooling|Dense|Normalize|LayerNorm|Dropout)')
_ADDRESS = re.compile(r'(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)|hf://([\w.-]+/[\w.-]+)')
_COPIES = re.compile(r'( ?\(\d+\)|\.(txt|part|incomplete|download|crdownload|tmp|bak|json)|~)+', re.IGNORECASE)
"""Endings that browsers and editors add to the name of a file."""


def of_no_folder(path: str) -> str:
    """For a missing folder: a folder with a similar name, or how to get a model of that name from the hub."""
    if not path.strip():
        return ': give a folder, or leave the option out'
    address = _ADDRESS.match(path)
    if address:
        return ': did you mean -model_dir %s?' % (address[1] or address[2])
    plain = path.strip().strip('\'"').removeprefix('file://')
    for meant in (plain, os.path.expanduser(plain)):
        if meant != path and os.path.isdir(meant):
            return ': did you mean %s?' % meant
    if os.path.isfile(path + '.index'):
        return ': it is the beginning of the names of a checkpoint: give the folder %s, and -ckpt_name %s' % (
            os.path.dirname(path) or '.',
            os.path.basename(path),
        )
    archives = [path + ending for ending in (*ARCHIVES, '.tar.gz', '.tar.bz2', '.tar.xz')]
    for archive in filter(os.path.isfile, archives):
        return ': did you mean to unpack %s first?' % archive
    parent, name = os.path.split(path.rstrip(os.sep))
    if os.path.basename(parent) in ('snapshots', 'blobs', 'refs') and os.path.isdir(parent):
        return ': did you mean %s?' % os.path.dirname(parent)
    close = get_close_matches(
        name, [entry for entry in _entries(parent or '.') if os.path.isdir(os.path.join(parent, entry))]
    )
    if close:
        return ': did you mean %s?' % os.path.join(parent, close[0])
    parts = path.split('/')
    if len(parts) == 2 and all(parts) and not path.startswith(('.', '~')):
        return ": to fetch the model of that name from the Hugging Face hub, pip install 'bert-serving-server[hub]'"
    if len(parts) == 1 and '-' in path and not path.startswith(('.', '~')):
        return ': a model of the Hugging Face hub is named ORGANIZATION/NAME, such as google-bert/bert-base-uncased'
    return ''


def of_a_file(path: str) -> str:
    """For a file where a folder is expected."""
    if path.lower().endswith(ARCHIVES):
        return ': unpack it, and give the folder'
    return ': give the folder that it is in, %s' % (os.path.dirname(path) or '.')


def of_no_model(folder: str) -> str:
    """For a folder without a configuration: the folder inside or around it that has one, or its content."""
    inside = [os.path.join(folder, name) for name in _entries(folder)]
    models = [path for path in _folders_in(folder) if _has_config(path)]
    around = os.path.dirname(os.path.realpath(folder))
    if not models and (_has_config(around) or os.path.isdir(os.path.join(around, 'snapshots'))):
        models = [around]
    if models:
        return ': did you mean %s?' % models[0]
    for path, what in _find(folder, _NO_MODELS):
        return '. It holds %s%s' % ('' if os.path.dirname(path) == folder else path + ', ', what)
    archives = [path for path in inside if path.lower().endswith(ARCHIVES)]
    if archives:
        return ': did you mean to unpack %s first?' % archives[0]
    copies = [copy for name in CONFIGS if (copy := _copy_of(folder, name))]
    if copies:
        return ': did you mean to rename %s?' % copies[0]
    for pattern in ('*.safetensors', '*.ckpt*.index', 'pytorch_model*.bin', 'tokenizer.json', 'vocab.txt'):
        for name in fnmatch.filter(_entries(folder), pattern):
            return '. It holds %s, but no configuration: download the whole folder again' % name
    return '' if inside else '. It is empty'


def whole_of(folder: str) -> str | None:
    """Return the published model that contains `folder` as a part, such as its pooling, or None."""
    around, name = os.path.split(os.path.realpath(folder))
    is_part = _PARTS_OF_MODELS.fullmatch(name) and os.path.isfile(os.path.join(around, 'modules.json'))
    return around if is_part else None


def of_no_file(path: str) -> str:
    """For a missing file: one with that name in another case, or with an ending that browsers add."""
    copy = _copy_of(*os.path.split(path))
    return ': did you mean to rename %s?' % copy if copy else ': download the whole folder again'


def of_no_config(folder: str) -> str:
    """For a missing configuration with the user's file name: the existing one."""
    found = [name for name in CONFIGS if os.path.isfile(os.path.join(folder, name)) and name != 'modules.json']
    return ': did you mean -config_name %s?' % found[0] if found else ''


def of_no_checkpoint(prefix: str) -> str:
    """For a missing Google checkpoint: the existing ones, with the option that names them."""
    folder, name = os.path.split(prefix)
    stems = sorted({entry.removesuffix('.index') for entry in _entries(folder) if entry.endswith('.index')})
    for suffix in ('.index', '.meta'):
        if name.removesuffix(suffix) in stems:
            return ': -ckpt_name is the common beginning of the files, %s' % name.removesuffix(suffix)
    if '.data-' in name and name.partition('.data-')[0] in stems:
        return ': -ckpt_name is the common beginning of the files, %s' % name.partition('.data-')[0]
    if stems:
        return ': did you mean -ckpt_name %s?' % _last_of(folder, stems)
    for path in _folders_in(folder):
        if any(entry.endswith('.index') and '.ckpt' in entry for entry in _entries(path)):
            return ': did you mean the folder %s?' % path
    if fnmatch.filter(_entries(folder), '*.data-?????-of-?????'):
        return ': the data are there, but not their index: download the checkpoint again'
    if os.path.isfile(prefix):
        return ': %s has a format that TensorFlow wrote before 2017: convert it with the release that wrote it' % prefix
    return _of_other_weights(folder, is_classifier=False)


def of_no_weights(folder: str, is_classifier: bool) -> str:
    """For a folder without safetensors: the weights that it has instead, and the command to convert them."""
    files = [name for name in _entries(folder) if name.endswith('.safetensors')]
    shards = [name for name in files if '-of-' in name]
    if shards:
        return (
            ': %s is one of several files, and model.safetensors.index.json, which joins them, is missing' % shards[0]
        )
    if len(files) == 1:
        return ': did you mean -ckpt_name %s?' % files[0]
    return _of_other_weights(folder, is_classifier)


def of_no_tokenizer(folder: str) -> str:
    """For a folder without a supported vocabulary: the command that writes a tokenizer.json."""
    for name in ('sentencepiece.bpe.model', 'spiece.model', 'spm.model', 'vocab.json', 'tokenizer_config.json'):
        if os.path.lexists(os.path.join(folder, name)):
            return '. Convert %s with `%s`' % (
                name,
                'python -c "from transformers import AutoTokenizer; '
                'AutoTokenizer.from_pretrained(%r).save_pretrained(%r)"' % (folder, folder),
            )
    return ''


def _of_other_weights(folder: str, is_classifier: bool) -> str:
    for pattern, what in _OTHER_WEIGHTS:
        for name in fnmatch.filter(_entries(folder), pattern):
            source = {'tf_model.h5': ', from_tf=True', 'flax_model.msgpack': ', from_flax=True'}.get(name, '')
            kind = 'AutoModelForSequenceClassification' if is_classifier else 'AutoModel'
            return '. There is %s, %s: convert it with `python -c "from transformers import %s; %s"`' % (
                name,
                what,
                kind,
                '%s.from_pretrained(%r%s).save_pretrained(%r)' % (kind, folder, source, folder),
            )
    for path, what in _find(folder, _NO_MODELS):
        return '. There is only %s, %s' % (path, what)
    return ': download the whole folder again'


def _last_of(folder: str, stems: Sequence[str]) -> str:
    """The checkpoint that was written last."""
    return max(stems, key=lambda stem: (os.path.getmtime(os.path.join(folder, stem + '.index')), stem))


def _has_config(folder: str) -> bool:
    return any(os.path.isfile(os.path.join(folder, name)) for name in CONFIGS)


def _folders_in(folder: str) -> Iterator[str]:
    """The subfolders of a folder to depth 2, except parts of a model."""
    for depth in (1, 2):
        for path in islice(_paths_in(folder, depth), MOST_ENTRIES):
            if os.path.isdir(path) and not _PARTS_OF_MODELS.fullmatch(os.path.basename(path)):
                yield path


def _paths_in(folder: str, depth: int) -> Iterator[str]:
    for name in _entries(folder):
        path = os.path.join(folder, name)
        if depth == 1:
            yield path
        elif os.path.isdir(path):
            yield from _paths_in(path, depth - 1)


def _find(folder: str, kinds: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The files of these kinds in a folder and its subfolders, each with a description."""
    for depth in (1, 2):
        paths = list(islice(_paths_in(folder, depth), MOST_ENTRIES))
        for pattern, what in kinds:
            for path in paths:
                if fnmatch.fnmatch(os.path.basename(path), pattern):
                    yield path, what


def _copy_of(folder: str, name: str) -> str | None:
    """The file with this name in another case, or with an ending that browsers and editors add."""
    stem, ending = os.path.splitext(name)
    for entry in _entries(folder or '.'):
        lower = entry.lower()
        added = lower.startswith(stem) and _COPIES.fullmatch(lower.removeprefix(stem).replace(ending, '', 1))
        if entry != name and (lower == name or added):
            return os.path.join(folder, entry)
    return None


def _entries(folder: str) -> list[str]:
    """The names in a folder, up to a maximum, or none if it cannot be read."""
    try:
        return sorted(os.listdir(folder))[:MOST_ENTRIES]
    except OSError:
        return []
