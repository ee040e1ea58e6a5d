"""Hints for a folder that is nearly right: the files that it has instead, and the one command that helps.

Each function returns the end of an error message, which begins with `: ` or is empty.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches

CONFIGS = ('bert_config.json', 'config.json', 'modules.json')
ARCHIVES = ('.zip', '.tar', '.gz', '.tgz', '.bz2', '.xz', '.7z')

MOST_ENTRIES = 1000
"""Of a folder that are looked at."""

_OTHER_WEIGHTS = (
    ('pytorch_model.bin', 'a pickle of PyTorch, which is never loaded'),
    ('pytorch_model.bin.index.json', 'pickles of PyTorch, which are never loaded'),
    ('tf_model.h5', 'weights of Keras'),
    ('flax_model.msgpack', 'weights of Flax'),
    ('model.ckpt.index', 'a TensorFlow checkpoint'),
)
_NO_MODELS = (
    ('adapter_config.json', 'an adapter without its model: merge it into the model, and serve that folder'),
    ('model.onnx', 'an ONNX file: serve the folder that it was exported from'),
    ('openvino_model.xml', 'an OpenVINO file: serve the folder that it was exported from'),
    ('saved_model.pb', 'a SavedModel: serve the checkpoint that it was exported from'),
)


def of_no_folder(path: str) -> str:
    """For a folder that does not exist: one of nearly that name, or how to get a model of that name from the hub."""
    parent, name = os.path.split(path.rstrip(os.sep))
    close = get_close_matches(
        name, [entry for entry in _entries(parent or '.') if os.path.isdir(os.path.join(parent, entry))]
    )
    if close:
        return ': did you mean %s?' % os.path.join(parent, close[0])
    parts = path.split('/')
    if len(parts) == 2 and all(parts) and not path.startswith(('.', '~')):
        return ": to fetch the model of that name from the Hugging Face hub, pip install 'bert-serving-server[hub]'"
    return ''


def of_a_file(path: str) -> str:
    """For a file where a folder is expected."""
    if path.endswith(ARCHIVES):
        return ': unpack it, and give the folder'
    return ': give the folder that it is in, %s' % (os.path.dirname(path) or '.')


def of_no_model(folder: str) -> str:
    """For a folder without any configuration: the folder inside it that has one, or what it holds."""
    for name, what in _NO_MODELS:
        if os.path.lexists(os.path.join(folder, name)):
            return '. It holds %s' % what
    inside = [os.path.join(folder, name) for name in _entries(folder)]
    models = [path for path in inside if any(os.path.isfile(os.path.join(path, name)) for name in CONFIGS)]
    if models:
        return ': did you mean %s?' % models[0]
    archives = [path for path in inside if path.endswith(ARCHIVES)]
    if archives:
        return ': did you mean to unpack %s first?' % archives[0]
    return '' if inside else '. It is empty'


def of_no_checkpoint(prefix: str) -> str:
    """For a checkpoint of Google's kind that is missing: those that are there, by the option that names them."""
    folder, name = os.path.split(prefix)
    stems = sorted({entry.removesuffix('.index') for entry in _entries(folder) if entry.endswith('.index')})
    for suffix in ('.index', '.meta'):
        if name.removesuffix(suffix) in stems:
            return ': -ckpt_name is the common beginning of the files, %s' % name.removesuffix(suffix)
    if '.data-' in name and name.partition('.data-')[0] in stems:
        return ': -ckpt_name is the common beginning of the files, %s' % name.partition('.data-')[0]
    if stems:
        return ': did you mean -ckpt_name %s?' % _last_of(folder, stems)
    return _of_other_weights(folder, is_classifier=False)


def of_no_weights(folder: str, is_classifier: bool) -> str:
    """For a folder without safetensors: the weights that it has instead, and the command that converts them."""
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
    """For a folder without a vocabulary that is served: the command that writes a tokenizer.json."""
    for name in ('sentencepiece.bpe.model', 'spiece.model', 'spm.model', 'vocab.json', 'tokenizer_config.json'):
        if os.path.lexists(os.path.join(folder, name)):
            return '. Convert %s with `%s`' % (
                name,
                'python -c "from transformers import AutoTokenizer; '
                'AutoTokenizer.from_pretrained(%r).save_pretrained(%r)"' % (folder, folder),
            )
    return ''


def _of_other_weights(folder: str, is_classifier: bool) -> str:
    for name, what in _OTHER_WEIGHTS:
        if os.path.lexists(os.path.join(folder, name)):
            source = {'tf_model.h5': ', from_tf=True', 'flax_model.msgpack': ', from_flax=True'}.get(name, '')
            kind = 'AutoModelForSequenceClassification' if is_classifier else 'AutoModel'
            return '. There is %s, %s: convert it with `python -c "from transformers import %s; %s"`' % (
                name,
                what,
                kind,
                '%s.from_pretrained(%r%s).save_pretrained(%r)' % (kind, folder, source, folder),
            )
    return ''


def _last_of(folder: str, stems: Sequence[str]) -> str:
    """Which of several checkpoints was written last."""
    return max(stems, key=lambda stem: (os.path.getmtime(os.path.join(folder, stem + '.index')), stem))


def _entries(folder: str) -> list[str]:
    """The names in a folder, some of them if there are very many; none if it cannot be read."""
    try:
        return sorted(os.listdir(folder))[:MOST_ENTRIES]
    except OSError:
        return []
