"""What a published folder says of its own use, in the style of every release, and errors about wrong folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bert_serving.server.errors import ModelError
from bert_serving.server.model.config import Head
from bert_serving.server.model.encoder_settings import EncoderSettings
from bert_serving.server.model.folder import find_model
from bert_serving.server.model.pipeline import Dense, LayerNorm, Normalize, Pooling
from bert_serving.server.model.published import (
    Published,
    is_published,
    read_module_paths,
    read_published,
)
from bert_serving.server.model.torch_activations import torch_activation

MODELS = Path(__file__).parents[1] / 'golden' / 'data' / 'published' / 'models'
CASES = sorted((MODELS.parent / 'cases').glob('*.json'))

OLD = 'sentence_transformers.models.'
NEW = (
    'sentence_transformers.base.modules.transformer.Transformer',
    ('sentence_transformers.sentence_transformer.modules.pooling.Pooling'),
)


class Folder:
    """A published folder that a test writes piece by piece."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, value: Any) -> Folder:
        path = self.path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return self

    def modules(self, *types: str, paths: tuple[str, ...] = ()) -> Folder:
        names = [type_.rpartition('.')[2] for type_ in types]
        paths = paths or ('', *('%d_%s' % (index, name) for index, name in enumerate(names) if index))
        for path in paths:
            (self.path / path).mkdir(exist_ok=True, parents=True)
        return self.write(
            'modules.json', [{'type': type_, 'path': path} for type_, path in zip(types, paths, strict=True)]
        )

    def read(self) -> Published:
        return read_published(str(self.path))

    def fault(self) -> str:
        with pytest.raises(ModelError) as caught:
            self.read()
        message = str(caught.value)
        assert '\n' not in message
        return message.replace(str(self.path), 'FOLDER')


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def plain(folder: Folder) -> Folder:
    return folder.modules(OLD + 'Transformer', OLD + 'Pooling').write('1_Pooling/config.json', {'pooling_mode': 'cls'})


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.stem)
def test_every_folder_that_we_have_answers_of_is_read_as_its_authors_read_it(case: Path) -> None:
    expected = json.loads(case.read_text('utf-8'))
    model = find_model(str(MODELS / expected['model']))
    assert model.name == expected['model']
    pipeline = model.pipeline
    assert pipeline is not None
    positions = model.config.max_position_embeddings
    length = min(pipeline.max_seq_len or positions, positions)
    assert length == expected.get('max_seq_length', expected.get('max_length'))
    if 'modules' in expected:
        modules = [type(module).__name__ for module in pipeline.modules]
        assert ['Transformer', 'Pooling', *modules] == expected['modules']
        assert pipeline.similarity == expected['similarity']
    else:
        assert pipeline.pooling is None
        assert model.config.head is not None
        assert len(model.config.head.labels) == expected['num_labels']


def test_a_folder_without_modules_is_not_published(tmp_path: Path) -> None:
    assert not is_published(str(tmp_path))
    (tmp_path / 'modules.json').touch()
    assert is_published(str(tmp_path))


@pytest.mark.parametrize('types', [(OLD + 'Transformer', OLD + 'Pooling'), NEW])
def test_types_of_old_and_new_releases_are_the_same_modules(folder: Folder, types: tuple[str, str]) -> None:
    published = folder.modules(*types).write('1_Pooling/config.json', {'pooling_mode': 'cls'}).read()
    assert published.pipeline.pooling == Pooling(('cls',))


def test_an_encoder_in_a_folder_of_its_own(folder: Folder) -> None:
    folder.modules(OLD + 'Transformer', OLD + 'Pooling', paths=('0_Transformer', '1_Pooling'))
    folder.write('1_Pooling/config.json', {}).write('0_Transformer/sentence_bert_config.json', {'max_seq_length': 128})
    published = folder.read()
    assert published.encoder == str(folder.path / '0_Transformer')
    assert published.pipeline.max_seq_len == 128


