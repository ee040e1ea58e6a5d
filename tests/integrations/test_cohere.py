"""Cohere's own client ranks with every published cross-encoder as the authors' library does.

Without the nox session `integrations`, the client is asked about one of them, if it is installed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integrations.conftest import PUBLISHED

cohere = pytest.importorskip('cohere')

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('default')]  # what others warn of is theirs to mend

CASES = {path.stem: path for path in sorted(PUBLISHED.glob('cases/ce-*.json'))}
KEY = 'none is asked for'
RTOL, ATOL = 1e-4, 2e-5

assert len(CASES) == 7


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize('client_class', [cohere.Client, cohere.ClientV2])
def test_cohere_ranks_as_the_authors_library(name: str, client_class: type, cross_encoder: str) -> None:
    client = client_class(KEY, base_url=cross_encoder)
    ranked = [request for request in requests_of(CASES[name]) if request['kind'] == 'rank']
    if not ranked:  # it has several labels
        with pytest.raises(cohere.BadRequestError, match='single-label'):
            client.rerank(model=name, query='where is my parcel?', documents=['We open at nine.'])
    for request in ranked:
        words = {'model': name, 'query': request['query'], 'documents': request['documents']}
        results = client.rerank(**words).results
        places = [hit['corpus_id'] for hit in request['ranking']]
        scores = [hit['score'] for hit in request['ranking']]
        assert [result.index for result in results] == places
        assert [result.relevance_score for result in results] == pytest.approx(scores, rel=RTOL, abs=ATOL)
        assert client.rerank(**words, top_n=3).results == results[:3]


def requests_of(path: Path) -> list[dict]:
    return list(json.loads(path.read_text('utf-8'))['requests'])
