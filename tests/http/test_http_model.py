"""The requests of docs/http.md with the real model. tests/golden sends its cases over HTTP."""

from __future__ import annotations

import json
import re
import shlex
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from support.engines import FASTEST
from support.proxies import curl
from support.serving import DATA, ServerProcess
from support.waiting import wait_until

pytestmark = pytest.mark.slow

WORDS = ('-http_port', '0', '-http_host', '127.0.0.1', '-engine', FASTEST)
PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'http.md'


def url_of(server: ServerProcess) -> str:
    return 'http://127.0.0.1:%d' % server.wait_until_ready().http_port


@pytest.fixture(scope='module')
def url() -> Iterator[str]:
    """A server of the embedded model as it is published."""
    with ServerProcess('-show_tokens_to_client', *WORDS) as server:
        yield url_of(server)
        assert server.stop() == 0


def test_a_text_that_was_cut_is_told_and_counted(url: str) -> None:
    body = json.dumps({'input': ['short', 'word ' * 300]}).encode()
    with urllib.request.urlopen(url + '/v1/embeddings', body, timeout=60) as response:
        answer = json.load(response)
    assert (response.headers['x-truncated-rows'], answer['truncated']) == ('1', [1])
    assert answer['usage']['total_tokens'] == 3 + 256
    wait_until(lambda: curl(url + '/status/server')[1]['statistic']['num_truncated_row'] >= 1)
    assert not curl(url + '/metrics')[1].count('bert_serving_truncated_rows_total 0.0')


# The page ------------------------------------------------------------------------------------------------------------

RERANKER = DATA / 'published' / 'models' / 'ce-bert-one'
"""It stands for the cross-encoder of the page, at port 8126 there. It is tiny, and has other scores."""

EXAMPLES = re.findall(r'```bash\n(curl .*?)```\n```(json|text)\n(.*?)```', PAGE.read_text('utf-8'), re.DOTALL)


@pytest.fixture(scope='module')
def url_of_reranker() -> Iterator[str]:
    with ServerProcess('-model_dir', str(RERANKER), *WORDS) as server:
        yield url_of(server)
        assert server.stop() == 0


def test_the_page_has_an_example_of_every_route(url: str) -> None:
    asked = {re.search(r'localhost:812[56](\S*)', command)[1] for command, _, _ in EXAMPLES}
    document = curl(url + '/openapi.json')[1]
    assert asked == {path.replace('{id}', 'all-MiniLM-L6-v2') for path in document['paths']}


@pytest.mark.parametrize('number', range(len(EXAMPLES)))
def test_the_answers_are_those_of_the_page(url: str, number: int, request: pytest.FixtureRequest) -> None:
    command, form, expected = EXAMPLES[number]
    if 'localhost:8126' in command:
        command = command.replace('http://localhost:8126', request.getfixturevalue('url_of_reranker'))
    words = shlex.split(command.replace('\\\n', ' ').replace('http://localhost:8125', url))[1:]
    target = next(word for word in words if word.startswith('http'))
    _, answer = curl(target, *[word for word in words if word != target])
    if form == 'text':
        for line in expected.splitlines():
            assert line in answer
        return
    agree(answer, read_abbreviated(expected))


def read_abbreviated(text: str) -> Any:
    """The JSON of the page, whose `...` (something is left out) becomes the string `...`."""
    text = text.replace('{...}', '"..."').replace(', ...}', ', "...": "..."}')
    return json.loads(re.sub(r'(?<!")\.\.\.(?!")', '"..."', text))


def agree(answer: Any, expected: Any, where: str = '') -> None:
    """Assert that a response is the one on the page; the message says where it differs."""
    if expected == '...':
        return
    if isinstance(expected, dict):
        assert isinstance(answer, dict), where
        assert set(expected) - {'...'} <= set(answer), where
        assert '...' in expected or set(answer) == set(expected), where
        for key in set(expected) - {'...'}:
            agree(answer[key], expected[key], '%s.%s' % (where, key))
    elif isinstance(expected, list):
        assert isinstance(answer, list), where
        is_cut = bool(expected) and expected[-1] == '...'
        shown = expected[:-1] if is_cut else expected
        assert len(answer) == len(shown) or (is_cut and len(answer) > len(shown)), where
        for place, (one, other) in enumerate(zip(answer, shown)):
            agree(one, other, '%s[%d]' % (where, place))
    elif isinstance(expected, float):
        assert abs(answer - expected) < 2e-4, where
    else:
        assert answer == expected, where


def test_the_python_of_the_page_prints_what_it_says(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = '\n'.join(re.findall(r'```python\n(.*?)```', PAGE.read_text('utf-8'), re.DOTALL))
    printed: list[str] = []
    names: dict[str, Any] = {'print': lambda *values: printed.append(' '.join(map(str, values)))}
    exec(compile(code.replace('http://localhost:8125', url), str(PAGE), 'exec'), names)
    assert printed == re.findall('# -> (.*)', code)
    assert isinstance(names['client'], openai.OpenAI)
    names['client'].close()
