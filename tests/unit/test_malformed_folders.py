"""Folders that cannot be served: each is one line that says which file and what is wrong, before any process starts.

Half a download, a clone without its large files, a folder that was edited by hand, or one made to harm. The files are
sparse where their size is absurd, so a test that read them would take minutes and gigabytes.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bert_serving.server.errors import ModelError
from bert_serving.server.options.settings import Settings
from bert_serving.server.parent.plan import make_plan
from support.serving import MODELS

PUBLISHED = Path(__file__).parents[1] / 'golden' / 'data' / 'published' / 'models'
GOOGLE = MODELS / 'uncased_L-4_H-32_A-4'
BERT = PUBLISHED / 'bert-mean-norm'
DENSE = PUBLISHED / 'bert-cased-dense'
SHARDED = PUBLISHED / 'sharded'

WITHIN_S = 20
"""On a machine that is busy; alone, each takes less than a second."""

LFS = b'version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 90868376\n' % (b'0' * 64)
INDEX = 'model.safetensors.index.json'

Change = Callable[[Path], None]


def write(file: str, data: bytes | str) -> Change:
    def change(folder: Path) -> None:
        (folder / file).write_bytes(data if isinstance(data, bytes) else data.encode())

    return change


def edit(file: str, **values: object) -> Change:
    """Other values of some keys of a JSON object."""

    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text('utf-8'))
        (folder / file).write_text(json.dumps({**content, **values}), 'utf-8')

    return change


def remove(*files: str) -> Change:
    def change(folder: Path) -> None:
        for file in files:
            path = folder / file
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def cut(file: str, size: int) -> Change:
    """Half a download, or with a size above its own a sparse file."""
    return lambda folder: os.truncate(folder / file, size)


def link(file: str, target: str) -> Change:
    def change(folder: Path) -> None:
        (folder / file).unlink()
        (folder / file).symlink_to(target)

    return change


def fifo(file: str) -> Change:
    """Opened like a file, it would wait for ever."""

    def change(folder: Path) -> None:
        (folder / file).unlink()
        os.mkfifo(folder / file)

    return change


def directory(file: str) -> Change:
    def change(folder: Path) -> None:
        (folder / file).unlink()
        (folder / file).mkdir()

    return change


def module(number: int, **values: object) -> Change:
    """Other values of a module of modules.json; a new one at the end."""

    def change(folder: Path) -> None:
        modules = json.loads((folder / 'modules.json').read_text('utf-8'))
        modules[number:] = [{**(modules[number] if number < len(modules) else {}), **values}, *modules[number + 1 :]]
        (folder / 'modules.json').write_text(json.dumps(modules), 'utf-8')

    return change


def header(file: str, content: bytes | Mapping[str, Any], length: int | None = None) -> Change:
    """A safetensors file with this header, which says that it has `length` bytes."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return write(file, (len(data) if length is None else length).to_bytes(8, 'little') + data)


def both(*changes: Change) -> Change:
    def change(folder: Path) -> None:
        for each in changes:
            each(folder)

    return change


def tokenizer(**values: object) -> Change:
    return edit('tokenizer.json', **values)


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b'1' + b'}' * levels


def tensor(shape: list[int], begin: int, end: int, dtype: str = 'F32') -> dict[str, Any]:
    return {'embeddings.word_embeddings.weight': {'dtype': dtype, 'shape': shape, 'data_offsets': [begin, end]}}


Case = tuple[Path, Change, str, str]