@pytest.mark.parametrize(
    ('config', 'modes'),
    [
        ({}, ('mean',)),
        ({'pooling_mode_mean_tokens': False, 'pooling_mode_lasttoken': False}, ('mean',)),
        (
            {'pooling_mode_mean_tokens': True, 'pooling_mode_cls_token': True, 'pooling_mode_max_tokens': True},
            ('cls', 'max', 'mean'),
        ),
        ({'pooling_mode': 'lasttoken', 'pooling_mode_cls_token': True}, ('lasttoken',)),
        ({'pooling_mode': ['weightedmean', 'cls']}, ('weightedmean', 'cls')),
        ({'pooling_mode_mean_sqrt_len_tokens': True}, ('mean_sqrt_len_tokens',)),
    ],
)
def test_modes_of_pooling(plain: Folder, config: dict[str, Any], modes: tuple[str, ...]) -> None:
    plain.write('1_Pooling/config.json', config)
    assert plain.read().pipeline.pooling == Pooling(modes)  # type: ignore[arg-type]


def test_a_prompt_may_be_left_out_of_pooling(plain: Folder) -> None:
    plain.write('1_Pooling/config.json', {'pooling_mode': 'mean', 'include_prompt': False})
    assert plain.read().pipeline.pooling == Pooling(('mean',), include_prompt=False)


def test_what_comes_after_pooling(folder: Folder) -> None:
    kinds = 'Transformer', 'Pooling', 'Dense', 'Dropout', 'LayerNorm', 'Normalize'
    folder.modules(*(OLD + kind for kind in kinds)).write('1_Pooling/config.json', {})
    dense = {
        'in_features': 8,
        'out_features': 4,
        'bias': False,
        'activation_function': 'torch.nn.modules.linear.Identity',
    }
    folder.write('2_Dense/config.json', dense).write('2_Dense/model.safetensors', 'x')
    folder.write('4_LayerNorm/config.json', {'dimension': 4}).write('4_LayerNorm/model.safetensors', 'x')
    assert folder.read().pipeline.modules == (
        Dense(8, 4, False, 'linear', str(folder.path / '2_Dense' / 'model.safetensors')),
        LayerNorm(4, str(folder.path / '4_LayerNorm' / 'model.safetensors')),
        Normalize(),
    )


def test_a_dense_module_has_a_bias_and_tanh_unless_it_says_otherwise(folder: Folder) -> None:
    folder.modules(*(OLD + kind for kind in ('Transformer', 'Pooling', 'Dense'))).write('1_Pooling/config.json', {})
    folder.write('2_Dense/config.json', {'in_features': 8, 'out_features': 4}).write('2_Dense/model.safetensors', 'x')
    (dense,) = folder.read().pipeline.modules
    assert isinstance(dense, Dense)
    assert (dense.bias, dense.activation) == (True, 'tanh')


@pytest.mark.parametrize(
    ('path', 'function'),
    [
        ('torch.nn.modules.activation.SELU', 'selu'),
        ('torch.nn.modules.linear.Identity', 'linear'),
        ('torch.nn.GELU', 'gelu'),
        ('torch.nn.modules.activation.PReLU', None),  # which has a weight
        ('mine.Tanh', None),
        ('Tanh', None),
        (['Tanh'], None),
    ],
)
def test_an_activation_is_a_class_of_torch_by_its_path(path: object, function: str | None) -> None:
    assert torch_activation(path) == function


NEW_CROSS_ENCODER = {'model_type': 'CrossEncoder', 'prompts': {}, 'default_prompt_name': None}
IDENTITY, SIGMOID = 'torch.nn.modules.linear.Identity', 'torch.nn.modules.activation.Sigmoid'


