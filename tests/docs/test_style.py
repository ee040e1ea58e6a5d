"""The pages keep to the style sheet of CONTRIBUTING.md, as far as docs/style.py can judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.pages import PAGES, name_of
from docs.style import MAX_WORDS, Fault, faults_of, rates_of, sentences_of


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_a_page_keeps_to_the_style_sheet(page: Path) -> None:
    faults = ['%s:%d: %s' % (name_of(page), *fault) for fault in faults_of(page.read_text('utf-8'))]
    assert not faults, '\n'.join(['', *faults])


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('It can not fail.', '"can not": write cannot'),
        ('The server may restart.', '"may": write can'),
        ('It lies beside the graph.', '"beside": write "in addition to"'),
        ('The worker has a socket of its own.', '"of its own": write its own'),
        ('Fix what is wrong.', '"what is": write the name'),
        ('| a cell | may fail |', '"may": write can'),
        ('What is left is dropped.', '"What" begins a sentence that is no question'),
        ('**Who holds it.** The sink holds it.', '"Who" begins a sentence that is no question'),
        ('It waits; it reads; it writes.', 'two semicolons in a sentence'),
        ('It waits. It reads.', 'two sentences on one line'),
        ('- It waits. It reads.', 'two sentences on one line'),
        ('The sink waits for\nthe worker.', 'a sentence on two lines'),
        ('word ' * (MAX_WORDS + 1), 'a sentence of %d words' % (MAX_WORDS + 1)),
    ],
)
def test_a_fault_is_found(text: str, reason: str) -> None:
    assert [fault.reason for fault in faults_of(text + '\n') if fault.line and fault.reason.startswith(reason)]


@pytest.mark.parametrize(
    'text',
    [
        'It cannot fail.',
        'In May 2026 it came out.',
        'It answers the rest of its own requests.',
        'What happens to the parts?',
        '*Who is asked?*\nThe sink.',
        '**Price.** It costs time.',
        '1. **Why not?** It costs time.',
        'The log says `what is wrong; can not go on; of its own`.',
        '# What it may do',
        '<!-- what may be said: of its own -->',
        '```text\nwhat may be said. It is code.\n```',
        'These are lines of code:\n\n    may; not; count',
        '| key | a; b; c; ' + 'd ' * MAX_WORDS + '|',
        'The list has\n- a part\n- a worker',
        'The [page](a.md#may) and <https://may.example>.',
        'word ' * MAX_WORDS,
    ],
)
def test_good_style_has_no_faults(text: str) -> None:
    assert faults_of(text + '\n') == []


def test_a_list_item_goes_on_after_four_blanks() -> None:
    assert faults_of('10. It waits.\n    It may read.\n')[0].line == 2


def test_rates_count_the_page_without_tables() -> None:
    page = 'It is read; it is kept.\n' * 100 + '| a; b | is read |\n'
    assert rates_of(page) == {'semicolons': pytest.approx(1000 / 6), 'passives': pytest.approx(1000 / 3)}
    assert [fault.line for fault in faults_of(page)] == [0, 0]


def test_a_short_page_can_have_a_semicolon() -> None:
    assert faults_of('It waits; then it reads.\n') == []


def test_a_fault_names_its_line() -> None:
    assert faults_of('# Title\n\nIt waits.\nIt can not wait.\n') == [
        Fault(4, '"can not": write cannot: It can not wait.'),
    ]


def test_sentences_are_without_markup() -> None:
    [title, sentence] = sentences_of('- **Title.** See [the `x`](x.md) of **it**.\n')
    assert title.text == 'Title.'
    assert sentence.text == 'See the X of it.'
