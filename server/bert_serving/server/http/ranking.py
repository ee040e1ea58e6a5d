"""Reranking: the request in a common form for all APIs, and the order of its documents.

Pure. `tei_bodies` and `cohere_bodies` read the requests and write the responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..protocol.options import EncodingOptions
from .errors import HTTPError
from .fields import check_list, check_number, check_present, check_string, check_text
from .requests import Rows
from .responses import Array

MAX_DOCUMENTS = 2048
"""The maximum number of documents in a request."""

MAX_QUERY_CHARS = 1 << 24
"""The maximum characters of the query in all pairs, because the server gets it once for each document."""


@dataclass(frozen=True, slots=True)
class RerankQuery:
    """A request to rank `documents` by their relevance to `query`.

    `top_n` is the number of documents to return, None for all. `model` None means the served model.
    """

    query: str
    documents: Sequence[str]
    options: EncodingOptions
    shows_documents: bool = False
    top_n: int | None = None
    model: str | None = None

    @property
    def rows(self) -> Rows:
        """The pairs to score."""
        return Rows([[self.query, document] for document in self.documents], 'pairs')


def read_query(data: Any) -> str:
    """Read the field `query`, a text."""
    return check_text(check_present(data, 'query', 'the text to compare with'), '"query"', 'query')


def read_documents(value: Any, name: str, query: str) -> list[str]:
    """Read the documents: at least one text, possibly blank, or object with a `text`.

    Raises:
        HTTPError: BadRequest for anything else; TooLarge if they are too many, or too many for such a long query.
    """
    rows = check_list(value, '"%s"' % name, name)
    check_number(rows, MAX_DOCUMENTS, name)
    if len(query) * len(rows) > MAX_QUERY_CHARS:
        message = 'the query of %d characters is too long for %d documents: send fewer documents at a time'
        raise HTTPError('TooLarge', message % (len(query), len(rows)), 'query')
    return [_read_document(row, 'element %d of "%s"' % (index, name), name) for index, row in enumerate(rows)]


def _read_document(row: Any, where: str, name: str) -> str:
    if isinstance(row, dict) and isinstance(row.get('text'), str):
        return str(row['text'])
    return check_string(row, where, name)


def rank(scores: Array, top_n: int | None = None) -> list[tuple[int, np.float32]]:
    """Return the indexes of the best of `scores`, [B] or [B, 1], and these scores. Equal scores keep their order."""
    flat = scores.reshape(-1).astype(np.float32)
    order = np.argsort(-flat, kind='stable')[:top_n]
    return [(int(index), flat[index]) for index in order]
