"""What the benchmark measures with: sentences, random models, options."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from bert_serving.server.benchmark.random_model import SHAPES, make_vocabulary, write_model
from bert_serving.server.benchmark.sentences import LONGEST, WORDS, make_sentences, read_vocabulary
from bert_serving.server.helper import get_benchmark_parser
from bert_serving.server.model.folder import find_model
from bert_serving.server.model.vocabulary import load_vocab
from bert_serving.server.worker.wordpiece import WordPiece

SMALL = replace(SHAPES['mini'], vocab_size=600, hidden_size=6, num_hidden_layers=2, num_attention_heads=3)


def test_sentences_are_different_and_the_same_every_time() -> None:
    sentences = make_sentences(5000)
    assert len(set(sentences)) == 5000
    assert make_sentences(5000) == sentences


def test_sentences_are_as_long_as_asked() -> None:
    assert {len(sentence.split()) for sentence in make_sentences(50, words=7)} == {7}
    lengths = [len(sentence.split()) for sentence in make_sentences(5000)]
    assert 18 < statistics.mean(lengths) < 20
    assert max(lengths) <= LONGEST


def test_sentences_of_a_tiny_vocabulary_differ_too() -> None:
    assert make_sentences(3, words=2, vocabulary=['ab']) == ['ab ab.', 'ab ab. 1', 'ab ab. 2']


def test_a_vocabulary_is_the_words_of_a_file_each_once(tmp_path) -> None:
    (tmp_path / 'words').write_text('ein Wort\nnoch ein\n\n', 'utf-8')
    assert read_vocabulary(str(tmp_path / 'words')) == ['ein', 'Wort', 'noch']


def test_a_random_model_is_one_that_the_server_finds(tmp_path) -> None:
    write_model(str(tmp_path), SMALL)
    model = find_model(str(tmp_path))
    assert (model.kind, model.config, model.lower_case) == ('huggingface', SMALL, True)
    assert model.has_plain_vocabulary


def test_a_random_model_has_what_peers_need(tmp_path) -> None:
    write_model(str(tmp_path), SMALL)
    config = json.loads((tmp_path / 'config.json').read_text('utf-8'))
    assert (config['architectures'], config['pad_token_id']) == (['BertModel'], 0)
    assert json.loads((tmp_path / 'tokenizer_config.json').read_text('utf-8'))['pad_token'] == '[PAD]'


def test_the_weights_of_a_random_model_are_those_of_a_bert(tmp_path) -> None:
    write_model(str(tmp_path), SMALL)
    weights = load_file(tmp_path / 'model.safetensors')
    assert len(weights) == 5 + 2 * 16 + 2
    assert weights['encoder.layer.1.output.dense.weight'].shape == (6, SMALL.intermediate_size)
    assert {values.dtype for values in weights.values()} == {np.dtype(np.float32)}
    write_model(str(tmp_path), SMALL)
    again = load_file(tmp_path / 'model.safetensors')
    assert all(np.array_equal(weights[name], again[name]) for name in weights)


def test_our_sentences_have_22_tokens_of_the_vocabulary_of_a_random_model(tmp_path) -> None:
    vocabulary = make_vocabulary(SHAPES['base'].vocab_size)
    assert len(set(vocabulary)) == len(vocabulary) == 30522
    (tmp_path / 'vocab.txt').write_text('\n'.join(vocabulary) + '\n', 'utf-8')
    word_piece = WordPiece(load_vocab(str(tmp_path / 'vocab.txt')), lower_case=True)
    rows = [word_piece.encode(sentence) for sentence in make_sentences(2000)]
    assert 21.5 < statistics.mean(2 + len(row) for row in rows) < 22.5
    assert word_piece.unknown_id not in {index for row in rows for index in row}


def test_words_are_all_different() -> None:
    assert len(set(WORDS)) == len(WORDS)


def test_options() -> None:
    args = get_benchmark_parser().parse_args(
        '-cpu -test_num_client 1 2 -experiments targets -test_max_seq_len 20 -random_model mini'.split()
    )
    assert (args.cpu, args.test_num_client, args.experiments, args.test_max_seq_len, args.random_model) == (
        True,
        [1, 2],
        ['targets'],
        [20],
        'mini',
    )
    assert args.max_seq_len == 40


@pytest.mark.parametrize('words', ['-experiments speed', '-random_model huge', '-num_repeat 0', '-test_precision int3'])
def test_options_that_can_not_work(words, capsys) -> None:
    with pytest.raises(SystemExit):
        get_benchmark_parser().parse_args(words.split())
    assert 'expected' in capsys.readouterr().err
