"""The style sheet of CONTRIBUTING.md, as far as a program can judge: the sentences of a page, and their faults.

Only prose counts: code, headings and comments are left out.
The cells of a table are phrases, so their length and their semicolons do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_WORDS = 25
"""In a sentence. Code counts as one word."""

MAX_SEMICOLONS, MAX_PASSIVES = 3, 15
"""On a page, in 1,000 words outside of tables."""

MIN_WORDS = 400
"""A shorter page counts as one of this length, so that it can have a semicolon."""

PHRASES = {
    'can not': 'cannot',
    'may': 'can, might, or "is allowed to"',
    'beside': '"in addition to" or "next to"',
    r"of (?:its|their|our|your|one's) own(?=$|[.,;:)]| (?:and|or|which|that|on|in|to|for|with|among)\b)": 'its own folder',
    'for ever': 'forever',
    'once (?:it|that) is (?:that|there|so)': '"as soon as" or "until"',
    'whatever|whoever|whichever|the one who': 'the name of the thing or the person',
    'what (?:is|was|are|were)': 'the name of the thing: "the remaining parts" for "what is left"',
    'anew': 'again, or a verb with "re-"',
    'mend(?:s|ed|ing)?': 'fix',
    'at hand': 'available',
    'in the clear': 'in plain text',
    '(?:is|are|was|were) told (?:so|of|that)': 'who gets which message',
    '(?:is|are|be) felt': 'the effect: "slows other clients down"',
    'will do': '"is enough" or "works"',
    'has the right to': '"can" or "is allowed to"',
    'as ever': 'as before',
    'out of sight': 'the place',
    'for want of': 'for lack of',
    'gives? (?:it|them|the \\w+) up': 'the effect: "stops restarting it"',
}
"""Unclear or unidiomatic words, as regular expressions, and what to write instead."""

_NOT_PROSE = re.compile(r'^(?P<fence>```+)[^\n]*\n.*?^(?P=fence)$|<!--.*?-->', re.DOTALL | re.MULTILINE)
_CODE = re.compile(r'`[^`\n]*`')
_LINK = re.compile(r'!?\[([^][]*)\]\([^()\s]*\)|<https?:[^>\s]*>')
_LIST_ITEM = re.compile(r'^\s*(?:[-*]|\d+\.)\s+')
_BETWEEN_SENTENCES = re.compile(r'(?<=[.!?])\s+(?=[A-Z*("])')
_AFTER_TITLE = re.compile(r'(?<=[.!?])(?:\*\*|\*)\s+')
_QUESTION = re.compile(r'\?\W*$')
_NAMELESS = re.compile(r'\W*(What|Who|Whoever|Whatever|Whichever)\b')
_PASSIVE = re.compile(
    r'\b(?:is|are|was|were|be|been|being)\s+(?:\w+ly\s+|not\s+|also\s+)?(?:\w+ed|made|sent|kept|held|given|taken|read|'
    r'written|built|shown|known|found|lost|put|cut|run|told|set|left|done|drawn|chosen|seen)\b'
)
_PHRASES = {re.compile(rf'(?<![\w-])(?:{phrase})(?![\w-])'): instead for phrase, instead in PHRASES.items()}


class Sentence(NamedTuple):
    """A sentence, or the cell of a table, without markup; code in it is an X."""

    line: int
    text: str
    is_cell: bool = False

    @property
    def num_words(self) -> int:
        return len(re.findall(r'\S*\w\S*', self.text))


class Fault(NamedTuple):
    """A breach of the style sheet on a line of a page, or on all of it (line 0)."""

    line: int
    reason: str


def sentences_of(page: str) -> list[Sentence]:
    """The sentences and the cells of the prose, with the numbers of their lines, from 1."""
    sentences: list[Sentence] = []
    for number, line in _lines_of(page):
        if line.startswith('|'):
            cells = (cell.strip() for cell in line.strip('| ').split('|'))
            sentences += [Sentence(number, cell, is_cell=True) for cell in cells if re.search(r'\w', cell)]
        else:
            texts = (text for part in _sentences_in(line) for text in _AFTER_TITLE.split(part))
            sentences += [Sentence(number, text.replace('**', '')) for text in texts if text.strip()]
    return sentences


def faults_of(page: str) -> list[Fault]:
    """All faults of a page, in the order of its lines."""
    faults = [*_faults_of_page(page), *_faults_of_lines(page)]
    for sentence in sentences_of(page):
        faults += [Fault(sentence.line, reason) for reason in _faults_of_sentence(sentence)]
    return sorted(faults)


def rates_of(page: str) -> dict[str, float]:
    """How many semicolons and passives a page has in 1,000 words outside of tables."""
    sentences = [sentence for sentence in sentences_of(page) if not sentence.is_cell]
    num_words = max(sum(sentence.num_words for sentence in sentences), MIN_WORDS)
    counts = {
        'semicolons': sum(sentence.text.count(';') for sentence in sentences),
        'passives': sum(len(_PASSIVE.findall(sentence.text)) for sentence in sentences),
    }
    return {name: 1000 * count / num_words for name, count in counts.items()}


def _lines_of(page: str) -> Iterator[tuple[int, str]]:
    """The lines of the prose, without links and code, and their numbers."""
    blanked = _NOT_PROSE.sub(lambda match: '\n' * match[0].count('\n'), page)
    is_code, last = False, ''
    for number, line in enumerate(blanked.splitlines(), 1):
        is_code = line.startswith('    ') and (is_code or not last.strip())
        last = line
        if not is_code and not line.startswith('#'):
            yield number, _LINK.sub(r'\1', _CODE.sub('X', line))


def _sentences_in(line: str) -> list[str]:
    """The sentences of a line; a title such as `**Price.**` belongs to the sentence behind it."""
    return _BETWEEN_SENTENCES.split(_LIST_ITEM.sub('', line).strip())


def _faults_of_page(page: str) -> Iterator[Fault]:
    rates = rates_of(page)
    if rates['semicolons'] > MAX_SEMICOLONS:
        yield Fault(0, '%(semicolons).1f semicolons in 1,000 words: write more sentences' % rates)
    if rates['passives'] > MAX_PASSIVES:
        yield Fault(0, '%(passives).1f passives in 1,000 words: name the actors' % rates)


def _faults_of_lines(page: str) -> Iterator[Fault]:
    last_number, last = 0, ''
    for number, line in _lines_of(page):
        is_row = line.startswith('|')
        if not is_row and len(_sentences_in(line)) > 1:
            yield Fault(number, 'two sentences on one line: divide it')
        goes_on = number == last_number + 1 and re.search(r'[\w,)]$', last)
        if goes_on and line.strip() and not is_row and not _LIST_ITEM.match(line):
            yield Fault(number, 'a sentence on two lines: join them')
        last_number, last = number, '' if is_row else line.rstrip()


def _faults_of_sentence(sentence: Sentence) -> Iterator[str]:
    text = sentence.text
    if not sentence.is_cell:
        if sentence.num_words > MAX_WORDS:
            yield 'a sentence of %d words, but %d is the limit: divide it: %s' % (sentence.num_words, MAX_WORDS, text)
        if text.count(';') > 1:
            yield 'two semicolons in a sentence: divide it: %s' % text
    if _QUESTION.search(text):
        return
    if not sentence.is_cell and (match := _NAMELESS.match(text)):
        yield '"%s" begins a sentence that is no question: name the thing or the person: %s' % (match[1], text)
    for phrase, instead in _PHRASES.items():
        if match := phrase.search(text):
            yield '"%s": write %s: %s' % (match[0], instead, text)
