"""The tables of options are those of the code, whether they were made from it or written by hand."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
from types import ModuleType

import pytest

from bert_serving.client import BertClient
from bert_serving.server.options.settings import OPTIONS, Settings
from docs.pages import ROOT


@pytest.mark.slow
def test_the_tables_are_current() -> None:
    """After a change of an option: python docs/options.py."""
    process = subprocess.run(
        [sys.executable, str(ROOT / 'docs' / 'options.py'), '--check'], capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0, process.stderr


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module docs/options.py, without what it does to the path."""
    monkeypatch.setattr(sys, 'path', list(sys.path))
    spec = importlib.util.spec_from_file_location('options_of_the_pages', ROOT / 'docs' / 'options.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_table_stands_on_one_page(options: ModuleType) -> None:
    """A table that no page has would not be missed: `--check` compares those that are there."""
    marks = [mark for page in options.PAGES for mark in re.findall('<!-- options: (.*?) -->', page.read_text('utf-8'))]
    assert sorted(marks) == sorted(options.TABLES)


def test_the_short_table_names_options_that_exist(options: ModuleType) -> None:
    assert set(options.MOST_USED) <= set(OPTIONS)


def test_the_table_of_client_md_has_the_defaults_of_the_client() -> None:
    rows = re.findall(r'^\| `(\w+)` \| (.*?) \|', (ROOT / 'docs' / 'client.md').read_text('utf-8'), re.MULTILINE)
    parameters = inspect.signature(BertClient.__init__).parameters
    said = {name: default for name, default in rows if name in parameters}
    assert set(parameters) - set(said) == {'self', 'ip', 'port', 'port_out'}
    said.pop('identity')  # a random one
    assert said == {name: '`%r`' % (parameters[name].default,) for name in said}


def test_the_table_of_http_md_has_the_defaults_of_the_server() -> None:
    rows = re.findall(r'^\| `-(\w+)` \| `?([\w.*]+)`? \|', (ROOT / 'docs' / 'http.md').read_text('utf-8'), re.MULTILINE)
    assert len(rows) >= 6
    for name, default in rows:
        assert name in OPTIONS
        assert default == str(getattr(Settings(), name)), name
