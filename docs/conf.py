"""Sphinx configuration, for `make docs`.

Pages that are also read elsewhere (CHANGELOG.md, SECURITY.md, example/README.md) are included, not copied. In place of
README.md the site has index.md.

Links are written for readers of the repository, from file to file. `relink` turns them into links of the site: to the
page that includes the file, or else to the file itself, as a download.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT / 'client'))  # for the reference of the client

from bert_serving.client import __version__ as release  # noqa: E402

project = 'bert-as-service'
author = 'the authors of bert-as-service'
project_copyright = '%Y, the authors of bert-as-service'
version = release
extensions = ['myst_parser', 'sphinx.ext.autodoc']
exclude_patterns = ['_build', 'adr/README.md']

html_theme = 'furo'
html_title = 'bert-as-service %s' % release
html_copy_source = False
html_theme_options = {'navigation_with_keys': True}

myst_heading_anchors = 5
suppress_warnings = [
    'myst.header',  # the questions of the FAQ are headings of the fifth level, which is how example8.py finds them
    'misc.highlighting_failure',  # answers of HTTP are abbreviated with `...`; that Python is right is tested in tests/docs
]

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'

PAGES = {
    'README.md': 'index.md',
    'CHANGELOG.md': 'changelog.md',
    'CONTRIBUTING.md': 'contributing.md',
    'SECURITY.md': 'security.md',
    'example/README.md': 'examples.md',
    'example/data/README.md': 'examples.md#the-data',
    'example/data': 'examples.md#the-data',
    'docker/README.md': 'docker.md',
    'docs/adr/README.md': 'decisions.md',
    'docs/adr': 'decisions.md',
}
"""Where the content of a file of the repository is on the site, if not in a page of its own."""

LINK = re.compile(r'(?<=\]\()(?![a-z]+:|#|/)([^)#\s]+)(#[^)\s]*)?(?=\))')
CODE = re.compile(r'(^```.*?^```$)', re.DOTALL | re.MULTILINE)


def relink(text: str, folder: Path, page: Path) -> str:
    """A file's text with its links made for the site; `folder` is the file's, `page` the one that it becomes."""

    def replace(match: re.Match[str]) -> str:
        path, anchor = match[1], match[2] or ''
        target = (folder / path).resolve()
        if not target.exists():
            return match[0]
        name = target.relative_to(ROOT).as_posix()
        if name in PAGES:
            return '/' + PAGES[name] + anchor
        if target.suffix == '.md' and target.is_relative_to(DOCS):
            return '/' + target.relative_to(DOCS).as_posix() + anchor
        place = os.path.relpath(target, page.parent)
        return 'path:' + place if target.suffix == '.md' else place + anchor  # a page that the site does not have

    parts = CODE.split(text)
    parts[::2] = [LINK.sub(replace, part) for part in parts[::2]]
    return ''.join(parts)


def on_source(app, docname, content):
    page = DOCS / (docname + '.md')
    content[0] = relink(content[0], page.parent, page)


def on_include(app, relative_path, parent, content):
    content[0] = relink(content[0], (DOCS / relative_path).resolve().parent, DOCS / (parent + '.md'))


def setup(app):
    app.connect('source-read', on_source)
    app.connect('include-read', on_include)
    return {'parallel_read_safe': True}
