"""The routes, once: their names in the metrics, what may come of each, and which wait for a worker thread.

Pure. `openapi` describes them, `metrics` has a series of each from the start, `dispatcher` queues requests by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """`path` as in OpenAPI; `encodes`: it asks the workers, so it waits for a thread and may be refused when all wait.

    `is_open`: no API key is asked for. `statuses` are those that the document tells of.
    """

    method: str
    path: str
    statuses: tuple[int, ...] = (200,)
    encodes: bool = False
    is_open: bool = False

    @property
    def label(self) -> str:
        return self.path

    @property
    def counted(self) -> frozenset[int]:
        """All statuses that it can come to, also where nobody is left to be told: those of the metrics."""
        return frozenset({*self.statuses, *_OF_ANY, *((CLIENT_GONE,) if self.encodes else ())})


CLIENT_GONE = 499

_OF_ANY = (400, 413, 431, 500, 501)
"""What cannot be read as HTTP, or not as HTTP that is spoken here, and a fault of ours."""

_ENCODING = (200, 400, 401, 413, 415, 429, 500, 501, 502, 503, 504)

ROUTES = (
    Route('POST', '/encode', _ENCODING, encodes=True),
    Route('POST', '/tokenize', _ENCODING, encodes=True),
    Route('POST', '/v1/embeddings', (*_ENCODING, 404), encodes=True),
    Route('GET', '/v1/models', (200, 401, 503)),
    Route('GET', '/v1/models/{id}', (200, 401, 404, 503)),
    Route('GET', '/status/server', (200, 401, 503)),
    Route('GET', '/status/client', (200, 401)),
    Route('GET', '/health', (200, 503), is_open=True),
    Route('GET', '/health/live', (200, 503), is_open=True),
    Route('GET', '/health/ready', (200, 503), is_open=True),
    Route('GET', '/metrics', (200, 401)),
    Route('GET', '/openapi.json', is_open=True),
    Route('GET', '/docs/', is_open=True),
    Route('GET', '/dashboard', (200, 304), is_open=True),
)

OTHER = 'other'
"""The label of what is none of these, so that a scan of paths does not fill the metrics."""

COUNTED_OF_OTHERS = frozenset({*_OF_ANY, 308, 404, 405})
"""308 leads from /docs to /docs/."""

_ENCODING_PATHS = frozenset(route.path for route in ROUTES if route.encodes)
_LABELS: Mapping[str, str] = {route.path.replace('{id}', '<path:model>'): route.label for route in ROUTES}
_OPEN = frozenset(route.path for route in ROUTES if route.is_open)


def label_of(rule: str | None) -> str:
    """The label of a request by the rule of Flask's that it matched; the files of `/docs/` count as it."""
    if rule is not None and rule.startswith('/docs/'):
        return '/docs/'
    return _LABELS.get(rule or '', OTHER)


def is_open(label: str) -> bool:
    """Whether no key is asked for on that route."""
    return label in _OPEN


def encodes(method: str, path: str) -> bool:
    """Whether a request asks the workers."""
    return method == 'POST' and path in _ENCODING_PATHS


def speaks_openai(path: str) -> bool:
    """Whether errors under that path have the shape of OpenAI's."""
    return path == '/v1' or path.startswith('/v1/')
