"""Tokenizers of published models: their ids, where special tokens stand, what is cut, and files that are wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from bert_serving.server.errors import ModelError, RequestError
from bert_serving.server.model import tokenizer_file
from bert_serving.server.model.folder import find_model
from bert_serving.server.model.tokenizer_file import MOST_TOKENIZER_BYTES, TokenizerFiles
from bert_serving.server.worker.published_tokenizer import LONG_TEXT_CHARS, PublishedTokenizer
from bert_serving.server.worker.rows import RowEncoder
from bert_serving.server.worker.tokenizer import Template

DATA = Path(__file__).parents[1] / 'golden' / 'data' / 'published'
CASES = sorted((DATA / 'cases').glob('*.json'))

WORDS = [
    '[PAD]',
    '[UNK]',
    '[CLS]',
    '[SEP]',
    '[MASK]',
    'muller',
    'müller',
    'Müller',
    'as',
    'noted',
    'in',
    '你',
    '好',
    '你好',
    '##好',
]


def files_of(model: Any) -> TokenizerFiles:
    assert model.tokenizer_files is not None
    files: TokenizerFiles = model.tokenizer_files
    return files


def published(name: str) -> tuple[PublishedTokenizer, int]:
    """The tokenizer of one of our models, and the longest row that it is published with."""
    model = find_model(str(DATA / 'models' / name))
    assert model.pipeline is not None
    positions = model.config.max_position_embeddings
    tokenizer = PublishedTokenizer(files_of(model).load(model.config.vocab_size))
    return tokenizer, min(model.pipeline.max_seq_len or positions, positions)


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.stem)
def test_the_ids_are_those_that_the_model_was_trained_with(case: Path) -> None:
    expected = json.loads(case.read_text('utf-8'))
    tokenizer, length = published(expected['model'])
    rows = RowEncoder(tokenizer, length, length, mask_cls_sep=False, no_special_token=False)
    for request in expected['requests']:
        if request['kind'] == 'encode' and request.get('input_ids'):
            assert [row.ids for row in rows.encode(request['texts']).rows] == request['input_ids']


@pytest.mark.parametrize(
    'name', sorted({json.loads(case.read_text('utf-8'))['model'] for case in CASES if 'ce-' in case.stem})
)
def test_pairs_are_joined_and_cut_as_the_model_was_trained_with(name: str) -> None:
    expected = json.loads((DATA / 'cases' / (name + '.json')).read_text('utf-8'))
    tokenizer, length = published(name)
    rows = RowEncoder(tokenizer, length, length, mask_cls_sep=False, no_special_token=False)
    checked = 0
    types = expected['token_type_ids'] or [None] * len(expected['input_ids'])
    for (first, second), ids, type_ids in zip(
        expected['requests'][0]['pairs'], expected['input_ids'], types, strict=True
    ):
        if '|||' in second or '\n' in first + second or not second:
            continue  # which 1.10's way to write a pair cannot say
        (row,) = rows.encode(['%s ||| %s' % (first, second)]).rows
        assert row.ids == ids
        assert type_ids is None or [int(at >= row.first_segment) for at in range(len(row))] == type_ids
        checked += 1
    assert checked > 4


@pytest.mark.parametrize('max_seq_len', [None, 24])
def test_a_text_without_any_token_takes_one_position(max_seq_len: int | None) -> None:
    """Without special tokens such a text has no position, but a batch must have one."""
    model = find_model(str(DATA / 'models' / 'bert-mean-norm'))
    backend = files_of(model).load(model.config.vocab_size)
    backend.post_processor = processors.Sequence([])
    rows = RowEncoder(PublishedTokenizer(backend), max_seq_len, 64, mask_cls_sep=False, no_special_token=False)
    job = rows.encode(['', '\x01'])
    assert [(row.ids, row.compute_length) for row in job.rows] == [([], 1), ([], 1)]
    assert job.max_len == (max_seq_len or 1)
    (row, pair) = rows.encode(['\x01', 'a ||| \x01']).rows
    assert (row.compute_length, pair.compute_length) == (1, 1)
    (row,) = rows.encode_pairs([['', '']]).rows
    assert (row.ids, row.compute_length) == ([], 1)


@pytest.mark.parametrize(
    ('name', 'template'),
    [
        ('bert-mean-norm', Template((2,), (3,), (2,), (3,), (3,), first_of_between=1)),
        ('roberta-mean', Template((0,), (2,), (0,), (2, 2), (2,), has_types=False)),
        ('xlm-roberta-mean-norm', Template((0,), (2,), (0,), (2, 2), (2,), has_types=False)),
    ],
)
def test_where_special_tokens_stand(name: str, template: Template) -> None:
    tokenizer, _ = published(name)
    assert tokenizer.template == template
    assert (template.single_specials, template.pair_specials) == (2, 3 if template.has_types else 4)


def test_special_tokens_of_a_pair_are_masked_wherever_they_stand() -> None:
    tokenizer, length = published('roberta-mean')
    rows = RowEncoder(tokenizer, length, length, mask_cls_sep=True, no_special_token=False)
    (row,) = rows.encode(['a ||| a']).rows
    assert [row.ids[at] for at in row.masked] == [0, 2, 2, 2]
    assert row.first_segment == len(row)


# --- prompts ---------------------------------------------------------------------------------------------------------


def test_a_prompt_stands_before_each_text_and_counts_for_the_length() -> None:
    tokenizer, _ = published('bert-mean-norm')
    plain = RowEncoder(tokenizer, 12, 12, False, False)
    prompted = RowEncoder(tokenizer, 12, 12, False, False, prompt='query: ')
    texts = ['hello', 'hello ' * 20]
    assert [row.ids for row in prompted.encode(texts).rows] == [
        row.ids for row in plain.encode(['query: ' + text for text in texts]).rows
    ]
    assert prompted.encode(texts).rows[0].prompt_length == 0
    assert prompted.encode([[7, 8]]).rows[0].ids == [2, 7, 8, 3]


def test_a_prompt_that_takes_no_part_in_pooling_is_as_long_as_by_itself_with_the_tokens_before_it() -> None:
    tokenizer, _ = published('bert-concat-no-prompt')
    rows = RowEncoder(tokenizer, 12, 12, False, False, prompt='query: ', pools_prompt=False)
    alone = RowEncoder(tokenizer, 12, 12, False, False).encode(['query: ']).rows[0]
    assert rows.encode(['hello']).rows[0].prompt_length == len(alone) - 1


@pytest.mark.parametrize(('prompt', 'expected'), [('as in ', 3), ('as ' * 30, 11), ('', 0)])
def test_a_prompt_that_fills_a_row_leaves_its_last_token_for_pooling(prompt: str, expected: int) -> None:
    """As sentence-transformers counts: the row of the prompt alone, less the special token at its end."""
    rows = RowEncoder(a_simple_one(), 12, 12, False, False, prompt=prompt, pools_prompt=False)
    (row,) = rows.encode(['noted ' * 20]).rows
    assert len(row) == 12
    assert row.prompt_length == expected


# --- texts -----------------------------------------------------------------------------------------------------------


def simple(post_processor: Any = None, **normalizer: bool) -> Tokenizer:
    backend = Tokenizer(models.WordPiece({word: index for index, word in enumerate(WORDS)}, unk_token='[UNK]'))
    backend.normalizer = normalizers.BertNormalizer(**normalizer)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = post_processor or processors.BertProcessing(('[SEP]', 3), ('[CLS]', 2))
    backend.add_special_tokens(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'])
    return backend


def a_simple_one() -> PublishedTokenizer:
    return PublishedTokenizer(simple())


def test_lone_surrogates_count_as_a_replacement_character() -> None:
    tokenizer = a_simple_one()
    assert tokenizer.encode_texts(['as \ud800 noted', 'as'], 9) == [*tokenizer.encode_texts(['as � noted', 'as'], 9)]


def test_a_very_long_text_is_tokenized_no_further_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = a_simple_one()
    text = 'noted in ' * LONG_TEXT_CHARS
    seen: list[int] = []
    encode = tokenizer._encode
    monkeypatch.setattr(tokenizer, '_encode', lambda texts: seen.extend(map(len, texts)) or encode(texts))
    long, short = tokenizer.encode_texts([text, 'as'], 5)
    assert long[:5] == [9, 10, 9, 10, 9]
    assert short == [8]
    assert sum(seen) < 2 * LONG_TEXT_CHARS


def test_a_very_long_text_of_few_tokens_is_tokenized_whole() -> None:
    tokenizer = a_simple_one()
    assert tokenizer.encode_texts([' ' * (2 * LONG_TEXT_CHARS) + 'noted'], 5) == [[9]]
    assert tokenizer.encode_texts(['x' * (2 * LONG_TEXT_CHARS)], 5) == [[1]]


def test_tokens_and_ids() -> None:
    tokenizer = a_simple_one()
    assert tokenizer.tokens_to_ids(['as', 'nothing']) == [8, 1]
    assert tokenizer.tokens_of([2, 8, 3]) == ['[CLS]', 'as', '[SEP]']
    assert [tokenizer.has_id(index) for index in (-1, 0, 14, 15, 1 << 40)] == [False, True, True, False, False]


def test_without_a_token_for_unknown_ones_an_unknown_token_is_an_error() -> None:
    backend = Tokenizer(models.BPE({'a': 0, 'b': 1}, []))
    with pytest.raises(RequestError, match="the vocabulary has no token 'x', and no unknown token"):
        PublishedTokenizer(backend).tokens_to_ids(['a', 'x'])


def test_a_tokenizer_of_sentencepiece_knows_its_unknown_token_by_id() -> None:
    tokenizer, _ = published('xlm-roberta-mean-norm')
    assert tokenizer.tokens_of(tokenizer.tokens_to_ids(['no such token'])) == ['<unk>']


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_pairs_give_way_as_longest_first_does(first: int, second: int, room: int) -> None:
    backend = simple()
    backend.enable_truncation(room + 3, strategy='longest_first')
    sequences = backend.encode('as ' * first, 'in ' * second).sequence_ids
    assert a_simple_one_once().fit_pair(first, second, room) == (sequences.count(0), sequences.count(1))


@pytest.mark.parametrize(('first', 'second'), [(30, 40), (40, 30), (30, 30), (3, 40), (40, 3), (40, 10**5)])
@pytest.mark.parametrize('is_tokenized', [False, True])
def test_of_a_pair_with_an_odd_room_the_longer_text_keeps_one_token_more_however_long_both_are(
    first: int, second: int, is_tokenized: bool
) -> None:
    backend = simple()
    backend.enable_truncation(24, strategy='longest_first')
    expected = backend.encode('as ' * first, 'in ' * second).ids
    rows = RowEncoder(a_simple_one(), 24, 24, mask_cls_sep=False, no_special_token=False)
    text = [*['as'] * first, '|||', *['in'] * second] if is_tokenized else '%s ||| %s' % ('as ' * first, 'in ' * second)
    assert rows.encode([text]).rows[0].ids == expected


def a_simple_one_once(known: list[PublishedTokenizer] = []) -> PublishedTokenizer:  # noqa: B006 (remembers)
    if not known:
        known.append(a_simple_one())
    return known[0]


def test_special_tokens_that_no_row_of_ours_can_have_are_refused() -> None:
    odd = processors.TemplateProcessing(single='[CLS]:1 $A:1 [SEP]:1', special_tokens=[('[CLS]', 2), ('[SEP]', 3)])
    with pytest.raises(ModelError, match='the tokenizer puts special tokens or types where this release has none'):
        PublishedTokenizer(simple(odd))


def test_a_tokenizer_without_any_token_of_ours_is_refused() -> None:
    with pytest.raises(ModelError, match='the tokenizer has no token for any of a the 1'):
        PublishedTokenizer(Tokenizer(models.BPE({'x': 0}, [])))


# --- files -----------------------------------------------------------------------------------------------------------


class Files:
    """A folder with the files of a tokenizer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / 'vocab.txt').write_text('\n'.join(WORDS), 'utf-8')

    def settings(self, **values: Any) -> Files:
        (self.path / 'tokenizer_config.json').write_text(json.dumps(values))
        return self

    def tokenizer(self, backend: Tokenizer | str) -> Files:
        text = backend if isinstance(backend, str) else backend.to_str()
        (self.path / 'tokenizer.json').write_text(text, 'utf-8')
        return self

    def files(self, model_type: str = 'bert', **how: bool) -> TokenizerFiles:
        def there(name: str) -> str | None:
            return str(self.path / name) if (self.path / name).exists() else None

        return TokenizerFiles(
            there('tokenizer.json'),
            there('vocab.txt'),
            there('tokenizer_config.json'),
            model_type,
            lowers=how.get('lowers', False),
            cased=how.get('cased', False),
        )

    def load(self, **how: bool) -> Tokenizer:
        return self.files('bert', **how).load(len(WORDS) + 2)

    def tokens(self, text: str, **how: bool) -> Sequence[str]:
        tokens: Sequence[str] = self.load(**how).encode(text, add_special_tokens=False).tokens
        return tokens

    def fault(self, vocab_size: int = 100) -> str:
        with pytest.raises(ModelError) as caught:
            self.files().load(vocab_size)
        message = str(caught.value)
        assert '\n' not in message
        return message.replace(str(self.path), 'FOLDER')


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize('has_tokenizer', [False, True])
@pytest.mark.parametrize(
    ('settings', 'text', 'tokens'),
    [
        ({}, 'Müller', ['muller']),
        ({'do_lower_case': True}, 'as noted in [MASK]', ['as', 'noted', 'in', '[MASK]']),
        ({'do_lower_case': True, 'strip_accents': False}, 'Müller', ['müller']),
        ({'do_lower_case': False}, 'Müller', ['Müller']),
        ({'tokenizer_class': 'BertTokenizerFast', 'tokenize_chinese_chars': False}, '你好', ['你好']),
        ({'tokenizer_class': 'DistilBertTokenizer', 'tokenize_chinese_chars': True}, '你好', ['你', '好']),
    ],
)
def test_settings_of_a_tokenizer_are_honored(
    files: Files, settings: dict[str, Any], text: str, tokens: list[str], has_tokenizer: bool
) -> None:
    """With the values that transformers 5.24 gives."""
    if has_tokenizer:
        files.tokenizer(simple())
    assert files.settings(**settings).tokens(text) == tokens