@pytest.mark.parametrize(
    ('labels', 'said', 'activation'),
    [(1, {}, 'sigmoid'), (1, {'activation_fn': None}, 'sigmoid'), (1, {'activation_fn': IDENTITY}, 'linear'),
     (1, {'activation_fn': SIGMOID}, 'sigmoid'), (3, {'activation_fn': IDENTITY}, 'softmax')],
)  # fmt: skip
def test_the_activation_of_a_cross_encoder_as_release_6_writes_it(
    plain: Folder, labels: int, said: dict[str, Any], activation: str
) -> None:
    """In the file of the prompts, no longer in the config of the encoder."""
    head = Head(tuple(map(str, range(labels))), 'softmax' if labels > 1 else 'sigmoid')
    cross_encoder = plain.modules(NEW[0]).write('config_sentence_transformers.json', {**NEW_CROSS_ENCODER, **said})
    ours = cross_encoder.read().head(head)
    assert ours is not None
    assert ours.activation == activation


def test_an_activation_of_a_cross_encoder_that_is_not_served(plain: Folder) -> None:
    use = {**NEW_CROSS_ENCODER, 'activation_fn': 'torch.nn.modules.activation.Tanh'}
    published = plain.modules(NEW[0]).write('config_sentence_transformers.json', use).read()
    with pytest.raises(ModelError, match="'activation_fn' must be Identity, Sigmoid or Softmax of torch, not"):
        published.head(Head(('x',), 'sigmoid'))
    assert published.head(None) is None


def test_a_folder_that_pools_is_an_encoder_even_if_its_encoder_was_tuned_for_classification(plain: Folder) -> None:
    assert plain.read().head(Head(('x',), 'sigmoid')) is None


def test_prompts_and_similarity(plain: Folder) -> None:
    plain.write(
        'config_sentence_transformers.json',
        {
            'prompts': {'query': 'query: ', 'document': ''},
            'default_prompt_name': 'query',
            'similarity_fn_name': 'dot',
        },
    )
    pipeline = plain.read().pipeline
    assert pipeline.prompts == {'query': 'query: ', 'document': ''}
    assert pipeline.default_prompt_name == 'query'
    assert pipeline.similarity == 'dot'


def test_a_folder_that_lowers_its_texts(plain: Folder) -> None:
    assert not plain.read().pipeline.lower_case
    plain.write('sentence_bert_config.json', {'do_lower_case': True})
    assert plain.read().pipeline.lower_case


@pytest.mark.parametrize(
    ('settings', 'tokenizer', 'expected'),
    [
        ({'max_seq_length': 256}, {'model_max_length': 512}, 256),
        ({'max_seq_length': None}, {'model_max_length': 512}, 512),
        (None, {'model_max_length': 512}, 512),
        (None, {'max_len': 128}, 128),
        ({'max_seq_length': 256, 'tokenizer_args': {'model_max_length': 14}}, None, 14),
        ({'max_seq_length': 256, 'processor_kwargs': {'use_fast': True}}, None, 256),
        (
            {'processing_kwargs': {'text': {'max_length': 9}}, 'processor_kwargs': {'model_max_length': 14}},
            {'model_max_length': 512},
            9,
        ),
        ({'max_seq_length': 8, 'processing_kwargs': {'text': {'padding': 'longest'}, 'common': {}}}, None, 8),
        (None, {'model_max_length': 1000000000000000019884624838656}, None),
        (None, {'model_max_length': 1e30}, None),
        (None, {}, None),
        (None, None, None),
    ],
)
def test_the_longest_row(folder: Folder, settings: object, tokenizer: object, expected: int | None) -> None:
    if settings is not None:
        folder.write('sentence_bert_config.json', settings)
    if tokenizer is not None:
        folder.write('tokenizer_config.json', tokenizer)
    assert EncoderSettings.read(str(folder.path)).max_seq_len == expected


LOGITS = {
    'transformer_task': 'sequence-classification',
    'modality_config': {'text': {'method': 'forward', 'method_output_name': 'logits'}},
}
"""The settings of a cross-encoder, as release 6 of sentence-transformers writes them."""


