"""The manifest of `bert-serving-encode`: torn anywhere it still says what is done, and to which job that belongs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.errors import UsageError
from bert_serving.server.files.manifest import (
    DONE_LINE,
    Job,
    Manifest,
    Part,
    check_same_job,
    describe_model,
    difference_of,
    read_manifest,
)
from bert_serving.server.files.rows import Span

JOB = Job(
    inputs=[{'path': '/a.txt', 'size': 3, 'mtime_ns': 1}, {'path': '/b.txt', 'size': 4, 'mtime_ns': 2}],
    options={'dtype': 'float32', 'part_rows': 10},
    model={'name': 'é', 'digest': 'abc'},
    id_kind='int',
)
PARTS = [
    Part({'part-000000.npy': 128, 'part-000000.ids.jsonl': 9}, 10, 1, 30, [Span(0, 0, 10)]),
    Part({'part-000001.npy': 128, 'part-000001.ids.jsonl': 9}, 7, 0, 20, [Span(0, 10, 12), Span(1, 0, 5)], 'digest'),
]
CONTENT = b''.join([JOB.to_line(), *(part.to_line() for part in PARTS), DONE_LINE])


def test_what_was_written_is_read() -> None:
    manifest = read_manifest(CONTENT)
    assert manifest == Manifest(JOB, PARTS, True, len(CONTENT))
    assert (manifest.rows, manifest.errors, manifest.tokens) == (17, 1, 50)
    assert manifest.position == (1, 5)
    assert Manifest().position == (0, 0)


@given(st.integers(0, len(CONTENT)))
def test_a_manifest_that_is_torn_anywhere_has_its_complete_lines(size: int) -> None:
    manifest = read_manifest(CONTENT[:size])
    assert manifest.parts == PARTS[: len(manifest.parts)]
    assert manifest.job in (None, JOB)
    rest = CONTENT[manifest.size :]
    assert read_manifest(CONTENT[: manifest.size] + rest) == read_manifest(CONTENT)
    assert len(rest.splitlines()) == CONTENT.count(b'\n') - CONTENT[: manifest.size].count(b'\n')


@pytest.mark.parametrize(
    'content',
    [
        b'\xff\n',
        b'{}\n',
        b'[]\n',
        JOB.to_line() + b'{"other": 1}\n',
        JOB.to_line() + b'7\n',
        JOB.to_line() + replace(PARTS[0], spans=[]).to_line(),
    ],
)
def test_a_manifest_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(UsageError, match='damaged: choose another -output, or use -overwrite'):
        read_manifest(content)


def test_a_manifest_of_another_release_is_refused() -> None:
    with pytest.raises(UsageError, match='another release has written'):
        read_manifest(b'{"format": 2}\n')


@pytest.mark.parametrize(
    ('changes', 'difference'),
    [
        ({}, None),
        ({'inputs': JOB.inputs[:1]}, 'the input /b.txt is missing'),
        ({'inputs': [*JOB.inputs, {'path': '/c.txt'}]}, 'the input /c.txt is new'),
        ({'inputs': JOB.inputs[::-1]}, 'the inputs are in another order'),
        ({'inputs': [JOB.inputs[0], {**JOB.inputs[1], 'size': 5}]}, 'the input /b.txt has changed since'),
        ({'options': {**JOB.options, 'dtype': 'int8'}}, '-dtype was "float32", and is "int8"'),
        ({'options': {**JOB.options, 'prompt': 'x'}}, '-prompt was null, and is "x"'),
        ({'model': {**JOB.model, 'digest': 'd'}}, 'the digest of the model was "abc", and is "d"'),
    ],
)
def test_another_job_is_refused_with_what_differs(changes: dict[str, Any], difference: str | None) -> None:
    assert difference_of(JOB, replace(JOB, **changes)) == difference
    if difference is None:
        check_same_job(JOB, replace(JOB, **changes))
    else:
        with pytest.raises(UsageError) as caught:
            check_same_job(JOB, replace(JOB, **changes))
        assert difference in str(caught.value)


MODEL = {
    'name': 'm',
    'digest': 'abc',
    'pooling': 'REDUCE_MEAN',
    'max_seq_len': 25,
    'normalize': True,
    'prompts': {'query': 'query: ', 'document': 'passage: '},
    'default_prompt_name': 'document',
}


@pytest.mark.parametrize(
    ('options', 'prompt', 'normalize'),
    [
        ({}, 'passage: ', True),
        ({'prompt_name': 'query', 'normalize': False}, 'query: ', False),
        ({'prompt': ''}, '', True),
        ({'prompt': 'mine: '}, 'mine: ', True),
    ],
)
def test_the_output_names_the_prompt_and_the_normalization(
    options: dict[str, Any], prompt: str, normalize: bool
) -> None:
    about = describe_model(MODEL, '2.0.0', options)
    assert (about['prompt'], about['normalize'], about['release']) == (prompt, normalize, '2.0.0')
    assert (about['name'], about['digest'], about['pooling'], about['max_seq_len']) == ('m', 'abc', 'REDUCE_MEAN', 25)


def test_a_model_without_prompts_has_none() -> None:
    about = describe_model({**MODEL, 'prompts': None, 'default_prompt_name': None}, '2.0.0', {})
    assert about['prompt'] is None
