"""Every example runs, on a server of the default model, and does what it is there to show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples.running import Run, run_example
from support.engines import FASTEST
from support.serving import DATA, SMALL_MODEL, connect, serve

pytestmark = pytest.mark.slow


def test_1_speed(run: Run) -> None:
    lines = run('example1.py', '-sizes', '1', '16', '-seconds', '0.2').splitlines()[1:]
    assert [int(line.split()[0]) for line in lines] == [1, 16]
    assert all(int(line.split()[1]) > 0 for line in lines)


def test_2_async_and_fetch(run: Run) -> None:
    stream, fetch, fetch_all = re.split(r'^fetch.*$', run('example2.py', '-batches', '3', '-rows', '20'), flags=re.M)
    assert stream.count('received (20, 384)') == 3
    assert fetch.count('received (20, 384)') == 3
    assert fetch.count('received (1, 384)') == 1
    assert fetch_all.strip() == 'received (60, 384)'


def test_3_multicast(run: Run) -> None:
    lines = run('example3.py', '-clones', '2', '-batches', '3').splitlines()
    who = ('original', 'clone 0', 'clone 1')
    assert sorted(lines) == sorted('%s: received (36, 384)' % name for name in who for _ in range(3))


def test_4_tf_data(run: Run) -> None:
    lines = run('example4.py', '-rows', '100').splitlines()
    assert 'shape=(None, 384), dtype=tf.float32' in lines[0]
    sizes = [re.search(r'features \((\d+), 384\), labels \((\d+),\)', line) for line in lines[1:-1]]
    assert [match and match.groups() for match in sizes] == 3 * [('100', '100')] + [('32', '32')]


def test_5_a_classifier_of_vectors_beats_one_of_words(run: Run) -> None:
    accuracies = [float(line.split()[-1]) for line in run('example5.py', '-epochs', '20').splitlines()[1:]]
    vectors, words = accuracies
    assert vectors > words + 0.1
    assert vectors > 0.85


def test_6_tfrecord_of_sentences(run: Run, tmp_path: Path) -> None:
    path = tmp_path / 'vectors.tfrecord'
    output = run('example6.py', '-file', str(path))
    assert 'sentence level: this server pools; for token level, start one with -pooling_strategy NONE' in output
    assert 'saved 108 records of (384,), %d bytes' % path.stat().st_size in output
    assert 'loaded embeddings (64, 384), labels (64,)' in output
    assert 'what was loaded is what was saved: True' in output


def test_6_tfrecord_of_tokens(run: Run) -> None:
    with serve('-model_dir', SMALL_MODEL, '-pooling_strategy', 'NONE', '-engine', FASTEST) as tokens:
        output = run('example6.py', on=tokens)
    assert 'token level: this server does not pool' in output
    assert 'saved 108 records of (25, 32)' in output
    assert 'loaded embeddings (64, 25, 32), labels (64,)' in output
    assert 'what was loaded is what was saved: True' in output


def test_7_layers_and_strategies(tmp_path: Path) -> None:
    words = '-cpu -engine %s -model_dir %s -pooling_layer -1 -2 -3 -4 -strategies REDUCE_MEAN -output_dir %s'
    *_, titles, shares = run_example('example7.py', *(words % (FASTEST, SMALL_MODEL, tmp_path)).split()).splitlines()
    assert titles.split() == ['layer', '-1', '-2', '-3', '-4']
    assert shares.split()[0] == 'REDUCE_MEAN'
    assert all(0 < float(share) < 1 for share in shares.split()[1:])
    assert (tmp_path / 'pca-reduce_mean.png').read_bytes().startswith(b'\x89PNG')


def test_8_nine_of_ten_paraphrases_find_their_question(run: Run) -> None:
    output = run('example8.py', '-evaluate')
    _alone, right = re.findall(r'among the first 1 for (\d+) of 35', output)
    assert int(right) >= 0.9 * 35, output


def test_8_answers_what_is_typed(run: Run) -> None:
    output = run('example8.py', '-topk', '2', typed='Why are there two ports?\nCan I pick a GPU?\n')
    best = re.findall(r'^(?:your question: )?> \d\.\d+  (.*)', output, flags=re.M)
    assert best[::2] == ['Why does the server need two ports?', 'Can I specify which GPU to use?']
    assert '-device_map 0 1 4' in output


def test_8_a_database_finds_as_many_by_bits_scored_again_as_by_floats(run: Run, tmp_path: Path) -> None:
    """Among 440 sentences about other things, with texts that are not in the database."""
    pytest.importorskip('qdrant_client')
    output = run('example8.py', '-database', str(tmp_path / 'qdrant'), '-evaluate')
    titles = re.findall('^(float|binary|rescored):$', output, flags=re.M)
    right = [int(count) for count in re.findall(r'among the first 1 for (\d+) of 110', output)]
    by_floats, by_bits, scored_again = right
    assert titles == ['float', 'binary', 'rescored']
    assert by_floats > by_bits > 0.7 * 110
    assert scored_again >= by_floats - 1
    assert list(tmp_path.glob('qdrant/**/*.sqlite')), 'it is on the disk'


def test_8_answers_from_a_database_what_a_cross_encoder_ranks_first(run: Run) -> None:
    """The cross-encoder is a tiny one of random weights: its order is judged by its own scores, not by sense."""
    pytest.importorskip('qdrant_client')
    query = 'Why are there two ports?'
    with serve('-model_dir', str(DATA / 'published' / 'models' / 'ce-bert-one'), '-engine', FASTEST) as other:
        ports = ('-rerank_port', str(other.port), '-rerank_port_out', str(other.port_out))
        output = run('example8.py', '-database', ':memory:', '-query', query, '-topk', '40', *ports)
        shown = re.findall(r'^> (-?\d\.\d+)  (.*)', output, flags=re.M)
        with connect(other) as ranker:
            scores = ranker.predict([[query, question] for _, question in shown[:20]])
    assert len(shown) > 20, 'the rest follows in its own order'
    assert [float(score) for score, _ in shown[:20]] == pytest.approx(sorted(scores, reverse=True), abs=0.0006)
    assert [float(score) for score, _ in shown[:20]] == pytest.approx(scores.tolist(), abs=0.0006)
    assert 'Why does the server need two ports?' in [question for _, question in shown[:20]]
