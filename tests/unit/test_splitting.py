"""A request becomes jobs as 1.10 made its sub-batches."""

from __future__ import annotations

import json

import pytest

from bert_serving.server.errors import RequestError
from bert_serving.server.protocol.options import EncodingOptions
from bert_serving.server.protocol.texts import decode_texts
from bert_serving.server.ventilator.splitting import MAX_CHUNKS_AT_ONCE, Chunk, is_large, split_request
from support.scheduling import LIMITS, a_request


def test_a_request_that_fits_is_passed_on_undecoded() -> None:
    request = a_request(8, payload=b'not even JSON')
    assert split_request(request, 8) == [Chunk(8, b'not even JSON')]


def test_a_larger_request_is_split_into_chunks_of_max_batch_size_in_order() -> None:
    texts = ['text %d' % i for i in range(19)]
    chunks = split_request(a_request(19, payload=json.dumps(texts).encode()), 8)
    assert [chunk.rows for chunk in chunks] == [8, 8, 3]
    assert [text for chunk in chunks for text in decode_texts(chunk.payload)] == texts


def test_a_larger_request_whose_row_count_lies_is_refused() -> None:
    with pytest.raises(RequestError, match='announces 20 rows'):
        split_request(a_request(20, payload=json.dumps(['text'] * 19).encode()), 8)


def test_a_larger_request_of_pairs_is_split_by_pairs() -> None:
    pairs = [['a ||| %d' % i, ''] for i in range(9)]
    options = EncodingOptions(pairs=True)
    chunks = split_request(a_request(9, payload=json.dumps(pairs).encode(), encoding=options), 8)
    assert [pair for chunk in chunks for pair in decode_texts(chunk.payload)] == pairs
    with pytest.raises(RequestError, match='a list of two texts as element 0'):
        split_request(a_request(9, encoding=options), 8)


def test_a_request_is_large_by_its_bytes_or_its_jobs() -> None:
    assert not is_large(a_request(9), LIMITS)
    assert is_large(a_request(9, payload=b' ' * (LIMITS.split_bytes + 1)), LIMITS)
    assert is_large(a_request(MAX_CHUNKS_AT_ONCE * 8 + 1, payload=b'[]'), LIMITS)
    assert is_large(a_request(1, payload=b' ' * (LIMITS.split_bytes + 1)), LIMITS), 'it is looked at'