CASES: Mapping[str, Case] = {
    # Missing and empty
    'nothing': (BERT, remove(*os.listdir(BERT)), '', 'holds no model'),
    'no config': (BERT, remove('config.json'), 'config.json', 'holds no model'),
    'no weights': (BERT, remove('model.safetensors'), 'model.safetensors', 'missing'),
    'no tokenizer': (BERT, remove('tokenizer.json'), 'tokenizer.json', 'missing'),
    'no pooling': (BERT, remove('1_Pooling'), '1_Pooling/config.json', 'missing'),
    'no dense config': (DENSE, remove('2_Dense/config.json'), '2_Dense/config.json', 'missing'),
    'no dense weights': (DENSE, remove('2_Dense/model.safetensors'), '2_Dense/model.safetensors', 'missing'),
    'no shard': (SHARDED, remove('model-00002-of-00002.safetensors'), 'model-00002-of-00002.safetensors', 'missing'),
    'no index': (SHARDED, remove(INDEX), INDEX, 'missing'),
    'google without data': (GOOGLE, remove('bert_model.ckpt.data-00000-of-00001'), 'bert_model.ckpt', 'no data'),
    'google without vocabulary': (GOOGLE, remove('vocab.txt'), 'vocab.txt', 'missing'),
    'empty config': (BERT, write('config.json', ''), 'config.json', 'is empty'),
    'empty weights': (BERT, write('model.safetensors', ''), 'model.safetensors', 'is empty'),
    'empty tokenizer': (BERT, write('tokenizer.json', ''), 'tokenizer.json', 'is empty'),
    'empty modules': (BERT, write('modules.json', '[]'), 'modules.json', '0 modules'),
    'empty vocabulary': (GOOGLE, write('vocab.txt', ''), 'vocab.txt', 'is empty'),
    'empty checkpoint': (GOOGLE, write('bert_model.ckpt.index', ''), 'bert_model.ckpt.index', 'is empty'),
    'empty data': (GOOGLE, write('bert_model.ckpt.data-00000-of-00001', ''), 'ckpt.data-00000-of-00001', 'is empty'),
    # Truncated
    'half a config': (BERT, cut('config.json', 300), 'config.json', 'is not JSON'),
    'half the modules': (BERT, cut('modules.json', 100), 'modules.json', 'is not JSON'),
    'half the weights': (BERT, cut('model.safetensors', 60_000), 'model.safetensors', 'its tensors need'),
    'half a header': (BERT, cut('model.safetensors', 200), 'model.safetensors', 'its header would have'),
    'half a tokenizer': (BERT, cut('tokenizer.json', 9000), 'tokenizer.json', 'not a tokenizer'),
    'half a shard': (SHARDED, cut('model-00001-of-00002.safetensors', 9000), '00001-of-00002.safetensors', 'need'),
    'half a dense': (DENSE, cut('2_Dense/model.safetensors', 900), '2_Dense/model.safetensors', 'need'),
    # Other contents than the name says
    'a web page': (
        BERT,
        write('config.json', '<!doctype html><title>Sign in</title>'),
        'config.json',
        'a page that a server sent',
    ),
    'a config of a list': (BERT, write('config.json', '[1, 2]'), 'config.json', 'must hold a JSON object'),
    'a config in UTF-16': (BERT, write('config.json', '{}'.encode('utf-16')), 'config.json', 'is not UTF-8'),
    'a pickle': (BERT, write('model.safetensors', b'PK\x03\x04' + b'\x80' * 100), 'model.safetensors', 'header'),
    'modules of an object': (BERT, write('modules.json', '{}'), 'modules.json', 'must hold a JSON array'),
    'modules of numbers': (BERT, write('modules.json', '[1]'), 'modules.json', 'expected an object'),
    'a tokenizer of a number': (BERT, write('tokenizer.json', '5'), 'tokenizer.json', 'not a tokenizer'),
    'a tokenizer of nonsense': (BERT, tokenizer(model={'type': 'Oracle'}), 'tokenizer.json', 'not a tokenizer'),
    'a tokenizer of bytes': (BERT, write('tokenizer.json', b'\xff\xfe\0\0' * 99), 'tokenizer.json', 'tokenizer'),
    'a pointer of LFS': (BERT, write('model.safetensors', LFS), 'model.safetensors', 'git lfs pull'),
    'a pointer in a shard': (SHARDED, write('model-00002-of-00002.safetensors', LFS), '00002-of', 'git lfs pull'),
    'a pointer for a tokenizer': (BERT, write('tokenizer.json', LFS), 'tokenizer.json', 'git lfs pull'),
    'a pointer in a module': (DENSE, write('2_Dense/model.safetensors', LFS), '2_Dense/model', 'git lfs pull'),
    'a pointer for a checkpoint': (
        GOOGLE,
        write('bert_model.ckpt.data-00000-of-00001', LFS),
        'bert_model.ckpt.data-00000-of-00001',
        'git lfs pull',
    ),
    'a pointer after a mark': (
        BERT,
        write('model.safetensors', b'\xef\xbb\xbf' + LFS),
        'model',
        'git lfs pull',
    ),
    'a pointer of an older LFS': (
        BERT,
        write('model.safetensors', LFS.replace(b'git-lfs', b'hawser')),
        'model.safetensors',
        'git lfs pull',
    ),
    'a pointer of git-annex': (
        BERT,
        write('model.safetensors', '/annex/objects/SHA256E-s9--53aa.safetensors\n'),
        'model.safetensors',
        'git annex get model.safetensors',
    ),
    'a web page for weights': (BERT, write('model.safetensors', '<!DOCTYPE html>'), 'model.safetensors', 'a page that'),
    'a web page for a vocabulary': (GOOGLE, write('vocab.txt', '<html><body>404'), 'vocab.txt', 'a page that'),
    'a message for a vocabulary': (GOOGLE, write('vocab.txt', 'Entry not found'), 'vocab.txt', 'has no [UNK]'),
    'a vocabulary in UTF-16': (GOOGLE, write('vocab.txt', '[UNK]'.encode('utf-16')), 'vocab.txt', 'not UTF-8: byte 0'),
    'a vocabulary in Latin-1': (GOOGLE, write('vocab.txt', b'caf\xe9\n'), 'vocab.txt', 'not UTF-8: byte 3'),
    'a tokenizer in UTF-16': (BERT, write('tokenizer.json', '{}'.encode('utf-16')), 'tokenizer.json', 'UTF-8: byte 0'),
    # Not files
    'a folder for a config': (BERT, directory('config.json'), 'config.json', 'is not a file'),
    'a folder for weights': (BERT, directory('model.safetensors'), 'model.safetensors', 'is not a file'),
    'a pipe for a config': (BERT, fifo('config.json'), 'config.json', 'is not a file'),
    'a pipe for weights': (BERT, fifo('model.safetensors'), 'model.safetensors', 'is not a file'),
    'a pipe for a tokenizer': (BERT, fifo('tokenizer.json'), 'tokenizer.json', 'is not a file'),
    'a pipe for modules': (BERT, fifo('modules.json'), 'modules.json', 'is not a file'),
    'a pipe for a vocabulary': (GOOGLE, fifo('vocab.txt'), 'vocab.txt', 'is not a file'),
    'a pipe for a checkpoint': (GOOGLE, fifo('bert_model.ckpt.data-00000-of-00001'), 'ckpt.data', 'is not a file'),
    'a device for a config': (BERT, link('config.json', '/dev/zero'), 'config.json', 'is not a file'),
    'a device for a shard': (SHARDED, link('model-00001-of-00002.safetensors', '/dev/zero'), '00001-of', 'not a file'),
    'a loop of links': (BERT, link('config.json', 'config.json'), 'config.json', 'broken link'),
    'a loop of weights': (
        BERT,
        link('model.safetensors', '../x/model.safetensors'),
        'model.safetensors',
        'broken link',
    ),
    # Names that leave the folder
    'a module above': (BERT, module(1, path='../1_Pooling'), 'modules.json', 'leads out of the folder'),
    'a module at the root': (BERT, module(1, path='/etc'), 'modules.json', 'leads out of the folder'),
    'a shard above': (SHARDED, edit(INDEX, weight_map={'a': '../model.safetensors'}), INDEX, 'no safetensors file'),
    'a shard at the root': (SHARDED, edit(INDEX, weight_map={'a': '/etc/passwd'}), INDEX, 'no safetensors file'),
    # Contradictions
    'a dense of another width': (DENSE, edit('2_Dense/config.json', in_features=25), '2_Dense/config.json', '24'),
    'a pooling of another width': (
        BERT,
        edit('1_Pooling/config.json', word_embedding_dimension=384),
        '1_Pooling/config.json',
        'hidden_size',
    ),
    'a norm of another width': (
        DENSE,
        both(
            module(2, type='sentence_transformers.models.LayerNorm', path='2_Dense'),
            edit('2_Dense/config.json', dimension=7),
        ),
        '2_Dense/config.json',
        '24',
    ),
    'no transformer': (BERT, module(0, type='sentence_transformers.models.Pooling'), 'modules.json', 'first module'),
    'two poolings': (BERT, module(2, type='sentence_transformers.models.Pooling'), 'modules.json', 'one Pooling'),
    'a module of others': (BERT, module(2, type='os.system'), 'modules.json', 'os.system is not served'),
    'a module without path': (BERT, module(1, path=None), 'modules.json', "lacks 'path'"),
    'heads that do not divide': (BERT, edit('config.json', num_attention_heads=5), 'config.json', 'no multiple'),
    'more tokens than embeddings': (BERT, edit('config.json', vocab_size=600), 'tokenizer.json', 'vocab_size'),
    'a default prompt of no name': (
        BERT,
        edit('config_sentence_transformers.json', default_prompt_name='nobody'),
        'config_sentence_transformers.json',
        'default_prompt_name',
    ),
    'an index that lies': (
        SHARDED,
        edit(INDEX, weight_map={'nothing.weight': 'model-00001-of-00002.safetensors'}),
        INDEX,
        'nothing.weight',
    ),
    # Absurd values and sizes
    'no layers': (BERT, edit('config.json', num_hidden_layers=0), 'config.json', 'num_hidden_layers'),
    'a billion layers': (BERT, edit('config.json', num_hidden_layers=10**9), 'config.json', 'num_hidden_layers'),
    'layers in words': (BERT, edit('config.json', num_hidden_layers='three'), 'config.json', 'num_hidden_layers'),
    'true layers': (BERT, edit('config.json', num_hidden_layers=True), 'config.json', 'num_hidden_layers'),
    'a width of 10^100': (BERT, edit('config.json', hidden_size=10**100), 'config.json', 'hidden_size'),
    'an epsilon of NaN': (BERT, edit('config.json', layer_norm_eps=float('nan')), 'config.json', 'layer_norm_eps'),
    'an activation of a list': (BERT, edit('config.json', hidden_act=[]), 'config.json', 'hidden_act'),
    'a type of a list': (BERT, edit('config.json', model_type=['bert']), 'config.json', 'model_type'),
    'a length below none': (BERT, edit('sentence_bert_config.json', max_seq_length=-1), 'max_seq_length', '-1'),
    'a config of gigabytes': (BERT, cut('config.json', 10 << 30), 'config.json', 'at most'),
    'a tokenizer of gigabytes': (BERT, cut('tokenizer.json', 10 << 30), 'tokenizer.json', 'at most'),
    'a vocabulary of 200 MB': (GOOGLE, cut('vocab.txt', 200 << 20), 'vocab.txt', 'at most'),
    'a vocabulary of millions': (
        GOOGLE,
        write('vocab.txt', b'word\n' * (12 << 20)),
        'vocab.txt',
        'has 12582912 tokens',
    ),
    'an index of gigabytes': (SHARDED, cut(INDEX, 10 << 30), INDEX, 'at most'),
    'a header of exabytes': (BERT, header('model.safetensors', b'{}', 2**63), 'model.safetensors', 'its header'),
    'a deep config': (BERT, write('config.json', deep(100_000)), 'config.json', 'nested too deeply'),
    'deep modules': (BERT, write('modules.json', b'[' * 100_000), 'modules.json', 'nested too deeply'),
    'a deep header': (BERT, header('model.safetensors', deep(100_000)), 'model.safetensors', 'header is not JSON'),
    'a deep tokenizer': (BERT, write('tokenizer.json', deep(100_000)), 'tokenizer.json', 'not a tokenizer'),
    'a tensor beyond the file': (
        BERT,
        header('model.safetensors', tensor([2**40], 0, 2**42)),
        'model.safetensors',
        'its tensors need',
    ),
    'a tensor that begins below 0': (
        BERT,
        header('model.safetensors', tensor([1], -4, 0)),
        'model.safetensors',
        'nonsense',
    ),
    'a tensor of another size': (
        BERT,
        header('model.safetensors', tensor([10**9, 10**9], 0, 4)),
        'model.safetensors',
        'of shape',
    ),
    'a thousand modules': (BERT, write('modules.json', json.dumps([{}] * 1000)), 'modules.json', '1000 modules'),
}


def plan(folder: Path) -> None:
    make_plan(Settings(model_dir=str(folder), cpu=True))


@pytest.mark.parametrize('name', ['bert-mean-norm', 'bert-cased-dense', 'sharded'])
def test_what_is_not_changed_is_served(tmp_path: Path, name: str) -> None:
    plan(Path(shutil.copytree(PUBLISHED / name, tmp_path / 'model')))


@pytest.mark.parametrize('case', CASES)
def test_a_folder_that_cannot_be_served(tmp_path: Path, case: str) -> None:
    base, change, file, fault = CASES[case]
    folder = Path(shutil.copytree(base, tmp_path / 'x'))
    change(folder)
    started = time.monotonic()
    with pytest.raises(ModelError) as caught:
        plan(folder)
    message = str(caught.value)
    assert time.monotonic() - started < WITHIN_S
    assert caught.value.exit_code == 2
    assert str(folder) in message
    assert file in message
    assert fault in message
    assert '\n' not in message
    assert len(message) < 1000
