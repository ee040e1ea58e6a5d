"""docs/integrations.md: every program on it, with the real package, gets the vectors and rankings of the server.

A program whose package is not installed is skipped. `nox --sessions integrations` installs all of them, and
requirements-dev.txt those that take seconds: openai, cohere and langchain-openai.
"""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('default')]  # what others warn of is theirs to mend

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'integrations.md'
DEFAULT_MODEL, PAGE_RERANKER, TINY_RERANKER = 'all-MiniLM-L6-v2', 'ms-marco-MiniLM-L6-v2', 'ce-bert-one'


def programs() -> dict[str, str]:
    """The programs of the page by their headings; of several under one heading, the second has ` 2` after it."""
    found: dict[str, str] = {}
    heading = ''
    for line, code in re.findall(
        r'^(#+ [^\n]*)$|^```python\n(.*?)^```', PAGE.read_text('utf-8'), re.MULTILINE | re.DOTALL
    ):
        if line:
            heading = line.strip('# ')
            continue
        number = sum(name == heading or name.startswith(heading + ' ') for name in found)
        found[heading if number == 0 else '%s %d' % (heading, number + 1)] = code
    return found


PROGRAMS = programs()

assert len(PROGRAMS) >= 10


def post(url: str, **fields: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(fields).encode(), {'content-type': 'application/json'})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


@pytest.mark.parametrize('name', PROGRAMS)
def test_a_program_of_the_page_gets_what_the_server_answers(name: str, request: pytest.FixtureRequest) -> None:
    code = PROGRAMS[name]
    for package in re.findall(r'^(?:from|import) (\w+)', code, re.MULTILINE):
        pytest.importorskip(package)
    addresses = {'8125': 'encoder', '8126': 'reranker'}
    for port, fixture in addresses.items():
        if 'localhost:' + port in code:
            code = code.replace('http://localhost:' + port, request.getfixturevalue(fixture))
    names: dict[str, Any] = {}
    exec(compile(code.replace(PAGE_RERANKER, TINY_RERANKER), '%s, %s' % (PAGE.name, name), 'exec'), names)
    assert 'vector' in names or 'ranking' in names, 'the program names its result'
    if 'vector' in names:
        (wanted,) = post(request.getfixturevalue('encoder') + '/embed', inputs='hello world')
        assert [float(number) for number in names['vector']] == pytest.approx(wanted, rel=1e-5, abs=1e-6)
    if 'ranking' in names:
        fields = {'query': 'where is my parcel?', 'texts': ['We open at nine.', 'Your parcel is on its way.']}
        answer = post(request.getfixturevalue('reranker') + '/rerank', **fields)
        assert [index for index, _ in names['ranking']] == [item['index'] for item in answer]
        scores = [item['score'] for item in answer]
        assert [score for _, score in names['ranking']] == pytest.approx(scores, rel=1e-5)
