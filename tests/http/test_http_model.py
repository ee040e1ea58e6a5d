"""With the real model: the numbers of 1.10 through both APIs, and the requests of docs/http.md."""

from __future__ import annotations

import base64
import json
import re
import shlex
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from support.proxies import curl
from support.replay import compare
from support.serving import DATA, ServerProcess
from support.waiting import wait_until

pytestmark = pytest.mark.slow

DEFAULTS_OF_1_10 = ('-max_seq_len', '25', '-pooling_layer', '-2', '-pooling_strategy', 'REDUCE_MEAN')

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'http.md'


def url_of(server: ServerProcess) -> str:
    return 'http://127.0.0.1:%d' % server.wait_until_ready().http_port


@pytest.fixture(scope='module')
def url() -> Iterator[str]:
    """A server of the embedded model as it is published."""
    with ServerProcess('-show_tokens_to_client', '-http_port', '0', '-http_host', '127.0.0.1') as server:
        yield url_of(server)
        assert server.stop() == 0


@pytest.fixture(scope='module')
def url_of_1_10() -> Iterator[str]:
    """A server of the golden case `minilm-mean`, which asks for 1.10's defaults by options."""
    words = (*DEFAULTS_OF_1_10, '-show_tokens_to_client', '-http_port', '0', '-http_host', '127.0.0.1')
    with ServerProcess(*words) as server:
        yield url_of(server)
        assert server.stop() == 0


def requests_of(name: str) -> list[tuple[dict[str, Any], np.ndarray]]:
    case = json.loads((DATA / 'cases' / (name + '.json')).read_text('utf-8'))
    answers = np.load(DATA / 'cases' / (name + '.npz'))
    return [(request, answers['embedding_%d' % number]) for number, request in enumerate(case['requests'])]


def test_the_numbers_of_1_10_through_encode(url_of_1_10: str) -> None:
    for request, expected in requests_of('minilm-mean'):
        query: dict[str, Any] = {
            'id': 1,
            **{key: request[key] for key in ('texts', 'is_tokenized', 'show_tokens') if key in request},
        }
        status, answer = curl(url_of_1_10 + '/encode', '-d', json.dumps(query))
        assert status == 200
        compare(np.array(answer['result'], np.float32), expected, 'result')
        assert answer['results'] == answer['result']
        if request.get('show_tokens'):
            assert answer['tokens'] == request['tokens']


def texts_of(name: str) -> list[tuple[dict[str, Any], np.ndarray]]:
    """The requests of a case, without those that are tokens, and without the pairs, which are text in OpenAI's API."""
    chosen = []
    for request, expected in requests_of(name):
        if not request.get('is_tokenized'):
            rows = [row for row, text in enumerate(request['texts']) if ' ||| ' not in text]
            lists = {key: [request[key][row] for row in rows] for key in ('texts', 'tokens') if request.get(key)}
            chosen.append(({**request, **lists}, expected[rows]))
    assert chosen
    return chosen


def test_the_numbers_of_1_10_through_openai(url_of_1_10: str) -> None:
    for request, expected in texts_of('minilm-mean'):
        status, answer = curl(
            url_of_1_10 + '/v1/embeddings', '-d', json.dumps({'input': request['texts'], 'encoding_format': 'base64'})
        )
        assert status == 200
        vectors = [np.frombuffer(base64.b64decode(item['embedding']), '<f4') for item in answer['data']]
        compare(np.array(vectors), expected, 'embeddings')
        if request['tokens']:
            assert answer['usage']['total_tokens'] == sum(map(len, request['tokens']))


def test_another_layer() -> None:
    case = json.loads((DATA / 'cases' / 'minilm-last.json').read_text('utf-8'))
    with ServerProcess(*DEFAULTS_OF_1_10, *case['args'][2:], '-http_port', '0', '-http_host', '127.0.0.1') as server:
        base = url_of(server)
        for request, expected in texts_of('minilm-last'):
            answer = curl(base + '/v1/embeddings', '-d', json.dumps({'input': request['texts']}))[1]
            compare(np.array([item['embedding'] for item in answer['data']], np.float32), expected, 'embeddings')


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
    with ServerProcess('-model_dir', str(RERANKER), '-http_port', '0', '-http_host', '127.0.0.1') as server:
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