def test_the_task_of_a_cross_encoder_makes_it_one(folder: Folder) -> None:
    folder.modules(NEW[0]).write('sentence_bert_config.json', LOGITS)
    assert EncoderSettings.read(str(folder.path)) == EncoderSettings(None, lower_case=False, is_classifier=True)
    published = folder.read()
    assert published.is_classifier
    assert published.pipeline.pooling is None


def test_a_cross_encoder_has_no_states_to_pool(plain: Folder) -> None:
    """SentenceTransformer fails on such a folder when it encodes the first text."""
    plain.write('sentence_bert_config.json', LOGITS)
    assert plain.fault() == (
        'FOLDER/modules.json: the transformer_task of FOLDER is sequence-classification, which leaves no states for a '
        'Pooling: remove that key from the settings of the encoder, or the Pooling'
    )


@pytest.mark.parametrize('names', [None, ['BertModel']])
def test_the_head_of_a_cross_encoder_whose_config_names_no_class_of_one(
    folder: Folder, names: list[str] | None
) -> None:
    """As CrossEncoder reads it: with one label, regardless of the labels in the config."""
    shutil.copytree(MODELS / 'ce-bert-one', folder.path, dirs_exist_ok=True)
    values = json.loads((folder.path / 'config.json').read_text('utf-8'))
    folder.write('config.json', {**values, 'architectures': names, 'id2label': {'0': 'a', '1': 'b'}})
    assert find_model(str(folder.path)).config.head is None, 'nothing says that it is one'
    folder.modules(NEW[0]).write('sentence_bert_config.json', LOGITS)
    assert find_model(str(folder.path)).config.head == Head(('LABEL_0',), 'sigmoid')


LAST_STATES = {'method': 'forward', 'method_output_name': 'last_hidden_state'}


@pytest.mark.parametrize(
    'settings',
    [
        {'model_args': {'trust_remote_code': True, 'add_pooling_layer': False}, 'config_args': {}},
        {'transformer_task': 'feature-extraction', 'modality_config': {'text': LAST_STATES}, 'query_length': None},
        {'modality_config': {'text': {**LAST_STATES, 'method_output_name': ['last_hidden_state']}}},
        {'modality_config': {'text': {**LAST_STATES, 'method_output_name': ['hidden_states', -1]}}},
        {'query_length': 6, 'document_length': 7},
    ],
)
def test_settings_of_an_encoder_that_change_no_answer(folder: Folder, settings: dict[str, Any]) -> None:
    folder.write('sentence_bert_config.json', {**settings, 'max_seq_length': 8})
    assert EncoderSettings.read(str(folder.path)) == EncoderSettings(8, lower_case=False)


@pytest.mark.parametrize(
    ('settings', 'fault'),
    [
        ({'query_length': 0}, "'query_length' must be a number from 1 to"),
        ({'document_length': '32'}, "'document_length' must be a number from 1 to"),
        ({'query_expansion': {'strategy': 'fixed'}}, "'query_expansion' must be None"),
        ({'transformer_task': 'fill-mask'}, "'transformer_task' must be feature-extraction or sequence-classification"),
        (
            {'modality_config': {'text': {**LAST_STATES, 'method_output_name': ['hidden_states', -2]}}},
            "'modality_config' must be texts with the output last_hidden_state",
        ),
        ({'modality_config': {'message': LAST_STATES, 'text': LAST_STATES}}, "'modality_config' must be texts"),
        ({'modality_config': {'text': 'x'}}, "'modality_config' must be texts"),
        ({'modality_config': ['text']}, "'modality_config' must be an object"),
        ({'config_args': {'num_hidden_layers': 3}}, "'config_args' must be without 'num_hidden_layers', which the"),
        ({'model_kwargs': {'variant': 'x'}}, "'model_kwargs' must be without 'variant'"),
        ({'tokenizer_args': {'truncation_side': 'left'}}, "'tokenizer_args' must be without 'truncation_side'"),
        ({'processing_kwargs': {'text': {'truncation': 'only_first'}}}, "'processing_kwargs' must be a max_length"),
        ({'processing_kwargs': {'common': {'max_length': 9}}}, "'processing_kwargs' must be a max_length of texts"),
    ],
)
def test_settings_of_an_encoder_that_would_change_answers(folder: Folder, settings: dict[str, Any], fault: str) -> None:
    path = folder.write('sentence_bert_config.json', settings).path / 'sentence_bert_config.json'
    with pytest.raises(ModelError) as caught:
        EncoderSettings.read(str(folder.path))
    assert str(caught.value).startswith('%s: %s' % (path, fault))