@pytest.mark.parametrize(
    ('settings', 'tokens'),
    [
        ({'tokenizer_class': 'BertTokenizer'}, ['muller', '你', '好']),
        ({'tokenizer_class': 'MPNetTokenizerFast', 'do_lower_case': False}, ['Müller', '你', '好']),
        ({}, ['muller', '你', '好']),
        ({'tokenizer_class': 'SomeOtherTokenizer'}, ['müller', '你好']),
        ({'tokenizer_class': 'SomeOtherTokenizer', 'strip_accents': True}, ['muller', '你好']),
        ({'tokenizer_class': 'PreTrainedTokenizerFast'}, ['müller', '你好']),
    ],
)
def test_a_class_has_its_defaults_where_the_settings_say_nothing(
    files: Files, settings: dict[str, Any], tokens: list[str]
) -> None:
    """As in transformers 4 and 5: BERT's classes put them in place of the normalizer of tokenizer.json."""
    files.tokenizer(simple(lowercase=True, strip_accents=False, handle_chinese_chars=False))
    assert files.settings(**settings).tokens('Müller 你好') == tokens


@pytest.mark.parametrize(
    ('settings', 'adds'),
    [
        ({'tokenizer_class': 'RobertaTokenizerFast'}, False),
        ({'tokenizer_class': 'RobertaTokenizer', 'add_prefix_space': True}, True),
        ({}, False),
        ({'tokenizer_class': 'TokenizersBackend', 'add_prefix_space': False}, True),
    ],
)
def test_whether_a_byte_level_tokenizer_puts_a_space_first_is_said_by_its_class(
    files: Files, settings: dict[str, Any], adds: bool
) -> None:
    backend = Tokenizer(models.BPE({'a': 0, 'Ġ': 1}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    loaded = files.tokenizer(backend).settings(**settings).files('roberta').load(100)
    assert loaded.encode('a').tokens == (['Ġ', 'a'] if adds else ['a'])


@pytest.mark.parametrize(
    ('settings', 'tokens'),
    [
        ({'tokenizer_class': 'XLMRobertaTokenizer'}, ['▁a', '▁a']),
        ({'tokenizer_class': 'AlbertTokenizerFast'}, ['▁a', '▁a']),
        ({}, ['▁a', '▁a']),
        ({'tokenizer_class': 'XLMRobertaTokenizer', 'add_prefix_space': False}, ['a', 'a']),
        ({'tokenizer_class': 'TokenizersBackend'}, ['▁a', '▁a', '▁']),
    ],
)
def test_a_tokenizer_of_xlm_roberta_drops_white_space_around_words_as_in_bge_m3(
    files: Files, settings: dict[str, Any], tokens: list[str]
) -> None:
    backend = Tokenizer(models.Unigram([('<unk>', 0.0), ('▁a', -1.0), ('a', -2.0), ('▁', -3.0)], 0))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(' {2,}'), '▁')])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    loaded = files.tokenizer(backend).settings(**settings).files('xlm-roberta').load(100)
    assert loaded.encode('a  a  ').tokens == tokens


