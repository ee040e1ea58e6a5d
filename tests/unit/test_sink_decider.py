"""All decisions of the sink together: from the parts to the readers, in any order of events."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings

from bert_serving.server.errors import RequestError
from bert_serving.server.protocol.ring import (
    Collected,
    Published,
    Refuse,
    Register,
    RequestRef,
    Status,
)
from bert_serving.server.sink.events import Subscribed
from unit.sink_double import ME, SinkDouble, a_part, array_of
from unit.sink_machine import SinkMachine


def test_an_answer_waits_for_its_reader_and_the_ventilator_is_told_when_it_has_gone() -> None:
    sink = SinkDouble()
    sink.handle(Register(RequestRef(1, ME, b'1', 1, 2)))
    sink.handle(a_part())
    assert sink.published == []
    assert sink.reports == [Collected(4, 1, 0, 0)]
    assert sink.decider.publisher.waiting_replies == 1
    sink.handle(Subscribed(ME))
    assert sink.accepted == [ME]
    assert sink.ids == [b'1']
    assert sink.reports[-1] == Published(1, True)
    assert sink.decider.publisher.waiting_replies == 0
    np.testing.assert_array_equal(array_of(sink.published[0]), np.arange(6).reshape(2, 3))


def test_the_head_of_a_result_is_what_1_10_sends() -> None:
    sink = SinkDouble()
    sink.handle(Subscribed(ME))
    sink.handle(a_part())
    assert sink.published[0][0] == ME
    assert json.loads(sink.published[0][1]) == {'dtype': 'float32', 'shape': [2, 3], 'tokens': ''}


def test_refusals_and_statuses_go_through_the_same_gate() -> None:
    sink = SinkDouble()
    sink.handle(Refuse(ME, b'7', RequestError('no')))
    sink.handle(Status(ME, b'8', b'{"port": 5555}'))
    assert sink.published == []
    sink.handle(Subscribed(ME))
    assert sink.ids == [b'7', b'8']
    assert sink.published[1] == [ME, b'{"port": 5555}', b'8']
    assert sink.reports == []


def test_an_error_for_an_accepted_request_is_reported_as_its_publication() -> None:
    sink = SinkDouble()
    sink.handle(Subscribed(ME))
    sink.handle(Register(RequestRef(7, ME, b'7', 1, 2)))
    sink.handle(Refuse(ME, b'7', RequestError('too late'), 7))
    assert sink.reports == [Published(7, False)]


TestSinkMachine = pytest.mark.slow(SinkMachine.TestCase)
TestSinkMachine.settings = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None)