def test_the_longest_row_under_the_name_of_another_architecture(folder: Folder) -> None:
    folder.write('sentence_xlm-roberta_config.json', {'max_seq_length': 64})
    assert EncoderSettings.read(str(folder.path)).max_seq_len == 64


@pytest.mark.parametrize('value', [0, 3, -1, True, '256', [1], float('nan')])
def test_a_longest_row_that_makes_no_sense(folder: Folder, value: object) -> None:
    folder.write('sentence_bert_config.json', {'max_seq_length': value})
    with pytest.raises(ModelError, match='max_seq_length must be a number of at least 4, not'):
        EncoderSettings.read(str(folder.path))


@pytest.mark.parametrize(
    ('value', 'fault'),
    [
        ({}, 'FOLDER/modules.json must hold a JSON array, not dict'),
        ([], 'FOLDER/modules.json lists 0 modules: expected 1 to 64'),
        ([{}] * 65, 'FOLDER/modules.json lists 65 modules: expected 1 to 64'),
        (['x'], 'FOLDER/modules.json: expected an object for each module, got str'),
        ([{'path': ''}], "FOLDER/modules.json: a module lacks 'type'"),
        ([{'type': OLD + 'Transformer'}], "FOLDER/modules.json: a module lacks 'path'"),
        (
            [{'type': OLD + 'Pooling', 'path': ''}],
            'FOLDER/modules.json: the first module is sentence_transformers.models.Pooling: expected a Transformer',
        ),
        (
            [{'type': OLD + 'WordEmbeddings', 'path': ''}],
            'FOLDER/modules.json: the first module is sentence_transformers.models.WordEmbeddings: expected a Transformer',
        ),
        (
            [{'type': OLD + 'Transformer', 'path': ''}, {'type': OLD + 'CNN', 'path': ''}],
            'FOLDER/modules.json: the module sentence_transformers.models.CNN is not served',
        ),
        (
            [{'type': OLD + 'Transformer', 'path': ''}, {'type': 'custom_st.Pooling', 'path': ''}],
            'FOLDER/modules.json: the module custom_st.Pooling is not served',
        ),
        (
            [{'type': OLD + name, 'path': ''} for name in ('Transformer', 'Pooling', 'Pooling')],
            'FOLDER/modules.json: expected a Transformer, one Pooling, and what comes after; got Transformer, Pooling, Pooling',
        ),
        (
            [{'type': OLD + name, 'path': ''} for name in ('Transformer', 'Normalize')],
            'FOLDER/modules.json: expected a Transformer, one Pooling, and what comes after; got Transformer, Normalize',
        ),
        (
            [{'type': OLD + 'Transformer', 'path': '../x'}],
            "FOLDER/modules.json: the path '../x' leads out of the folder",
        ),
        (
            [{'type': OLD + 'Transformer', 'path': '/etc'}],
            "FOLDER/modules.json: the path '/etc' leads out of the folder",
        ),
        ([{'type': OLD + 'Transformer', 'path': 'a/../../x'}], 'FOLDER/modules.json: the path'),
        ([{'type': OLD + 'Transformer', 'path': 'none'}], 'FOLDER/modules.json: there is no folder FOLDER/none'),
    ],
)
def test_modules_that_make_no_sense_or_are_not_served(folder: Folder, value: Any, fault: str) -> None:
    assert folder.write('modules.json', value).fault().startswith(fault)