@pytest.mark.parametrize(
    ('model_type', 'settings', 'expected'),
    [
        ('bert', {}, True),
        ('bert', {'tokenizer_class': 'BertTokenizerFast'}, True),
        ('bert', {'tokenizer_class': 'TokenizersBackend'}, False),
        ('bert', {'tokenizer_class': 'XLMRobertaTokenizer'}, False),
        ('bert', {'tokenizer_class': 'TokenizersBackend', 'model_input_names': ['input_ids', 'token_type_ids']}, True),
        ('bert', {'tokenizer_class': 'BertTokenizer', 'model_input_names': ['input_ids', 'attention_mask']}, False),
        ('albert', {}, False),
        ('deberta-v2', {}, True),
    ],
)
def test_a_pair_has_types_if_the_settings_or_the_class_say_so(
    files: Files, model_type: str, settings: dict[str, Any], expected: bool
) -> None:
    of_model = files.settings(**settings).files(model_type)
    assert of_model.gives_types() is expected
    tokenizer = PublishedTokenizer(simple(), gives_types=expected)
    (row,) = RowEncoder(tokenizer, 12, 12, mask_cls_sep=False, no_special_token=False).encode(['as ||| in']).rows
    assert row.ids == [2, 8, 3, 10, 3]
    assert row.first_segment == (3 if expected else 5)


