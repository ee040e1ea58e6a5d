# -*- coding: utf-8 -*-
"""The sizes of the requests that a large input is split into, without a server."""

import pytest

import bert_serving.client
from bert_serving.client import _Chunker, _ServerLimits

BATCH = 4
TOKEN_LEVEL = {'pooling_strategy': 0}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(bert_serving.client, '_CHUNK_ROWS', 10)
    monkeypatch.setattr(bert_serving.client, '_CHUNK_BYTES', 1000)
    monkeypatch.setattr(bert_serving.client, '_CHUNK_ANSWER_BYTES', 600)


def make_chunker(is_fine=False, **config):
    return _Chunker(_ServerLimits(dict(config, max_batch_size=BATCH)), is_fine)


def test_a_chunk_is_whole_batches_of_the_server():
    assert make_chunker().next(100) == 8  # of at most 10 rows


def test_the_last_chunk_is_what_remains():
    assert make_chunker().next(3) == 3


def test_a_progress_bar_gets_chunks_of_one_batch():
    assert make_chunker(is_fine=True).next(100) == BATCH


def test_a_batch_larger_than_a_chunk_is_not_torn():
    assert _Chunker(_ServerLimits({'max_batch_size': 64})).next(100) == 64


def test_a_server_that_states_no_limits_gets_batches_of_the_default(monkeypatch):
    monkeypatch.setattr(bert_serving.client, '_CHUNK_ROWS', 600)
    assert _Chunker(_ServerLimits({})).next(10000) == 512


def test_token_level_replies_are_one_batch_until_their_size_is_known():
    chunker = make_chunker(**TOKEN_LEVEL)
    assert chunker.next(100) == BATCH
    assert chunker.next(100, bytes_per_row=60) == 8


@pytest.mark.parametrize(('bytes_per_row', 'rows'), [(1, 8), (75, 8), (76, 4), (150, 4), (601, 4), (100000, 4)])
def test_a_reply_stays_within_its_bytes_but_never_below_a_batch(bytes_per_row, rows):
    assert make_chunker().next(100, bytes_per_row) == rows


@pytest.mark.parametrize(('limit', 'rows'), [(3, 3), (6, 6), (100, 8), (None, 8)])
def test_no_chunk_has_more_rows_than_the_server_takes(limit, rows):
    assert make_chunker(max_request_rows=limit).next(100) == rows


@pytest.mark.parametrize(
    ('rows', 'num_bytes', 'limit', 'is_too_large'),
    [
        (8, 1000, None, False),
        (8, 1001, None, True),
        (4, 1001, None, False),  # a batch is not torn for our own limit
        (4, 1001, 1001, False),
        (4, 1001, 1000, True),  # but it is for the server's
        (1, 1001, 1000, True),
        (8, 501, 500, True),
    ],
)
def test_a_chunk_is_too_large_for_the_server_or_for_us(rows, num_bytes, limit, is_too_large):
    assert make_chunker(max_message_bytes=limit).is_too_large(rows, num_bytes) == is_too_large


def test_a_chunk_is_halved_in_batches_and_a_batch_in_rows():
    chunker = _Chunker(_ServerLimits({'max_batch_size': BATCH}))
    sizes, rows = [], 40
    while rows:
        rows = chunker.halve(rows)
        sizes.append(rows)
    assert sizes == [20, 8, 4, 2, 1, 0]


def test_after_a_chunk_that_was_too_large_the_next_ones_are_smaller():
    chunker = make_chunker()
    assert chunker.halve(chunker.next(100)) == BATCH
    assert chunker.next(100) == BATCH


def test_a_batch_that_was_too_large_does_not_shrink_the_next_ones():
    """One long text says little about the others; chunks that are not whole batches change the length of replies."""
    chunker = make_chunker(is_fine=True)
    assert chunker.halve(chunker.next(100)) == 2
    assert chunker.next(98) == BATCH


@pytest.mark.parametrize('bytes_per_text', [1, 99, 100, 249, 250, 999, 1000])
@pytest.mark.parametrize('total', [1, 4, 5, 39])
def test_all_rows_are_sent_once_in_messages_that_the_server_takes(total, bytes_per_text):
    chunker = make_chunker(max_message_bytes=1000)
    sizes, remaining = [], total
    while remaining:
        rows = chunker.next(remaining)
        while chunker.is_too_large(rows, rows * bytes_per_text):
            rows = chunker.halve(rows)
        assert rows >= 1
        sizes.append(rows)
        remaining -= rows
    assert sum(sizes) == total
    assert max(sizes) * bytes_per_text <= 1000
