"""The worker checks the texts of a job, and counts them as the whole request does."""

from __future__ import annotations

import pytest

from bert_serving.server.errors import RequestError
from bert_serving.server.protocol.options import EncodingOptions
from bert_serving.server.protocol.ring import Job, JobHeader, Lane, RequestRef
from bert_serving.server.worker.job_texts import read_texts


def a_job(payload: bytes, rows: int = 2, first_row: int = 0, parts: int = 1, **options: object) -> Job:
    ref = RequestRef(1, b'me', b'1', parts, 10)
    header = JobHeader(ref, part=0, attempt=0, first_row=first_row, rows=rows, lane=Lane.BULK)
    return Job(header, payload, EncodingOptions(**options) if options else None)  # type: ignore[arg-type]


def test_texts_and_pairs_are_read_by_the_options_of_the_job() -> None:
    assert read_texts(a_job(b'["a","b"]')) == ['a', 'b']
    assert read_texts(a_job(b'[["a","b"],["c","d"]]', pairs=True)) == [['a', 'b'], ['c', 'd']]
    with pytest.raises(RequestError, match='a list of two texts as element 0'):
        read_texts(a_job(b'["a","b"]', pairs=True))
    assert read_texts(a_job(b'["a","b"]', pairs=True, offsets=True)) == ['a', 'b']
    assert read_texts(a_job(b'[[1],[2]]', decode=True)) == [[1], [2]]


@pytest.mark.parametrize(
    ('payload', 'says'),
    [
        (b'["a",1]', 'expected a text, like element 4, as element 5, got int'),
        (b'[["a"],["b",1]]', 'expected a string in element 5 as token 1, got int'),
        (b'[1,2]', 'expected a text or a list of tokens as element 4, got int'),
        (b'["a" "b"]', 'elements 4 to 5: the message is not JSON'),
    ],
)
def test_errors_count_the_elements_of_the_whole_request(payload: bytes, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        read_texts(a_job(payload, first_row=4, parts=5))


def test_the_message_of_a_request_of_one_job_is_whole() -> None:
    with pytest.raises(RequestError, match=r'^the message is not JSON'):
        read_texts(a_job(b'["a" "b"]'))


def test_pairs_are_counted_likewise() -> None:
    with pytest.raises(RequestError, match='a list of two texts as element 5, got a list of 1'):
        read_texts(a_job(b'[["a","b"],["c"]]', first_row=4, parts=5, pairs=True))