def test_names_of_inputs_that_make_no_sense(files: Files) -> None:
    with pytest.raises(ModelError, match="'model_input_names' must be a list of names, not 'input_ids'"):
        files.settings(model_input_names='input_ids').files().gives_types()


def test_a_tokenizer_that_cuts_texts_at_their_beginning_is_refused(files: Files) -> None:
    files.settings(truncation_side='left')
    assert files.fault() == "FOLDER/tokenizer_config.json: 'truncation_side' must be 'right', not 'left'"
    backend = simple()
    backend.enable_truncation(12, direction='left')
    files.tokenizer(backend).settings()
    assert files.fault() == "FOLDER/tokenizer.json: the direction of truncation must be 'Right', not 'Left'"
    assert files.settings(truncation_side='right').load()


def test_a_class_that_takes_a_tokenizer_as_it_is_has_no_settings(files: Files) -> None:
    files.tokenizer(simple(lowercase=True)).settings(tokenizer_class='TokenizersBackend', do_lower_case=False)
    assert files.tokens('Müller') == ['muller']


def test_added_tokens_are_added(files: Files) -> None:
    files.settings(
        added_tokens_decoder={
            '15': {'content': 'new thing', 'special': False},
            '16': {'content': '<x>', 'special': True},
        }
    )
    assert files.tokens('as new thing <x>') == ['as', 'new thing', '<x>']


