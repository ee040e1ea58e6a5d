"""Names of models on the hub, and which files of a repository are the model."""

from __future__ import annotations

import pytest

from bert_serving.server.errors import ModelError
from bert_serving.server.model import hub_files
from bert_serving.server.model.hub_files import HubName, Repository, shards

NAME = HubName('org/name')


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        ('sentence-transformers/all-mpnet-base-v2', HubName('sentence-transformers/all-mpnet-base-v2')),
        ('BAAI/bge-small-en-v1.5@v1', HubName('BAAI/bge-small-en-v1.5', 'v1')),
        ('org/name@refs/pr/3', HubName('org/name', 'refs/pr/3')),
    ],
)
def test_names(text: str, name: HubName) -> None:
    assert HubName.parse(text) == name
    assert str(name) == text


@pytest.mark.parametrize(
    'text',
    [
        '',
        'name',
        '/org/name',
        './name',
        '../name',
        '~/name',
        'a/b/c',
        'org/',
        'org/name@',
        'org/name@../x',
        'org/na me',
    ],
)
def test_what_can_only_be_a_path(text: str) -> None:
    assert HubName.parse(text) is None


@pytest.mark.parametrize(
    'file', ['../../escaped', '/etc/escaped', 'a/../../b', 'a\\..\\b', '', 'a//b', '.', 'c:d', 'a\0b']
)
def test_names_that_leave_the_folder(file: str) -> None:
    with pytest.raises(ModelError, match='leads out of the folder'):
        Repository.of(NAME, ['config.json', file])


def test_only_what_is_served_is_fetched() -> None:
    here = [
        'modules.json',
        'config.json',
        'tokenizer.json',
        'model.safetensors',
        'pytorch_model.bin',
        'onnx/model.onnx',
    ]
    repository = Repository.of(
        NAME, [*here, '1_Pooling/config.json', '2_Dense/config.json', '2_Dense/model.safetensors']
    )
    assert repository.settings('') == ['modules.json', 'config.json', 'tokenizer.json']
    assert repository.module_files(['1_Pooling', '2_Dense']) == [
        '1_Pooling/config.json',
        '2_Dense/config.json',
        '2_Dense/model.safetensors',
    ]
    assert repository.weights('') == 'model.safetensors'


def test_an_encoder_in_a_folder_of_its_own() -> None:
    repository = Repository.of(NAME, ['modules.json', '0_Transformer/config.json', '0_Transformer/model.safetensors'])
    assert repository.settings('0_Transformer') == ['modules.json', '0_Transformer/config.json']
    assert repository.weights('0_Transformer') == '0_Transformer/model.safetensors'


def test_tokens_that_were_added_next_to_a_vocabulary_are_fetched_too() -> None:
    names = ['config.json', 'vocab.txt', 'added_tokens.json', 'pytorch_model.bin']
    assert Repository.of(NAME, names).settings('') == ['config.json', 'vocab.txt', 'added_tokens.json']


def test_names_that_the_user_gave() -> None:
    repository = Repository.of(NAME, ['my.json', 'my.safetensors', 'model.safetensors'])
    assert repository.settings('', 'my.json') == ['my.json']
    assert repository.weights('', 'my.safetensors') == 'my.safetensors'


def test_a_module_with_a_pickle_only() -> None:
    repository = Repository.of(NAME, ['modules.json', '2_Dense/config.json', '2_Dense/pytorch_model.bin'])
    with pytest.raises(ModelError, match=r'2_Dense/pytorch_model\.bin on the hub, but no safetensors'):
        repository.module_files(['2_Dense'])


def test_shards() -> None:
    assert shards('index', {'weight_map': {'a': 'b.safetensors', 'c': 'a.safetensors', 'd': 'b.safetensors'}}) == [
        'a.safetensors',
        'b.safetensors',
    ]


@pytest.mark.parametrize(
    'index', [None, {}, {'weight_map': {}}, {'weight_map': {'a': 1}}, {'weight_map': {'a': '../a.safetensors'}}]
)
def test_an_index_that_is_nonsense(index: object) -> None:
    with pytest.raises(ModelError, match='weight_map'):
        shards('index', index)


def test_a_listing_of_absurdly_many_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_files, 'MOST_FILES', 2)
    with pytest.raises(ModelError, match='has 3 files on the hub: at most 2 are listed'):
        Repository.of(NAME, ['a', 'b', 'c'])


def test_shards_are_found_by_their_index() -> None:
    repository = Repository.of(NAME, ['config.json', 'model.safetensors.index.json', 'pytorch_model.bin'])
    assert repository.weights('') == 'model.safetensors.index.json'
    assert repository.weights('', 'model.safetensors') == 'model.safetensors.index.json'


@pytest.mark.parametrize(
    ('files', 'word'), [(['modules.json'], 'SentenceTransformer'), (['config.json'], 'AutoTokenizer')]
)
def test_an_encoder_with_a_pickle_only_comes_with_the_command_that_converts_it(files: list[str], word: str) -> None:
    repository = Repository.of(NAME, [*files, 'pytorch_model.bin'])
    with pytest.raises(ModelError, match=r'has pytorch_model\.bin on the hub, but no safetensors.*' + word):
        repository.weights('')


def test_a_repository_without_weights() -> None:
    with pytest.raises(ModelError, match=r'has no model\.safetensors on the hub: it is not a model'):
        Repository.of(NAME, ['config.json', 'README.md']).weights('')
