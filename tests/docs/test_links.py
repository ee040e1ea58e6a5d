"""Links within the repository lead somewhere: files exist, and so do the headings that are named behind `#`."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from docs.pages import PAGES, ROOT, name_of

LINK = re.compile(r'\]\(<?([^)\s>]+)>?\)')
CODE = re.compile(r'^```.*?^```|`[^`\n]*`', re.DOTALL | re.MULTILINE)
INCLUDE = re.compile(r'^```\{include\} (\S+)$', re.MULTILINE)


def prose_of(page: Path) -> str:
    """A page without its code."""
    return CODE.sub('', page.read_text('utf-8'))


def anchors_of(page: Path) -> set[str]:
    """What may stand behind `#` in a link to a page, by GitHub's rule."""
    text = re.sub(r'^```.*?^```', '', page.read_text('utf-8'), flags=re.DOTALL | re.MULTILINE)
    anchors: set[str] = set()
    for heading in re.findall(r'^#+ (.*)$', text, re.MULTILINE):
        anchor = slug = slug_of(heading)
        number = 0
        while anchor in anchors:
            number += 1
            anchor = '%s-%d' % (slug, number)
        anchors.add(anchor)
    return anchors


def slug_of(heading: str) -> str:
    text = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading).strip().lower()
    kept = [c for c in text if c in ' -_' or unicodedata.category(c)[0] in 'LN']
    return ''.join(kept).replace(' ', '-')


def test_headings_become_anchors() -> None:
    assert slug_of('##### **Q:** Can I run it?'[6:]) == 'q-can-i-run-it'
    assert slug_of('Encode in a `tf.data` pipeline') == 'encode-in-a-tfdata-pipeline'
    assert slug_of('see [the `x_y`](z.md), twice') == 'see-the-x_y-twice'


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose_of(page)):
        if re.match('[a-z]+:', target):
            continue
        path, _, anchor = target.partition('#')
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert file.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors_of(file), target


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_what_is_included_exists(page: Path) -> None:
    for target in INCLUDE.findall(page.read_text('utf-8')):
        assert (page.parent / target).is_file(), target


def test_every_page_is_in_the_contents() -> None:
    """Sphinx says so too, but takes longer."""
    contents = '\n'.join((ROOT / 'docs' / name).read_text('utf-8') for name in ('index.md', 'decisions.md'))
    for page in (ROOT / 'docs').glob('*.md'):
        assert page.stem == 'index' or re.search(r'^(.*<)?%s>?$' % page.stem, contents, re.MULTILINE), page.name
