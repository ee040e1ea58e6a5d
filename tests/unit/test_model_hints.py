"""Folders as people have them: what is said of one that is nearly right, and the real name of a model."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bert_serving.server.model.folder import find_model
from bert_serving.server.model.hub_cache import published_name, snapshot_of
from unit.test_model_folder import folder, google, huggingface, refusal  # noqa: F401

COMMIT = '5c38ec7c405ec4b44b94cc5a9bb96e735b38267a'


def test_a_folder_of_nearly_that_name(tmp_path: Path) -> None:
    (tmp_path / 'uncased_L-12_H-768_A-12').mkdir()
    there, asked = tmp_path / 'uncased_L-12_H-768_A-12', tmp_path / 'uncased_L12_H-768_A-12'
    assert refusal(str(asked)) == '-model_dir: there is no folder %s: did you mean %s?' % (asked, there)


def test_a_name_of_the_hub_where_no_such_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "pip install 'bert-serving-server[hub]'" in refusal('BAAI/bge-small-en-v1.5')


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    archive = tmp_path / 'uncased.zip'
    archive.touch()
    assert refusal(str(archive)) == '-model_dir: %s is a file: unpack it, and give the folder' % archive
    config = tmp_path / 'config.json'
    config.touch()
    assert refusal(str(config)).endswith('is a file: give the folder that it is in, %s' % tmp_path)


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        ((), '. It is empty'),
        (('adapter_config.json',), '. It holds an adapter without its model'),
        (('model.onnx',), '. It holds an ONNX file'),
        (('model.zip',), ': did you mean to unpack FOLDER/model.zip first?'),
        (('notes.txt',), ')'),
    ],
)
def test_a_folder_without_a_model(tmp_path: Path, names: tuple[str, ...], expected: str) -> None:
    message = refusal(str(folder(tmp_path / 'm', *names))).replace(str(tmp_path / 'm'), 'FOLDER')
    assert expected in message


def test_a_folder_around_that_of_the_model(tmp_path: Path, huggingface: Path) -> None:  # noqa: F811
    assert refusal(str(tmp_path)).endswith(': did you mean %s?' % huggingface)


def test_a_fine_tuned_checkpoint_of_another_name(google: Path, tmp_path: Path) -> None:  # noqa: F811
    endings = '.index', '.meta', '.data-00000-of-00001'
    tuned = folder(tmp_path / 'tuned', *('model.ckpt-343' + ending for ending in endings))
    assert refusal(str(google), str(tuned)).endswith(': did you mean -ckpt_name model.ckpt-343?')
    for ending in endings:
        message = refusal(str(google), str(tuned), ckpt_name='model.ckpt-343' + ending)
        assert message.endswith(': -ckpt_name is the common beginning of the files, model.ckpt-343')


def test_of_several_checkpoints_the_last_is_meant(google: Path, tmp_path: Path) -> None:  # noqa: F811
    tuned = folder(tmp_path / 'tuned', 'model.ckpt-99.index', 'model.ckpt-343.index')
    os.utime(tuned / 'model.ckpt-99.index', (1, 1))
    assert refusal(str(google), str(tuned)).endswith(': did you mean -ckpt_name model.ckpt-343?')


def test_shards_without_their_index(huggingface: Path) -> None:  # noqa: F811
    (huggingface / 'model.safetensors').rename(huggingface / 'model-00001-of-00002.safetensors')
    assert 'model-00001-of-00002.safetensors is one of several files, and' in refusal(str(huggingface))


def test_weights_of_another_name(huggingface: Path) -> None:  # noqa: F811
    (huggingface / 'model.safetensors').rename(huggingface / 'fp16.safetensors')
    assert refusal(str(huggingface)).endswith(': did you mean -ckpt_name fp16.safetensors?')


def test_a_tokenizer_of_another_form(huggingface: Path) -> None:  # noqa: F811
    (huggingface / 'vocab.txt').rename(huggingface / 'spiece.model')
    assert 'Convert spiece.model with `python -c "from transformers import AutoTokenizer; ' in refusal(str(huggingface))


@pytest.mark.parametrize('spelled', ['"%s"', "'%s'", 'file://%s', '%s\n', ' %s '])
def test_a_folder_with_what_a_shell_or_a_file_manager_adds(huggingface: Path, spelled: str) -> None:  # noqa: F811
    message = refusal(spelled % huggingface)
    assert message.endswith(': did you mean %s?' % huggingface)
    assert '\n' not in message


def test_a_home_that_no_shell_has_expanded(
    huggingface: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('HOME', str(huggingface.parent))
    assert refusal('~/hf').endswith(': did you mean %s?' % huggingface)


@pytest.mark.parametrize('path', ['', ' '])
def test_no_name_at_all(path: str) -> None:
    assert refusal(path).endswith('give a folder, or leave the option out')


@pytest.mark.parametrize(
    'address',
    [
        'https://huggingface.co/BAAI/bge-small-en',
        'huggingface.co/BAAI/bge-small-en/tree/main',
        'hf://BAAI/bge-small-en',
    ],
)
def test_an_address_of_the_hub(address: str) -> None:
    assert refusal(address).endswith(': did you mean -model_dir BAAI/bge-small-en?')


def test_a_name_without_its_organization(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert 'is named ORGANIZATION/NAME, such as google-bert/bert-base-uncased' in refusal('bert-base-uncased')


def test_the_prefix_of_a_checkpoint_in_place_of_its_folder(google: Path) -> None:  # noqa: F811
    assert refusal(str(google / 'bert_model.ckpt')).endswith(
        'give the folder %s, and -ckpt_name bert_model.ckpt' % google
    )


@pytest.mark.parametrize('ending', ['.zip', '.ZIP', '.tar.gz', '.rar'])
def test_an_archive_in_place_of_a_folder(tmp_path: Path, ending: str) -> None:
    archive = tmp_path / ('uncased' + ending)
    archive.touch()
    assert refusal(str(archive)).endswith('is a file: unpack it, and give the folder')
    if ending.islower():
        assert refusal(str(tmp_path / 'uncased')).endswith(': did you mean to unpack %s first?' % archive)


def test_a_folder_two_levels_above_that_of_the_model(tmp_path: Path, huggingface: Path) -> None:  # noqa: F811
    inner = folder(tmp_path / 'top' / 'middle')
    huggingface.rename(inner / 'model')
    assert refusal(str(tmp_path / 'top')).endswith(': did you mean %s?' % (inner / 'model'))


@pytest.mark.parametrize('names', [(), ('model.onnx',), ('events.log',)])
def test_a_folder_inside_that_of_the_model(huggingface: Path, names: tuple[str, ...]) -> None:  # noqa: F811
    assert refusal(str(folder(huggingface / 'onnx', *names))).endswith(': did you mean %s?' % huggingface)


def test_a_module_in_place_of_the_whole_model(huggingface: Path) -> None:  # noqa: F811
    (huggingface / 'modules.json').write_text('[]')
    part = folder(huggingface / '1_Pooling', 'config.json')
    assert refusal(str(part)) == '%s is a part of a model: did you mean %s?' % (part, huggingface)


@pytest.mark.parametrize('inside', ['refs', 'blobs', 'snapshots/main'])
def test_another_folder_of_the_cache(tmp_path: Path, inside: str) -> None:
    cache = hub_cache(tmp_path, COMMIT)
    (cache / 'blobs').mkdir()
    assert refusal(str(cache / inside)).endswith(': did you mean %s?' % cache)


@pytest.mark.parametrize(
    ('names', 'says'),
    [
        (('saved_model.pb',), '. It holds a SavedModel'),
        (('1/saved_model.pb',), '. It holds FOLDER/1/saved_model.pb, a SavedModel'),
        (('variables.index', 'variables.data-00000-of-00001'), '. It holds the variables of a SavedModel'),
        (('model-q4.gguf',), '. It holds a GGUF file'),
        (('model_quantized.onnx',), '. It holds an ONNX file'),
        (('model.safetensors',), '. It holds model.safetensors, but no configuration: download the whole folder again'),
        (('bert_model.ckpt.index',), '. It holds bert_model.ckpt.index, but no configuration'),
        (('vocab.txt',), '. It holds vocab.txt, but no configuration'),
        (('Config.json',), ': did you mean to rename FOLDER/Config.json?'),
        (('config (1).json',), ': did you mean to rename FOLDER/config (1).json?'),
        (('bert_config.json.txt',), ': did you mean to rename FOLDER/bert_config.json.txt?'),
    ],
)
def test_what_a_folder_without_a_model_holds(tmp_path: Path, names: tuple[str, ...], says: str) -> None:
    made = folder(tmp_path / 'm')
    for name in names:
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).touch()
    assert says in refusal(str(made)).replace(str(made), 'FOLDER')


@pytest.mark.parametrize(
    ('name', 'says'),
    [
        ('pytorch_model-00001-of-00002.bin', '. There is pytorch_model-00001-of-00002.bin, one of several pickles'),
        ('model.pt', '. There is model.pt, a pickle of PyTorch'),
        ('onnx/model.onnx', '. There is only FOLDER/onnx/model.onnx, an ONNX file: serve'),
        ('openvino/openvino_model.xml', '. There is only FOLDER/openvino/openvino_model.xml, an OpenVINO file'),
        ('README.md', ': download the whole folder again'),
    ],
)
def test_other_weights_than_those_that_are_served(huggingface: Path, name: str, says: str) -> None:  # noqa: F811
    (huggingface / 'model.safetensors').unlink()
    (huggingface / name).parent.mkdir(exist_ok=True)
    (huggingface / name).touch()
    assert says in refusal(str(huggingface)).replace(str(huggingface), 'FOLDER')


@pytest.mark.parametrize('name', ['Vocab.txt', 'vocab (1).txt', 'vocab.txt.txt', 'vocab.txt.part', 'vocab.txt~'])
def test_a_vocabulary_with_what_a_browser_or_an_editor_adds(google: Path, name: str) -> None:  # noqa: F811
    (google / 'vocab.txt').rename(google / name)
    assert refusal(str(google)).endswith('vocab.txt: did you mean to rename %s?' % (google / name))


def test_a_checkpoint_in_a_folder_inside_or_in_part(google: Path, tmp_path: Path) -> None:  # noqa: F811
    folder(tmp_path / 'out' / 'logs', 'events')
    tuned = folder(tmp_path / 'out' / 'tuned', 'model.ckpt-343.index')
    assert refusal(str(google), str(tmp_path / 'out')).endswith(': did you mean the folder %s?' % tuned)
    (google / 'bert_model.ckpt.index').unlink()
    assert refusal(str(google)).endswith('the data are there, but not their index: download the checkpoint again')
    for path in google.glob('*.data-*'):
        path.unlink()
    (google / 'bert_model.ckpt').touch()
    assert 'has a format that TensorFlow wrote before 2017' in refusal(str(google))


def test_a_configuration_of_another_name_than_the_users(google: Path) -> None:  # noqa: F811
    message = refusal(str(google), config_name='my_config.json')
    assert message.endswith('my_config.json: did you mean -config_name bert_config.json?')


def test_a_folder_of_many_folders_is_told_of_within_a_second(tmp_path: Path) -> None:
    for outer in range(40):
        for inner in range(40):
            folder(tmp_path / 'many' / str(outer) / str(inner))
    began = time.process_time()
    assert 'holds no model' in refusal(str(tmp_path / 'many'))
    assert time.process_time() - began < 1


# ---- names


def hub_cache(tmp_path: Path, *commits: str, main: str | None = COMMIT) -> Path:
    cache = tmp_path / 'models--BAAI--bge-small-en'
    for commit in commits:
        folder(cache / 'snapshots').joinpath(commit).mkdir()
    (cache / 'snapshots').mkdir(exist_ok=True, parents=True)
    (cache / 'refs').mkdir()
    if main is not None:
        (cache / 'refs' / 'main').write_text(main + '\n')
    return cache


@pytest.fixture(autouse=True)
def parents(tmp_path: Path) -> None:
    (tmp_path / 'models--BAAI--bge-small-en').mkdir()


def test_a_folder_of_the_cache_is_the_snapshot_of_its_branch(tmp_path: Path) -> None:
    cache = hub_cache(tmp_path, 'a' * 40, COMMIT)
    assert snapshot_of(str(cache)) == str(cache / 'snapshots' / COMMIT)


def test_without_a_branch_it_is_the_only_snapshot(tmp_path: Path) -> None:
    cache = hub_cache(tmp_path, 'a' * 40, main=None)
    assert snapshot_of(str(cache)) == str(cache / 'snapshots' / ('a' * 40))


@pytest.mark.parametrize('main', ['../../..', 'b' * 40, ''])
def test_a_branch_that_leads_nowhere_is_not_followed(tmp_path: Path, main: str) -> None:
    cache = hub_cache(tmp_path, COMMIT, main=main)
    assert snapshot_of(str(cache)) == str(cache / 'snapshots' / COMMIT)


def test_no_snapshot_and_several(tmp_path: Path) -> None:
    cache = hub_cache(tmp_path, main=None)
    assert refusal(str(cache)) == '%s has no snapshot: download the model again' % (cache / 'snapshots')
    for commit in ('a' * 40, 'b' * 40):
        (cache / 'snapshots' / commit).mkdir()
    assert 'has 2 snapshots: give -model_dir one of them, such as' in refusal(str(cache))


def test_any_other_folder_is_meant_itself(tmp_path: Path) -> None:
    assert snapshot_of(str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize(
    ('path', 'name'),
    [
        ('bge-small', 'bge-small'),
        ('bge-small/', 'bge-small'),
        ('bge-small/.', 'bge-small'),
        ('bge-small/inner/..', 'bge-small'),
        ('bge-small/model', 'bge-small'),
        ('models--BAAI--bge-small-en', 'BAAI/bge-small-en'),
        ('models--BAAI--bge-small-en/snapshots/' + COMMIT, 'BAAI/bge-small-en'),
        ('models--gpt2', 'gpt2'),
        ('link', 'bge-small'),
    ],
)
def test_the_name_of_a_model_is_that_of_its_folder(tmp_path: Path, path: str, name: str) -> None:
    (tmp_path / 'bge-small' / 'inner').mkdir(parents=True)
    (tmp_path / 'link').symlink_to(tmp_path / 'bge-small')
    assert published_name(str(tmp_path) + '/' + path) == name


def test_the_name_of_the_folder_that_one_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'bge-small').mkdir()
    monkeypatch.chdir(tmp_path / 'bge-small')
    assert published_name('.') == 'bge-small'


def test_a_root_without_a_name_is_a_bert() -> None:
    assert published_name('/') == 'bert'


def test_the_embedded_model_has_the_name_that_it_is_published_under() -> None:
    assert find_model(None).name == 'all-MiniLM-L6-v2'