@pytest.mark.parametrize(
    ('name', 'value', 'fault'),
    [
        ('1_Pooling/config.json', {'pooling_mode': 'median'}, "'pooling_mode' must be made of cls, max, mean"),
        ('1_Pooling/config.json', {'pooling_mode': []}, "'pooling_mode' must be a mode or a list of some, not []"),
        ('1_Pooling/config.json', {'pooling_mode': 3}, "'pooling_mode' must be a mode or a list of some, not 3"),
        ('1_Pooling/config.json', {'include_prompt': 'no'}, "'include_prompt' must be true or false, not 'no'"),
        ('config_sentence_transformers.json', {'prompts': ['x']}, "'prompts' must be an object of at most 1000 texts"),
        ('config_sentence_transformers.json', {'prompts': {'a': 1}}, "'prompts' must be an object of texts"),
        (
            'config_sentence_transformers.json',
            {'default_prompt_name': 'query'},
            "'default_prompt_name' must be the name of one of its prompts, not 'query'",
        ),
        ('config_sentence_transformers.json', {'similarity_fn_name': 1}, "'similarity_fn_name' must be a name, not 1"),
        ('sentence_bert_config.json', {'do_lower_case': 1}, "'do_lower_case' must be true or false, not 1"),
    ],
)
def test_a_setting_that_makes_no_sense(plain: Folder, name: str, value: object, fault: str) -> None:
    assert plain.write(name, value).fault().startswith('FOLDER/%s: %s' % (name, fault))


@pytest.mark.parametrize(
    ('config', 'fault'),
    [
        ({'in_features': 0, 'out_features': 4}, "'in_features' must be a number from 1 to 1048575, not 0"),
        ({'in_features': 8, 'out_features': 1 << 40}, "'out_features' must be a number from 1 to 1048575"),
        ({'in_features': 8}, "'out_features' must be a number from 1 to 1048575, not None"),
        (
            {'in_features': 8, 'out_features': 4, 'activation_function': 'mine.Tanh'},
            "'activation_function' must be torch.nn. and one of",
        ),
        ({'in_features': 8, 'out_features': 4, 'use_residual': True}, "'use_residual' must be False, not True"),
        (
            {'in_features': 8, 'out_features': 4, 'module_input_name': 'token_embeddings'},
            "'module_input_name' must be 'sentence_embedding', not 'token_embeddings'",
        ),
    ],
)
def test_a_dense_module_that_is_not_served(folder: Folder, config: object, fault: str) -> None:
    folder.modules(*(OLD + kind for kind in ('Transformer', 'Pooling', 'Dense'))).write('1_Pooling/config.json', {})
    folder.write('2_Dense/config.json', config).write('2_Dense/model.safetensors', 'x')
    assert folder.fault().startswith('FOLDER/2_Dense/config.json: %s' % fault)


def test_a_module_whose_weights_are_a_pickle_comes_with_the_command_that_converts_it(folder: Folder) -> None:
    folder.modules(*(OLD + kind for kind in ('Transformer', 'Pooling', 'Dense'))).write('1_Pooling/config.json', {})
    folder.write('2_Dense/config.json', {'in_features': 8, 'out_features': 4})
    assert folder.fault().endswith('there is no file FOLDER/2_Dense/model.safetensors')
    folder.write('2_Dense/pytorch_model.bin', 'x')
    message = folder.fault()
    assert message.startswith('FOLDER/2_Dense/model.safetensors is missing, and pickles are not read: convert ')
    assert "torch.load('FOLDER/2_Dense/pytorch_model.bin', weights_only=True)" in message


def test_folders_of_the_modules_that_a_list_names(folder: Folder) -> None:
    folder.modules(OLD + 'Transformer', OLD + 'Pooling', OLD + 'Normalize')
    assert read_module_paths(str(folder.path / 'modules.json')) == ['', '1_Pooling', '2_Normalize']
