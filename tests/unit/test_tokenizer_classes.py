"""Where the class of a tokenizer contradicts its tokenizer.json, the file is used, and the server says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors

from bert_serving.server.errors import ModelError
from bert_serving.server.model.tokenizer_classes import class_of, contradiction
from bert_serving.server.model.tokenizer_file import TokenizerFiles

MODELS = Path(__file__).parents[1] / 'golden' / 'data' / 'published' / 'models'


def tokenizer_of(name: str) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(MODELS / name / 'tokenizer.json'))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def said(name: str, class_name: str | None, model_type: str = 'bert', **settings: Any) -> str | None:
    return contradiction(tokenizer_of(name), settings, class_name, model_type)


@pytest.mark.parametrize(
    ('name', 'class_name', 'model_type'),
    [
        ('bert-mean-norm', 'BertTokenizer', 'bert'),
        ('bert-cased-dense', None, 'bert'),
        ('distilbert-mean-dense', 'DistilBertTokenizer', 'distilbert'),
        ('electra-mean', 'ElectraTokenizer', 'electra'),
        ('mpnet-mean-norm', 'MPNetTokenizer', 'mpnet'),
        ('mpnet-mean-norm', None, 'mpnet'),
        ('roberta-mean', 'RobertaTokenizer', 'roberta'),
        ('xlm-roberta-mean-norm', 'XLMRobertaTokenizer', 'xlm-roberta'),
        ('bert-sentencepiece', 'XLMRobertaTokenizer', 'bert'),
        ('camembert-cls', None, 'camembert'),
        ('albert-mean', 'AlbertTokenizer', 'albert'),
        ('ce-deberta-v2', 'DebertaV2Tokenizer', 'deberta-v2'),
        ('nomic-bert-mean', None, 'nomic_bert'),
    ],
)
def test_published_files_are_those_of_their_classes(name: str, class_name: str | None, model_type: str) -> None:
    assert said(name, class_name, model_type) is None


@pytest.mark.parametrize(
    ('name', 'class_name', 'expected'),
    [
        ('bert-sentencepiece', 'BertTokenizer', 'BertTokenizer has the model WordPiece, not Unigram'),
        ('bert-sentencepiece', None, 'BertTokenizer has the model WordPiece, not Unigram'),
        ('bert-mean-norm', 'RobertaTokenizer', 'RobertaTokenizer has the model BPE, not WordPiece'),
        (
            'albert-mean',
            'XLMRobertaTokenizer',
            'XLMRobertaTokenizer puts <s> </s> </s> </s> around a pair, not [CLS] [SEP] [SEP]',
        ),
        ('bert-mean-norm', 'MPNetTokenizer', 'MPNetTokenizer puts <s> </s> </s> </s> around a pair, not [CLS]'),
    ],
)
def test_a_file_of_another_class(name: str, class_name: str | None, expected: str) -> None:
    assert str(said(name, class_name)).startswith(expected)


def test_parts_of_a_file_that_its_class_has_otherwise() -> None:
    tokenizer = tokenizer_of('bert-mean-norm')
    tokenizer.normalizer = normalizers.NFC()
    expected = 'BertTokenizer has the normalizer BertNormalizer, not NFC'
    assert contradiction(tokenizer, {}, 'BertTokenizer', 'bert') == expected
    tokenizer = tokenizer_of('bert-mean-norm')
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    expected = 'BertTokenizer has the pre_tokenizer BertPreTokenizer, not Whitespace'
    assert contradiction(tokenizer, {}, None, 'bert') == expected
    tokenizer = tokenizer_of('mpnet-mean-norm')
    tokenizer.post_processor = processors.Sequence([])
    expected = 'MPNetTokenizer puts <s> </s> </s> </s> around a pair, not nothing'
    assert contradiction(tokenizer, {}, 'MPNetTokenizer', 'mpnet') == expected
    tokenizer = tokenizer_of('roberta-mean')
    tokenizer.normalizer = normalizers.NFC()
    expected = 'RobertaTokenizer has the normalizer None, not NFC'
    assert contradiction(tokenizer, {}, 'RobertaTokenizer', 'roberta') == expected


def test_special_tokens_are_those_of_the_settings() -> None:
    tokens = {'cls_token': '[CLS]', 'sep_token': {'content': '[SEP]'}}
    assert said('albert-mean', 'AlbertTokenizer', 'albert', **tokens) is None
    odd = said('albert-mean', 'AlbertTokenizer', 'albert', cls_token='<x>', sep_token=None)
    assert odd == 'AlbertTokenizer puts <x> [SEP] [SEP] around a pair, not [CLS] [SEP] [SEP]'


@pytest.mark.parametrize(
    ('class_name', 'model_type'),
    [
        ('PreTrainedTokenizer', 'bert'),
        ('TokenizersBackend', 'bert'),
        ('BertTokenizer', 'modernbert'),
        (None, 'new'),
        (None, 'gte'),
    ],
)
def test_nothing_is_said_where_every_release_takes_the_file(class_name: str | None, model_type: str) -> None:
    assert said('bert-sentencepiece', class_name, model_type) is None


def test_the_class_of_a_model_that_names_none() -> None:
    assert (class_of('camembert'), class_of('distilbert')) == ('CamembertTokenizer', 'BertTokenizer')


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / 'tokenizer_config.json'
    path.write_text(json.dumps({'tokenizer_class': 'BertTokenizerFast'}))
    return path


def test_the_ids_are_those_of_the_file_and_the_contradiction_is_said_in_one_line(settings: Path) -> None:
    """As with transformers 4.57.6; transformers 5.24 builds a WordPiece model from the vocabulary, with other ids."""
    path = MODELS / 'bert-sentencepiece' / 'tokenizer.json'
    lines: list[str] = []
    tokenizer = TokenizerFiles(str(path), None, str(settings)).load(1000, lines.append)
    text = 'The quick brown fox'
    assert tokenizer.encode(text).ids == tokenizer_of('bert-sentencepiece').encode(text).ids
    assert lines == [
        'chose %s over its tokenizer class, as transformers 4 does and transformers 5 does not: '
        'BertTokenizer has the model WordPiece, not Unigram' % path
    ]
    lines.clear()
    TokenizerFiles(str(MODELS / 'bert-mean-norm' / 'tokenizer.json'), None, str(settings)).load(1000, lines.append)
    assert not lines


def test_a_tokenizer_that_fails_on_every_text_is_refused(settings: Path, tmp_path: Path) -> None:
    path = tmp_path / 'tokenizer.json'
    values = json.loads((MODELS / 'bert-mean-norm' / 'tokenizer.json').read_text('utf-8'))
    values['model'] = {**values['model'], 'vocab': {'x': 0}, 'unk_token': '[NONE]'}
    path.write_text(json.dumps({**values, 'added_tokens': [], 'post_processor': None}))
    with pytest.raises(ModelError, match=r'tokenizer\.json is not a tokenizer that can be read: WordPiece'):
        TokenizerFiles(str(path), None, str(settings)).load(1000, print)
