"""A ranking: what a request for one says, in either API, and the order of its documents.

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
"""Most documents in a request."""

MAX_QUERY_CHARS = 1 << 24
"""Most characters of the query in all pairs: the server gets it once for each document."""


@dataclass(frozen=True, slots=True)
class RerankQuery:
    """A request to order `documents` by how well they answer `query`.

    `top_n` is the number of documents that are wanted, None for all; `model` None means the model that is served.
    """

    query: str
    documents: Sequence[str]
    options: EncodingOptions
    shows_documents: bool = False
    top_n: int | None = None
    model: str | None = None

    @property
    def rows(self) -> Rows:
        """The pairs to be scored."""
        return Rows([[self.query, document] for document in self.documents], 'pairs')


def read_query(data: Any) -> str:
    """The `query`: a text."""
    return check_text(check_present(data, 'query', 'the text to compare with'), '"query"', 'query')


def read_documents(value: Any, name: str, query: str) -> list[str]:
    """The documents: texts that can be blank, or objects with a `text`; there is at least one.

    Raises:
        HTTPError: BadRequest, they are anything else; TooLarge, they are too many, or too many for so long a query.
    """
    rows = check_list(value, '"%s"' % name, name)
    check_number(rows, MAX_DOCUMENTS, name)
    if len(query) * len(rows) > MAX_QUERY_CHARS:
        message = 'the query has %d characters, which is too much for %d documents: send fewer at a time'
        raise HTTPError('TooLarge', message % (len(query), len(rows)), 'query')
    return [_read_document(row, 'element %d of "%s"' % (index, name), name) for index, row in enumerate(rows)]


def _read_document(row: Any, where: str, name: str) -> str:
    if isinstance(row, dict) and isinstance(row.get('text'), str):
        return str(row['text'])
    return check_string(row, where, name)


def rank(scores: Array, top_n: int | None = None) -> list[tuple[int, np.float32]]:
    """The places of the best of `scores`, [B] or [B, 1], and those scores; equal ones stay in their order."""
    flat = scores.reshape(-1).astype(np.float32)
    order = np.argsort(-flat, kind='stable')[:top_n]
    return [(int(index), flat[index]) for index in order]