def test_a_folder_that_lowers_its_texts_lowers_them_once(files: Files) -> None:
    files.tokenizer(simple(lowercase=False, strip_accents=False)).settings(tokenizer_class='TokenizersBackend')
    assert files.tokens('AS Müller') == ['[UNK]', 'Müller']
    assert files.tokens('AS Müller', lowers=True) == ['as', 'müller']
    files.tokenizer(simple(lowercase=True))
    assert files.load(lowers=True).normalizer.__class__.__name__ == 'BertNormalizer'
    backend = simple()
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    files.tokenizer(backend)
    assert files.load(lowers=True).normalizer.__getstate__() == backend.normalizer.__getstate__()
    bare = Tokenizer(models.WordPiece({word: index for index, word in enumerate(WORDS)}, unk_token='[UNK]'))
    assert files.tokenizer(bare).tokens('AS', lowers=True) == ['as']


@pytest.mark.parametrize(
    'normalizer',
    [
        normalizers.BertNormalizer(),
        normalizers.Sequence(
            [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents(), normalizers.NFC()]
        ),
        normalizers.Lowercase(),
        normalizers.NFC(),
        None,
    ],
)
def test_cased_tokenization_keeps_case_and_accents_whatever_the_normalizer(files: Files, normalizer: Any) -> None:
    backend = simple()
    backend.normalizer = normalizer
    assert files.tokenizer(backend).tokens('Müller', cased=True) == ['Müller']


