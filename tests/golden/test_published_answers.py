"""Every published folder whose answers we have, started with `-model_dir` alone, answers as its authors' library.

The judges are our client and, in its own environment, the real `bert-serving-client==1.10.0`. The latter asks what
1.10's API can say: blank texts are refused, and a pair is written with ` ||| `. Ours asks that, and then everything
else: prompts, fewer dimensions, pairs of any texts, logits and rankings. Cross-encoders and folders with
prompts also get requests over HTTP, at the same server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_serving.client import BertClient
from bert_serving.server import BertServer
from golden import over_http
from support.exporting import ServeExported, serve_exported
from support.real_client import RealClient
from support.serving import DATA

PUBLISHED = DATA / 'published'
CASES = sorted((PUBLISHED / 'cases').glob('*.json'))
RTOL, ATOL = 1e-4, 2e-5
ATOL_OF_STATES = {'modernbert': 4e-5}
"""Its published states are themselves up to 2.6e-5 from the same in float64."""

OVER_HTTP = [path.stem for path in CASES if path.stem.startswith('ce-')]
OVER_HTTP += ['bert-cls-default-prompt', 'modernbert-mean-prompts']
"""The cases that also go over HTTP."""

assert (len(CASES), len(OVER_HTTP)) == (33, 9)


def questions(case: dict[str, Any]) -> list[tuple[int, list[int], list[str]]]:
    """Of each request that 1.10's API can say: its number, the rows of the answer that it can ask for, their texts."""
    asked = []
    for number, request in enumerate(case['requests']):
        if request.get('kwargs'):
            continue
        if request['kind'] == 'encode':
            texts = list(enumerate(request['texts']))
        elif request['kind'] == 'predict':
            pairs = enumerate(request['pairs'])
            texts = [(row, '%s ||| %s' % (a, b)) for row, (a, b) in pairs if '|||' not in b and '\n' not in a + b and b]
        else:
            continue
        chosen = [(row, text) for row, text in texts if text.strip() and not text.startswith(' |||')]
        asked.append((number, [row for row, _ in chosen], [text for _, text in chosen]))
    return asked


def judge_encode(client: BertClient, case: dict[str, Any], request: dict[str, Any], expected: Any, number: int) -> None:
    asked = request['kwargs'] or {}
    if 'output_value' in asked:
        return
    options = {'dimensions' if name == 'truncate_dim' else name: value for name, value in asked.items()}
    rows = [row for row, text in enumerate(request['texts']) if text.strip()]
    texts = [request['texts'][row] for row in rows]
    wanted = expected['e%d' % number][rows]
    answers = [client.encode_with_details(texts, joined_pairs=False, **options).array]
    if not any(' ||| ' in text for text in texts):
        answers.append(client.encode(texts, **options))
    if options.get('prompt_name') == 'query':
        answers.append(client.encode_query(texts))
    elif options.get('prompt_name') == 'document':
        answers.append(client.encode_document(texts))
    for answer in answers:
        np.testing.assert_allclose(answer, wanted, RTOL, ATOL, err_msg=repr(options))


def judge_predict(
    client: BertClient, case: dict[str, Any], request: dict[str, Any], expected: Any, number: int
) -> None:
    scores = client.predict(request['pairs'], **(request['kwargs'] or {}))
    assert scores.shape == expected['s%d' % number].shape
    np.testing.assert_allclose(scores, expected['s%d' % number], RTOL, ATOL)
    labels = case['id2label']
    assert client.model['labels'] == [labels[number] for number in sorted(labels, key=int)]
    assert client.model['task'] == ('rerank' if len(labels) == 1 else 'classify')


def judge_rank(client: BertClient, case: dict[str, Any], request: dict[str, Any], expected: Any, number: int) -> None:
    ranking = client.rerank(request['query'], request['documents'])
    assert [index for index, _ in ranking] == [hit['corpus_id'] for hit in request['ranking']]
    np.testing.assert_allclose(
        [score for _, score in ranking], [hit['score'] for hit in request['ranking']], RTOL, ATOL
    )
    assert client.rerank(request['query'], request['documents'], top_n=3) == ranking[:3]


JUDGES = {'encode': judge_encode, 'predict': judge_predict, 'rank': judge_rank}


Ask = Callable[[BertServer, dict[str, Any], Any, RealClient], None]


def ask_by_clients(server: BertServer, case: dict[str, Any], expected: Any, real_client: RealClient) -> None:
    asked = questions(case)
    assert asked
    with BertClient(port=server.port, port_out=server.port_out, timeout=60_000, check_length=False) as client:
        ours = [client.encode(texts) for _, _, texts in asked]
        for number, request in enumerate(case['requests']):
            JUDGES[request['kind']](client, case, request, expected, number)
    theirs = real_client.encode(server.port, server.port_out, [texts for _, _, texts in asked])
    for (number, rows, texts), answer, other in zip(asked, ours, theirs, strict=True):
        wanted = expected['%s%d' % ('s' if case['requests'][number]['kind'] == 'predict' else 'e', number)]
        wanted = wanted.reshape(len(wanted), -1)[rows]
        np.testing.assert_allclose(answer, wanted, RTOL, ATOL, err_msg=repr(texts))
        np.testing.assert_allclose(other, answer, 1e-6, 1e-6)


def ask_over_http(server: BertServer, case: dict[str, Any], expected: Any, _real_client: RealClient) -> None:
    over_http.ask_published(server, case, expected)


def ways_to_ask() -> Iterator[Any]:
    """Every case, ordered by server."""
    for path in CASES:
        yield pytest.param(path, ask_by_clients, id=path.stem)
        if path.stem in OVER_HTTP:
            yield pytest.param(path, ask_over_http, id=path.stem + '-over_http')


@pytest.mark.parametrize(('path', 'ask'), list(ways_to_ask()))
def test_a_published_folder_answers_as_its_authors_library(
    path: Path, ask: Ask, serve_as: ServeExported, long_running_real_client: RealClient
) -> None:
    case = json.loads(path.read_text('utf-8'))
    http = over_http.WORDS if path.stem in OVER_HTTP else ()
    server = serve_as('-model_dir', str(PUBLISHED / 'models' / case['model']), *http)
    ask(server, case, np.load(path.with_suffix('.npz')), long_running_real_client)


TOKEN_CASES = [
    path
    for path in CASES
    if any((r.get('kwargs') or {}).get('output_value') for r in json.loads(path.read_text('utf-8'))['requests'])
]


@pytest.mark.parametrize('path', TOKEN_CASES, ids=lambda path: path.stem)
def test_without_pooling_the_states_of_the_tokens_are_answered(path: Path) -> None:
    case = json.loads(path.read_text('utf-8'))
    expected = np.load(path.with_suffix('.npz'))
    number = next(n for n, r in enumerate(case['requests']) if (r.get('kwargs') or {}).get('output_value'))
    rows = [(row, text) for row, text in enumerate(case['requests'][number]['texts']) if text.strip()]
    with (
        serve_exported('-model_dir', str(PUBLISHED / 'models' / case['model']), '-pooling_strategy', 'NONE') as server,
        BertClient(port=server.port, port_out=server.port_out, timeout=60_000, check_length=False) as client,
    ):
        answer = client.encode([text for _, text in rows])
    for (row, text), states in zip(rows, answer, strict=True):
        wanted = expected['e%d_%d' % (number, row)]
        atol = ATOL_OF_STATES.get(case['model'].partition('-')[0], ATOL)
        np.testing.assert_allclose(states[: len(wanted)], wanted, RTOL, atol, err_msg=text)
        assert not states[len(wanted) :].any()
