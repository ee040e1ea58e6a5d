"""A request whose reply would be too large is refused before anything is computed."""

from __future__ import annotations

from typing import Any

import pytest

from bert_serving.server.errors import TooLarge
from bert_serving.server.protocol.options import EncodingOptions
from bert_serving.server.protocol.ring import Refuse
from bert_serving.server.ventilator.reply_size import ReplySize
from support.scheduling import a_request, a_scheduler, messages_in

VECTORS = ReplySize(width=768)
STATES = ReplySize(width=768, tokens=25)


@pytest.mark.parametrize(
    ('model', 'options', 'expected'),
    [
        (VECTORS, None, 3072),
        (ReplySize(width=768, item_bytes=2), None, 1536),
        (STATES, None, 76800),
        (VECTORS, {'dimensions': 100}, 400),
        (VECTORS, {'dtype': 'float16'}, 1536),
        (VECTORS, {'dtype': 'int8'}, 768),
        (VECTORS, {'dtype': 'binary'}, 96),
        (VECTORS, {'dtype': 'ubinary', 'dimensions': 9}, 2),
        (VECTORS, {'pairs': True, 'prompt': 'x'}, 3072),
        (STATES, {'dtype': 'float16'}, 38400),
    ],
)
def test_the_bytes_of_a_row_follow_from_the_model_and_the_options(
    model: ReplySize, options: dict[str, Any] | None, expected: int
) -> None:
    assert model.row_bytes(False, None if options is None else EncodingOptions(**options)) == expected


def test_ids_are_smaller_than_vectors() -> None:
    assert VECTORS.row_bytes(True, None) == 4
    assert VECTORS.row_bytes(True, EncodingOptions(offsets=True)) == 4


def test_the_error_says_the_size_the_limit_and_what_to_do() -> None:
    sizes = ReplySize(width=768, most=100_000_000)
    sizes.check(a_request(32_552))
    with pytest.raises(
        TooLarge, match=r'reply to 32553 rows would have 101 MB.*-max_reply_bytes.*100 MB: split the request'
    ):
        sizes.check(a_request(32_553))


def test_without_a_limit_every_reply_is_small_enough() -> None:
    ReplySize().check(a_request(1000))


def test_many_equal_short_texts_are_refused_before_they_are_accepted() -> None:
    scheduler = a_scheduler()
    scheduler.reply_size = ReplySize(width=768, most=1_000_000)
    (refusal,) = messages_in(scheduler.handle(a_request(400), 0))
    assert isinstance(refusal, Refuse)
    assert refusal.error.type == 'TooLarge'
    assert scheduler.outcomes.refused == 1
    assert scheduler.unanswered == 0
