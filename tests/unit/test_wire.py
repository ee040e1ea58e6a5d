"""The frames of both protocols: what 1.10 sends and expects, and that no frames whatever break a decoder."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bert_serving.server.errors import REQUEST_ERRORS, InternalError, RequestError, WireError
from bert_serving.server.protocol.options import (
    MAX_DEADLINE_MS,
    NO_OPTIONS,
    EncodingOptions,
    Options,
    decode_options,
)
from bert_serving.server.protocol.ring import (
    ClientGone,
    Collected,
    Drain,
    Drop,
    DroppedPart,
    FailedPart,
    Job,
    JobHeader,
    Lane,
    Part,
    Published,
    Refuse,
    Register,
    RequestRef,
    RingMessage,
    SinkMoved,
    Status,
    Stop,
    decode_ring_message,
    encode_ring_message,
)
from bert_serving.server.protocol.texts import MAX_SECOND_TRY_BYTES, decode_texts, encode_texts
from bert_serving.server.protocol.tracing import JobTrace
from bert_serving.server.protocol.wire import (
    Answer,
    BadRequest,
    CancelRequest,
    EncodeRequest,
    StatusRequest,
    TerminationRequest,
    decode_client_message,
    encode_client_message,
    encode_error,
    encode_result,
    encode_status,
    format_identity,
)

HEADER = JobHeader(RequestRef(1 << 40, b'me#\xff', b'11', 4, 7), 2, 3, 5, 6, Lane.URGENT)


def test_a_request_of_1_10() -> None:
    assert decode_client_message([b'me', b'["hello"]', b'3', b'1']) == EncodeRequest(b'me', b'3', 1, b'["hello"]')


@pytest.mark.parametrize(('command', 'statistic'), [(b'SHOW_CONFIG', False), (b'SHOW_STATUS', True)])
def test_a_status_request_of_1_10(command: bytes, statistic: bool) -> None:
    assert decode_client_message([b'me', command, b'3', b'0']) == StatusRequest(b'me', b'3', statistic)


def test_a_termination_of_1_10() -> None:
    frames = encode_client_message(b'0', b'TERMINATION', 0)
    assert frames == [b'0', b'TERMINATION', b'0', b'0']
    assert decode_client_message(frames) == TerminationRequest()


@pytest.mark.parametrize(
    ('frame', 'options'),
    [
        (b'{}', NO_OPTIONS),
        (b'{"deadline_ms": 1}', Options(deadline_ms=1)),
        (b'{"deadline_ms": 86400000, "token_counts": true}', Options(deadline_ms=86_400_000, token_counts=True)),
        (b'{"deadline_ms": null, "token_counts": false, "tokenize": true}', Options(tokenize=True)),
        (b'{"prompt": null, "normalize": null, "truncate": "right", "pairs": null}', NO_OPTIONS),
        (b'{"prompt": ""}', Options(encoding=EncodingOptions(prompt=''))),
        (b'{"prompt_name": "query", "normalize": false}', Options(encoding=EncodingOptions(None, 'query', False))),
        (b'{"dimensions": 1, "dtype": "ubinary"}', Options(encoding=EncodingOptions(dimensions=1, dtype='ubinary'))),
        (b'{"truncate": "left", "pairs": false}', Options(encoding=EncodingOptions(truncate='left', pairs=False))),
        (b'{"pairs": true, "raw": false}', Options(encoding=EncodingOptions(pairs=True, raw=False))),
        (
            b'{"tokenize": true, "prompt": "q: ", "truncate": "error"}',
            Options(tokenize=True, encoding=EncodingOptions(prompt='q: ', truncate='error')),
        ),
    ],
)
def test_a_fifth_frame_holds_options(frame: bytes, options: Options) -> None:
    message = decode_client_message([b'me', b'["a"]', b'3', b'1', memoryview(frame)])
    assert message == EncodeRequest(b'me', b'3', 1, b'["a"]', options)


@pytest.mark.parametrize(
    ('frame', 'says'),
    [
        (b'', 'not JSON'),
        (b'[' * 4096, 'not JSON'),
        (b'[]', 'not a JSON object'),
        (b'{"deadline": 1}', "'deadline' is not known"),
        (b'{"%s": 1}' % (b'x' * 100), "'%s' is not known" % ('x' * 64)),
        (b'{"deadline_ms": 0}', 'deadline_ms: expected a whole number from 1 to 86400000'),
        (b'{"deadline_ms": 86400001}', 'deadline_ms'),
        (b'{"deadline_ms": 1.0}', 'deadline_ms'),
        (b'{"deadline_ms": true}', 'deadline_ms'),
        (b'{"deadline_ms": "1"}', 'deadline_ms'),
        (b'{"token_counts": 1}', 'token_counts: expected true or false'),
        (b'{"tokenize": null}', 'tokenize: expected true or false'),
        (b'{}' + b' ' * 4095, '4097 bytes'),
        (b'{"prompt": 1}', 'prompt: expected a string'),
        (b'{"prompt_name": ["query"]}', 'prompt_name: expected a string'),
        (b'{"prompt": "q: ", "prompt_name": "query"}', 'prompt and prompt_name are mutually exclusive'),
        (b'{"normalize": 1}', 'normalize: expected true, false or null'),
        (b'{"dimensions": 0}', 'dimensions: expected a whole number from 1'),
        (b'{"dimensions": true}', 'dimensions: expected a whole number from 1'),
        (b'{"dimensions": 3.0}', 'dimensions: expected a whole number from 1'),
        (b'{"dtype": "float64"}', 'dtype: expected one of float32, float16, int8, binary, ubinary'),
        (b'{"dtype": ["int8"]}', 'dtype: expected one of'),
        (b'{"truncate": "middle"}', 'truncate: expected one of right, left, error'),
        (b'{"truncate": null}', 'truncate: expected one of'),
        (b'{"pairs": "yes"}', 'pairs: expected true, false or null'),
        (b'{"raw": 0}', 'raw: expected true, false or null'),
        (b'{"offsets": true}', 'offsets and decode need tokenize'),
        (b'{"decode": true, "tokenize": false}', 'offsets and decode need tokenize'),
        (b'{"tokenize": true, "normalize": true}', 'normalize cannot be combined with tokenize'),
    ],
)
def test_bad_options_are_answered_with_what_is_wrong(frame: bytes, says: str) -> None:
    message = decode_client_message([b'me', b'["a"]', b'3', b'1', frame])
    assert isinstance(message, BadRequest)
    assert message.error.type == 'BadRequest'
    assert says in message.error.message


def test_a_request_is_cancelled_by_its_id() -> None:
    assert decode_client_message([b'me', b'CANCEL', b'3', b'0']) == CancelRequest(b'me', b'3')


@pytest.mark.parametrize(
    ('frames', 'says'),
    [
        ([], '0 frames'),
        ([b'me', b'[]', b'1'], '3 frames'),
        ([b'me', b'[]', b'1', b'1', b'{}', b''], '6 frames'),
        ([b'', b'["a"]', b'1', b'1'], 'identity of 0 bytes'),
        ([b'x' * 10_000, b'["a"]', b'1', b'1'], 'identity of 10000 bytes'),
        ([b'me', b'["a"]', b'', b'1'], 'not a number'),
        ([b'me', b'["a"]', b'-1', b'1'], 'not a number'),
        ([b'me', b'["a"]', b'1' * 30, b'1'], 'not a number'),
        ([b'me', b'["a"]', b'\xd9\xa1', b'1'], 'not a number'),
    ],
)
def test_what_nobody_can_be_answered_for(frames: list[bytes], says: str) -> None:
    with pytest.raises(WireError, match=says):
        decode_client_message(frames)


@pytest.mark.parametrize(
    ('rows', 'says'),
    [
        (b'two', 'not a number'),
        (b'0', 'from 1 to 100000000'),
        (b'9' * 12, 'from 1 to 100000000'),
        (b'', 'not a number'),
    ],
)
def test_a_bad_row_count_is_answered(rows: bytes, says: str) -> None:
    message = decode_client_message([b'me', b'["a"]', b'1', rows])
    assert isinstance(message, BadRequest)
    assert (message.identity, message.request_id) == (b'me', b'1')
    assert says in message.error.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                ['deadline_ms', 'token_counts', 'tokenize', 'prompt', 'dtype', 'truncate', 'raw', 'traceparent']
            )
            | st.text(),
            inner,
        )
    ),
)


@pytest.mark.slow
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_options_are_read_or_refused_as_the_clients_fault(frame: bytes) -> None:
    with contextlib.suppress(RequestError):
        options = decode_options(frame)
        assert options.deadline_ms is None or 0 < options.deadline_ms <= MAX_DEADLINE_MS


MESSAGES = st.sampled_from([b'TERMINATION', b'CANCEL', b'SHOW_STATUS', b'["a"]'])
NUMBERS = st.sampled_from([b'0', b'1', b'12', b'\xd9\xa1', b'-1'])


@given(st.lists(st.binary(max_size=30), max_size=6) | st.tuples(st.binary(), MESSAGES, NUMBERS, NUMBERS).map(list))
def test_any_frames_from_a_client_are_a_message_or_a_wire_error(frames: list[bytes]) -> None:
    try:
        decode_client_message(frames)
    except WireError as error:
        assert error.message


RING_MESSAGES: list[RingMessage] = [
    Job(HEADER, b'["a"]'),
    Job(replace(HEADER, lane=Lane.BULK, reduced_batch=True), b'["a"]'),
    Job(replace(HEADER, token_counts=True), b'["a"]'),
    Job(replace(HEADER, tokenize=True), b'["a"]'),
    Job(replace(HEADER, trace=JobTrace('00-1-2-01', 0.5, worker=3)), b'["a"]'),
    Job(replace(HEADER, trace=JobTrace('00-1-2-01', 0.5)), b'["a"]', EncodingOptions(dimensions=3)),
    Part(9, replace(HEADER, trace=JobTrace('00-1-2-01', 0.5, tokens=7)), Answer('float32', [1, 2], b'12345678'), 0),
    Job(HEADER, b'["a"]', EncodingOptions(prompt='frage: é', normalize=False, dimensions=3, truncate='left')),
    Job(HEADER, b'[["a", "b"]]', EncodingOptions(pairs=True, raw=True, dtype='int8')),
    Part(9, HEADER, Answer('float32', [1, 2], b'12345678', [['[CLS]', 'a']]), 3),
    Part(9, HEADER, Answer('float16', [1, 2, 1], b'1234', None, [2], [0]), 0),
    DroppedPart(9, HEADER),
    Drop(1 << 40),
    SinkMoved('ipc:///tmp/é/sink-2'),
    Register(RequestRef(1, b'me', b'4', 2, 3)),
    Status(b'me', b'4', b'{}'),
    Collected(1, 2, 3, 4),
    Published(5, True),
    Published(6, False),
    ClientGone(b'me#\xff', 20.5),
    Drain(),
    Stop(),
]
KINDS = sorted({bytes(encode_ring_message(message)[0]) for message in RING_MESSAGES} | {b'FAILED', b'REFUSE'})


@given(st.lists(st.binary(max_size=40), max_size=8), st.sampled_from(KINDS))
def test_any_frames_round_the_ring_are_a_message_or_a_wire_error(frames: list[bytes], kind: bytes) -> None:
    for candidate in (frames, [kind, *frames]):
        try:
            decode_ring_message(candidate)
        except WireError as error:
            assert error.message


def test_a_header_with_a_trace_that_its_flag_does_not_tell_of_is_a_wire_error() -> None:
    frames = encode_ring_message(DroppedPart(9, HEADER))
    with pytest.raises(WireError, match='1 frames for a trace'):
        decode_ring_message([*frames[:4], b'["00-1-2-01", 0.5]', *frames[4:]])


@pytest.mark.slow
@given(st.sampled_from(RING_MESSAGES), st.data())
def test_a_ring_message_with_one_frame_spoilt_is_a_message_or_a_wire_error(
    message: RingMessage, data: st.DataObject
) -> None:
    frames = encode_ring_message(message)
    frames[data.draw(st.integers(0, len(frames) - 1))] = data.draw(st.binary() | JSON.map(_as_bytes))
    with contextlib.suppress(WireError):
        decode_ring_message(frames)


def _as_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize('message', RING_MESSAGES, ids=lambda message: type(message).__name__)
def test_a_ring_message_comes_out_as_it_went_in(message: RingMessage) -> None:
    assert decode_ring_message(encode_ring_message(message)) == message


@pytest.mark.parametrize('error', [kind('bad é') for kind in REQUEST_ERRORS.values()])
def test_an_error_keeps_its_kind_and_words_round_the_ring(error: RequestError) -> None:
    for message in (Refuse(b'me', b'4', error), Refuse(b'me', b'4', error, 1 << 40), FailedPart(9, HEADER, error)):
        copy = decode_ring_message(encode_ring_message(message))
        assert isinstance(copy, Refuse | FailedPart)
        assert (type(copy.error), copy.error.message) == (type(error), error.message)
        assert replace(copy, error=error) == message


def test_a_job_without_options_has_no_frame_for_them() -> None:
    assert len(encode_ring_message(Job(HEADER, b'["a"]'))) == 5


def test_a_result_has_the_frames_of_1_10() -> None:
    identity, head, body, request_id = encode_result(b'me', b'3', Answer('float32', [1, 2], b'12345678'))
    assert (identity, body, request_id) == (b'me', b'12345678', b'3')
    assert json.loads(bytes(head)) == {'dtype': 'float32', 'shape': [1, 2], 'tokens': ''}
    _, head, _, _ = encode_result(b'me', b'3', Answer('float32', [1, 2], b'12345678', [['[CLS]', 'é']]))
    assert json.loads(bytes(head))['tokens'] == [['[CLS]', 'é']]


def test_an_error_of_a_kind_that_is_not_known_is_ours() -> None:
    frames = encode_ring_message(Refuse(b'me', b'4', RequestError('odd')))
    frames[frames.index(b'BadRequest')] = b'Strange'
    refusal = decode_ring_message(frames)
    assert isinstance(refusal, Refuse)
    assert (type(refusal.error), refusal.error.message) == (InternalError, 'odd')


def test_the_token_counts_of_a_result_and_its_truncated_rows_are_there_if_asked_for() -> None:
    head = encode_result(b'me', b'3', Answer('float32', [1, 2], b'12345678', token_counts=[4], truncated_rows=[0]))[1]
    told = {'dtype': 'float32', 'shape': [1, 2], 'tokens': '', 'token_counts': [4], 'truncated_rows': [0]}
    assert json.loads(bytes(head)) == told


def test_an_error_reply_names_type_and_message_on_one_line() -> None:
    identity, head, body, request_id = encode_error(b'me', b'3', RequestError('two\nlines'))
    assert (identity, body, request_id) == (b'me', b'', b'3')
    assert json.loads(bytes(head)) == {'error': {'type': 'BadRequest', 'message': 'two lines'}}


def test_an_error_reply_can_hold_what_is_not_unicode() -> None:
    head = encode_error(b'me', b'3', RequestError('\ud800'))[1]
    assert json.loads(bytes(head))['error']['message'] == '\ud800'


def test_a_status_reply_has_three_frames() -> None:
    assert encode_status(b'me', b'3', b'{}') == [b'me', b'{}', b'3']


@example(['\ud800'])
@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=5))
def test_texts_come_out_as_they_went_in_lone_surrogates_too(texts: list[str]) -> None:
    assert decode_texts(encode_texts(texts)) == texts


@pytest.mark.parametrize(
    ('payload', 'says'),
    [
        (b'["a"', 'not JSON'),
        (b'', 'not JSON'),
        (b'["\xff"]', 'not UTF-8: byte 2'),
        (b'[' * 200_000, 'nested too deeply'),
        (b'[' + b'1' * 5000 + b']', 'cannot be read'),
    ],
)
def test_a_message_that_is_no_json_is_the_clients_fault(payload: bytes, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        decode_texts(payload)


@given(st.recursive(st.text() | st.floats() | st.integers(10**4400, 10**4500) | st.none(), st.lists, max_leaves=5))
def test_any_json_is_read_or_refused_as_the_clients_fault(value: object) -> None:
    with contextlib.suppress(RequestError):
        decode_texts(_as_json(value).encode('utf-8', 'surrogatepass'))


def _as_json(value: object) -> str:
    """`json.dumps`, and numbers of any length besides."""
    if isinstance(value, list):
        return '[%s]' % ','.join(map(_as_json, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return '9' * 4400
    return json.dumps(value, ensure_ascii=False)


def test_what_orjson_refuses_and_1_10_took_is_taken() -> None:
    assert decode_texts(b'["\\ud800"]') == ['\ud800']
    assert decode_texts(memoryview(b'[NaN]'))[0] != decode_texts(b'[NaN]')[0]


@pytest.mark.parametrize(
    ('identity', 'shown'),
    [(b'me', 'me'), (b'\xffa\n', '\\xffa\\x0a'), (b'x' * 100, 'x' * 64 + '...')],
)
def test_an_identity_is_shown_printable_and_short(identity: bytes, shown: str) -> None:
    assert format_identity(identity) == shown


def test_a_very_long_message_is_not_tried_twice() -> None:
    with pytest.raises(RequestError, match='not JSON that can be read'):
        decode_texts(b'["a"' + b' ' * MAX_SECOND_TRY_BYTES)
