"""The page that is served is the one that the build made, of the sources in this tree; no Node is needed to know."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from bert_serving.server.http.pages import PAGE

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / 'plugin' / 'dashboard'
DIGEST = SOURCES / 'dashboard.html.sha256'


def digest_of_sources(folder: Path) -> str:
    """As in plugin/dashboard/sources.ts, which the build writes into the page."""
    files = ['index.html', 'package-lock.json', 'package.json', 'sources.ts', 'tsconfig.json', 'vite.config.ts']
    files += [path.relative_to(folder).as_posix() for path in folder.glob('src/**/*') if path.is_file()]
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(b'%s %s\n' % (name.encode(), hashlib.sha256((folder / name).read_bytes()).hexdigest().encode()))
    return digest.hexdigest()


@pytest.fixture(scope='module')
def page() -> str:
    return PAGE.read_text('utf-8')


def test_no_source_has_changed_since_the_page_was_built(page: str) -> None:
    match = re.search(r'<meta name="sources" content="(\w+)">', page)
    assert match is not None, 'the page does not say what it was built from: make dashboard'
    assert match[1] == digest_of_sources(SOURCES), 'the sources have changed since the page was built: make dashboard'


def test_the_page_is_byte_for_byte_what_the_build_wrote() -> None:
    digest, name = DIGEST.read_text().split()
    assert name == PAGE.name
    assert hashlib.sha256(PAGE.read_bytes()).hexdigest() == digest, 'the page was changed by hand: make dashboard'


def test_the_page_is_one_file_that_loads_nothing(page: str) -> None:
    markup = re.sub(r'<(script|style)\b([^>]*)>.*?</\1>', r'<\1\2>', page, flags=re.DOTALL)
    assert markup.count('<script') == markup.count('<style') == 1
    loaded = re.findall(r'\b(?:src|href)="?([^">\s]+)', markup)
    assert [address.partition(':')[0] for address in loaded] == ['data'], 'the icon is all, and is in the page'
    styles = re.findall(r'<style[^>]*>(.*?)</style>', page, re.DOTALL)
    assert set(re.findall(r'url\(["\']?([^"\')]{5})', styles[0])) <= {'data:'}
    assert '@import' not in styles[0]


def test_the_source_by_itself_leads_to_the_page_and_the_page_has_nothing_of_that(page: str) -> None:
    source = (SOURCES / 'index.html').read_text()
    links = re.findall(r'<a href="([^"]+)"', source)
    assert (SOURCES / links[0]).resolve() == PAGE
    assert 'is a source of the dashboard' in source
    assert 'is a source of the dashboard' not in page


def test_what_the_build_installs_comes_from_the_registry_and_is_pinned() -> None:
    lock = json.loads((SOURCES / 'package-lock.json').read_text())
    packages = {name: package for name, package in lock['packages'].items() if name}
    assert len(packages) > 50
    for name, package in packages.items():
        assert package['integrity'].startswith('sha512-'), name
        assert package.get('resolved', 'https://registry.npmjs.org/').startswith('https://registry.npmjs.org/'), name
