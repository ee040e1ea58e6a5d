"""What somebody may have meant: the nearest name, and no guess that would mislead."""

from __future__ import annotations

import pytest

from bert_serving.server.console.suggestions import did_you_mean
from bert_serving.server.model.pooling import PoolingStrategy
from bert_serving.server.options.settings import OPTIONS

FLAGS = ['-' + option.name for option in OPTIONS.values()]


@pytest.mark.parametrize(
    ('word', 'meant'),
    [
        ('-http_prt', '-http_port'),
        ('--max-seq-len', '-max_seq_len'),
        ('-MODEL_DIR', '-model_dir'),
        ('-prot', '-port'),
        ('-num_workers', '-num_worker'),
        ('-seq_len', '-max_seq_len'),
    ],
)
def test_a_misspelled_option_leads_to_the_right_one(word: str, meant: str) -> None:
    assert did_you_mean(word, FLAGS) == ': did you mean %s?' % meant


@pytest.mark.parametrize(
    ('word', 'meant'), [('reduce_mean', 'REDUCE_MEAN'), ('CLS', 'CLS_POOLED'), ('pooled', 'CLS_POOLED')]
)
def test_case_does_not_matter_and_half_a_name_is_enough_if_it_is_half_of_one_only(word: str, meant: str) -> None:
    known = [name for name in PoolingStrategy.__members__ if name != 'CLS_TOKEN']
    assert did_you_mean(word, known) == ': did you mean %s?' % meant


def test_half_of_two_names_leads_to_both() -> None:
    assert did_you_mean('mean', PoolingStrategy.__members__) == ': did you mean REDUCE_MEAN or REDUCE_MEAN_MAX?'


@pytest.mark.parametrize('word', ['-no_such_option', '-http', '-max', '-'])
def test_where_nothing_or_too_much_is_near_nothing_is_said(word: str) -> None:
    assert did_you_mean(word, FLAGS) == ''


def test_whoever_asks_for_a_gpu_is_not_sent_to_the_cpu() -> None:
    assert did_you_mean('-gpu', ['-cpu', '-xla']) == ''
