"""The bodies of the rerank routes of Cohere's and Jina's APIs: parse the request, and format the response.

Pure. The two APIs have the same request, and the response has the fields of both. Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..protocol.options import EncodingOptions
from .fields import check_present, read_boolean, read_number, read_string
from .openai_bodies import read_truncate
from .ranking import RerankQuery, read_documents, read_query
from .responses import dump, truncated_field


def read_rerank(data: Mapping[str, Any]) -> RerankQuery:
    """Parse the query of `POST /v1/rerank` and `/v2/rerank`, with the field `documents`."""
    query = read_query(data)
    return RerankQuery(
        query,
        read_documents(check_present(data, 'documents', 'a list of texts'), 'documents', query),
        EncodingOptions(truncate=read_truncate(data), raw=read_boolean(data, 'raw_scores') or None),
        read_boolean(data, 'return_documents') or False,
        read_number(data, 'top_n'),
        read_string(data, 'model'),
    )


def rank_body(
    ranking: Sequence[tuple[int, np.float32]],
    query: RerankQuery,
    model: str,
    tokens: int,
    request_id: str,
    version: str,
    truncated: Sequence[int] = (),
) -> bytes:
    """Format the response. `tokens` is their number in all pairs, and `version` the API's version, 1 or 2.

    `truncated` are the truncated documents.
    """
    results: list[dict[str, Any]] = [{'index': index, 'relevance_score': score} for index, score in ranking]
    if query.shows_documents:
        for result in results:
            result['document'] = {'text': query.documents[result['index']]}
    return dump(
        {
            'id': request_id,
            'model': model,
            'results': results,
            'usage': {'total_tokens': tokens},
            'meta': {'api_version': {'version': version}, 'billed_units': {'search_units': 1}},
            **truncated_field(truncated),
        }
    )
