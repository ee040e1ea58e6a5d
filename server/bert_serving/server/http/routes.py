"""The table of routes: their labels in the metrics, their statuses, and which of them encode.

Pure. `openapi` describes the routes, `metrics` has a series of each from the start, and `dispatcher` chooses the queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """A route; `path` is in the syntax of OpenAPI, and `statuses` are those that the document lists.

    `encodes`: its requests go to the workers, so they wait in the encode queue and can be refused. `is_open`: it needs
    no API key.
    """

    method: str
    path: str
    statuses: tuple[int, ...] = (200,)
    encodes: bool = False
    is_open: bool = False

    @property
    def label(self) -> str:
        """Its name in the metrics."""
        return self.path

    @property
    def counted(self) -> frozenset[int]:
        """All statuses in the metrics, including the one of a client that has disconnected."""
        return frozenset({*self.statuses, *_OF_ANY, *((CLIENT_GONE,) if self.encodes else ())})


CLIENT_GONE = 499

_OF_ANY = (400, 413, 431, 500, 501)
"""The statuses of any route: malformed or unsupported HTTP, and an internal error."""

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
"""The label of all other paths, so that a scan of paths does not fill the metrics."""

COUNTED_OF_OTHERS = frozenset({*_OF_ANY, 308, 404, 405})
"""308 redirects from /docs to /docs/."""

_ENCODING_PATHS = frozenset(route.path for route in ROUTES if route.encodes)
_LABELS: Mapping[str, str] = {route.path.replace('{id}', '<path:model>'): route.label for route in ROUTES}
_OPEN = frozenset(route.path for route in ROUTES if route.is_open)


def label_of(rule: str | None) -> str:
    """The label of a request by the Flask rule that it matched; the files of `/docs/` share its label."""
    if rule is not None and rule.startswith('/docs/'):
        return '/docs/'
    return _LABELS.get(rule or '', OTHER)


def is_open(label: str) -> bool:
    """Whether the route with that label needs no API key."""
    return label in _OPEN


def encodes(method: str, path: str) -> bool:
    """Whether a request goes to the workers."""
    return method == 'POST' and path in _ENCODING_PATHS


def speaks_openai(path: str) -> bool:
    """Whether errors under that path have the format of OpenAI's API."""
    return path == '/v1' or path.startswith('/v1/')