@pytest.mark.parametrize(
    ('text', 'fault'),
    [
        ('{', 'FOLDER/tokenizer.json is not a tokenizer that can be read: '),
        ('[]', 'FOLDER/tokenizer.json is not a tokenizer that can be read: '),
        ('{"model": {"type": "Magic"}}', 'FOLDER/tokenizer.json is not a tokenizer that can be read: '),
        ('', 'FOLDER/tokenizer.json is empty: download it again'),
        (
            '{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}',
            'FOLDER/tokenizer.json has no tokens',
        ),
    ],
)
def test_a_tokenizer_that_makes_no_sense(files: Files, text: str, fault: str) -> None:
    assert files.tokenizer(text).fault().startswith(fault)


def test_a_tokenizer_that_is_absurdly_large_is_not_read(files: Files) -> None:
    with open(files.path / 'tokenizer.json', 'wb') as file:
        file.truncate(MOST_TOKENIZER_BYTES + 1)
    assert files.fault().startswith('FOLDER/tokenizer.json has %d bytes: at most' % (MOST_TOKENIZER_BYTES + 1))


def test_a_tokenizer_with_ids_that_the_model_has_no_embedding_for(files: Files) -> None:
    files.tokenizer(simple())
    assert files.fault(14) == 'FOLDER/tokenizer.json has the id 14, but the vocab_size of the model is 14'


@pytest.mark.parametrize(
    ('settings', 'fault'),
    [
        ({'do_lower_case': 'no'}, "'do_lower_case' must be true or false, not 'no'"),
        ({'tokenizer_class': 3}, "'tokenizer_class' must be a name, not 3"),
        ({'unk_token': 7}, "'unk_token' must be a token, not 7"),
        ({'never_split': ['x']}, "'never_split' must be empty, not ['x']"),
        ({'do_basic_tokenize': False}, "'do_basic_tokenize' must be true, not False"),
        ({'added_tokens_decoder': []}, "'added_tokens_decoder' must be an object, not []"),
        ({'added_tokens_decoder': {'x': {}}}, "'added_tokens_decoder' must be an object of tokens by id"),
        ({'added_tokens_decoder': {'15': {}}}, "'added_tokens_decoder' must be an object of tokens with content"),
        ({'added_tokens_decoder': {'99': {'content': 'new'}}}, "'added_tokens_decoder' must be ids that go on from"),
    ],
)
def test_settings_that_make_no_sense_or_are_not_served(files: Files, settings: dict[str, Any], fault: str) -> None:
    assert files.settings(**settings).fault().startswith('FOLDER/tokenizer_config.json: ' + fault)


def test_a_class_that_is_no_bert_needs_a_tokenizer_of_its_own(files: Files) -> None:
    message = files.settings(tokenizer_class='BertJapaneseTokenizer').fault()
    assert message.startswith('FOLDER/tokenizer_config.json: a BertJapaneseTokenizer needs a tokenizer.json')
    assert 'AutoTokenizer.from_pretrained(' in message


def test_special_tokens_may_be_written_out(files: Files) -> None:
    files.settings(unk_token={'content': '[UNK]', 'lstrip': False})
    assert files.tokens('nothing') == ['[UNK]']


def test_a_vocabulary_that_is_no_bert_s(files: Files) -> None:
    files.settings()
    (files.path / 'vocab.txt').write_text('a\nb')
    assert files.fault() == 'FOLDER/vocab.txt has no [UNK] [CLS] [SEP]: it is not the vocabulary of this model'
    (files.path / 'vocab.txt').write_bytes(b'\xff')
    assert files.fault() == 'FOLDER/vocab.txt is not UTF-8: byte 0 cannot be decoded'


