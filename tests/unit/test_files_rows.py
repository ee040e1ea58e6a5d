"""The pieces of `bert-serving-encode`: every row once, in order, and the same ones wherever a job goes on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_serving.server.files.rows import (
    Block,
    Piece,
    PieceCutter,
    Span,
    Unreadable,
    joined,
    kind_of_ids,
    problem_of,
    to_id,
)

VALUES = st.one_of(
    st.text(max_size=12),
    st.none(),
    st.integers(),
    st.sampled_from([b'bytes', b'\xff', Unreadable('torn'), ['a'], 'x' * 40, 'é' * 25, '\ud800']),
)


def blocks_of(files: list[list[object]], cuts: int, first: int) -> list[Block]:
    """The rows of all files from the row `first` over all of them on, in blocks of `cuts` rows."""
    blocks, before = [], 0
    for source, values in enumerate(files):
        begin = max(0, first - before)
        for start in range(begin, len(values), cuts):
            part = values[start : start + cuts]
            ids: list[object] = ['%d-%d' % (source, start + index) for index in range(len(part))]
            blocks.append(Block(source, start, part, ids, (start + len(part)) / len(values)))
        before += len(values)
    return blocks


def pieces_of(
    files: list[list[object]], cuts: int, request_rows: int, part_rows: int, first: int = 0, has_digests: bool = False
) -> list[Piece]:
    cutter = PieceCutter(
        request_rows=request_rows,
        request_bytes=60,
        part_rows=part_rows,
        max_text_bytes=40,
        id_kind='string',
        first_row=first,
        has_digests=has_digests,
    )
    pieces = [piece for block in blocks_of(files, cuts, first) for piece in cutter.cut(block)]
    last = cutter.end()
    return pieces if last is None else [*pieces, last]


@settings(deadline=None)
@given(st.lists(st.lists(VALUES, max_size=30), max_size=4), *3 * [st.integers(1, 12)])
def test_every_row_is_in_one_piece_in_order_as_a_text_or_as_an_error(
    files: list[list[object]], cuts: int, request_rows: int, part_rows: int
) -> None:
    pieces = pieces_of(files, cuts, request_rows, part_rows)
    total = sum(map(len, files))
    assert [row_id for piece in pieces for row_id in piece.ids] == [
        '%d-%d' % (source, row) for source, values in enumerate(files) for row in range(len(values))
    ]
    assert [row for piece in pieces for span in piece.spans for row in range(span.start, span.stop)] == [
        row for values in files for row in range(len(values))
    ]
    for piece in pieces:
        assert 1 <= len(piece) <= request_rows
        assert sorted([*piece.places, *piece.errors]) == list(range(len(piece)))
        assert len(piece.places) == len(piece.texts)
    rows = 0
    for piece in pieces:
        assert piece.part == rows // part_rows
        rows += len(piece)
        assert piece.ends_part == (rows % part_rows == 0 or rows == total)


@settings(deadline=None)
@given(st.lists(st.lists(VALUES, max_size=30), max_size=4), *3 * [st.integers(1, 12)], st.integers(1, 12), st.data())
def test_a_job_that_goes_on_makes_the_pieces_of_one_that_was_never_interrupted(
    files: list[list[object]], cuts: int, request_rows: int, part_rows: int, other_cuts: int, data: st.DataObject
) -> None:
    pieces = pieces_of(files, cuts, request_rows, part_rows, has_digests=True)
    complete = sum(piece.ends_part for piece in pieces)
    done = data.draw(st.integers(0, max(0, complete - 1)))
    rest = pieces_of(files, other_cuts, request_rows, part_rows, first=done * part_rows, has_digests=True)
    expected = [piece for piece in pieces if piece.part >= done]
    for piece in [*rest, *expected]:
        piece.share = 0.0
    assert rest == expected


def test_digests_tell_one_row_from_another() -> None:
    digests = {
        pieces_of([[value]], 1, 1, 1, has_digests=True)[0].digest
        for value in ('a', 'b', None, 1, Unreadable('torn'), b'c')
    }
    assert len(digests) == 6
    assert pieces_of([['a']], 1, 1, 1)[0].digest is None


@pytest.mark.parametrize(
    ('value', 'problem'),
    [
        ('a', None),
        ('é ||| ß', None),
        (None, 'the text is null'),
        ('', 'the text is blank'),
        (' \t\n\u3000', 'the text is blank'),
        (42, 'expected a text, got a number'),
        (4.2, 'expected a text, got a number'),
        (True, 'expected a text, got a boolean'),
        ([1], 'expected a text, got a list'),
        ({}, 'expected a text, got an object'),
        ((), 'expected a text, got tuple'),
        ('\ud800', 'the text is not valid UTF-8'),
        (Unreadable('the line is torn'), 'the line is torn'),
        ('x' * 101, 'the text has 101 bytes: the limit is 100 (-max_text_bytes)'),
        ('é' * 51, 'the text has 102 bytes: the limit is 100 (-max_text_bytes)'),
        ('é' * 50, None),
    ],
)
def test_a_value_that_cannot_be_encoded_has_a_reason(value: object, problem: str | None) -> None:
    assert problem_of(value, 100) == problem


def test_ids_are_numbers_if_the_first_one_is() -> None:
    assert kind_of_ids(None) == 'int', 'the number of the row'
    assert kind_of_ids([None, 3, 'a']) == 'int'
    assert kind_of_ids(['3']) == kind_of_ids([True]) == kind_of_ids([None]) == kind_of_ids([]) == 'string'


@pytest.mark.parametrize(
    ('value', 'kind', 'row_id', 'problem'),
    [
        (None, 'int', None, None),
        (7, 'int', 7, None),
        (7, 'string', '7', None),
        ('7', 'int', None, 'the id is not a 64-bit integer, but the first id is'),
        (2**63, 'int', None, 'the id is not a 64-bit integer, but the first id is'),
        (False, 'int', None, 'the id is not a 64-bit integer, but the first id is'),
        (b'seven', 'string', 'seven', None),
        (b'\xff', 'string', None, 'the id is not valid UTF-8'),
        ('é', 'string', 'é', None),
        (Unreadable('torn'), 'string', None, 'torn'),
    ],
)
def test_an_id_is_what_its_column_can_hold(value: object, kind: str, row_id: object, problem: str | None) -> None:
    assert to_id(value, kind) == (row_id, problem)


def test_a_row_with_a_wrong_id_is_an_error_and_has_no_text() -> None:
    cutter = PieceCutter(request_rows=9, request_bytes=99, part_rows=9, max_text_bytes=9, id_kind='int')
    assert list(cutter.cut(Block(0, 0, ['a', 'b', 'c'], [1, 'two', 3], 1.0))) == []
    piece = cutter.end()
    assert piece is not None
    assert (piece.ids, piece.texts, piece.places) == ([1, None, 3], ['a', 'c'], [0, 2])
    assert list(piece.errors) == [1]


def test_spans_of_neighbors_are_joined() -> None:
    assert joined([Span(0, 0, 5)], [Span(0, 5, 7), Span(1, 0, 2)]) == [Span(0, 0, 7), Span(1, 0, 2)]
    assert joined([], [Span(0, 5, 7), Span(0, 9, 10)]) == [Span(0, 5, 7), Span(0, 9, 10)]