def test_added_tokens_that_a_tokenizer_has_already_keep_their_ids(files: Files) -> None:
    files.settings(added_tokens_decoder={'8': {'content': 'as'}, '9': {'content': 'noted', 'special': False}})
    assert files.load().token_to_id('as') == 8


def test_a_setting_that_is_null_is_left_to_the_tokenizer_but_for_accents(files: Files) -> None:
    """As transformers does: there null means that accents go with capital letters."""
    files.tokenizer(simple(lowercase=False, strip_accents=True))
    assert files.settings(do_lower_case=None).tokens('Müller') == ['Müller']
    assert files.settings(strip_accents=None, do_lower_case=True).tokens('Müller') == ['muller']
    assert files.settings(strip_accents=None, tokenizer_class='OtherTokenizer').tokens('Müller') == ['Müller']


def test_settings_have_nothing_to_say_to_a_normalizer_that_is_not_of_bert(files: Files) -> None:
    backend = simple()
    backend.normalizer = normalizers.Lowercase()
    files.tokenizer(backend).settings(do_lower_case=False)
    assert files.tokens('AS Müller') == ['as', 'müller']


def test_cased_tokenization_without_any_normalizer(files: Files) -> None:
    backend = simple()
    backend.normalizer = None
    files.tokenizer(backend)
    assert files.tokens('Müller', cased=True) == ['Müller']


def test_an_interrupt_while_a_tokenizer_is_read_is_no_fault_of_the_file(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_data: bytes) -> None:
        raise KeyboardInterrupt

    files.tokenizer(simple())
    monkeypatch.setattr(tokenizer_file, 'Tokenizer', SimpleNamespace(from_buffer=interrupt))
    with pytest.raises(KeyboardInterrupt):
        files.load()


class PanicException(BaseException):
    """Stands for that of the package, which cannot be imported."""


@pytest.mark.parametrize(
    ('raised', 'caught'),
    [(PanicException('index out of bounds'), RuntimeError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_panic_of_the_package_fails_the_request_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, raised: BaseException, caught: type[BaseException]
) -> None:
    def panic(_texts: Sequence[str], add_special_tokens: bool) -> None:
        raise raised

    tokenizer = a_simple_one()
    monkeypatch.setattr(tokenizer, '_backend', SimpleNamespace(encode_batch_fast=panic))
    with pytest.raises(caught):
        tokenizer.encode_texts(['as'], 5)


def test_a_byte_order_mark_is_skipped_and_utf_16_refused(files: Files) -> None:
    files.settings()
    files.load().save(str(files.path / 'tokenizer.json'))
    data = (files.path / 'tokenizer.json').read_bytes()
    path = str(files.path / 'tokenizer.json')
    expected = TokenizerFiles(path, None, None).load(1000).get_vocab()
    (files.path / 'tokenizer.json').write_bytes(b'\xef\xbb\xbf' + data)
    assert TokenizerFiles(path, None, None).load(1000).get_vocab() == expected
    (files.path / 'tokenizer.json').write_bytes(data.decode().encode('utf-16'))
    with pytest.raises(ModelError, match=r'tokenizer.json is not UTF-8: byte 0 cannot be decoded$'):
        TokenizerFiles(path, None, None).load(1000)


@pytest.mark.parametrize('key', ['additional_special_tokens', 'extra_special_tokens'])
def test_more_special_tokens_are_not_divided(files: Files, key: str) -> None:
    assert files.settings().tokens('a[x]') != ['a', '[x]']
    for value in (['[x]'], [{'content': '[x]'}], {'mine': '[x]'}):
        assert files.settings(**{key: value}).tokens('a[x]')[-1] == '[x]'
    assert files.settings(**{key: [WORDS[0]]}).load().get_vocab_size() == len(WORDS)


@pytest.mark.parametrize('value', ['[x]', [7], [''], [{'id': 3}]])
def test_more_special_tokens_that_are_none_are_refused(files: Files, value: object) -> None:
    message = files.settings(additional_special_tokens=value).fault()
    assert "'additional_special_tokens' must be a list of tokens" in message


def test_a_special_token_that_has_no_embedding_is_refused(files: Files) -> None:
    files.settings(additional_special_tokens=['[x]'])
    assert 'but the vocab_size of the model is %d' % len(WORDS) in files.fault(len(WORDS))
