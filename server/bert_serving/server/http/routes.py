"""The table of routes: labels in the metrics, statuses, API family, and whether they encode.

Pure. `openapi` describes the routes, `metrics` has a series of each from the start, and `dispatcher` chooses the queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..security.principals import Grant
from .errors import Family


@dataclass(frozen=True, slots=True)
class Route:
    """A route. `path` is in the syntax of OpenAPI, and `statuses` are those in the document.

    `encodes`: its requests go to the workers, so they wait in the encode queue and can be refused. `is_open`: it needs
    no API key. Any other route needs the key of a principal with one of `grants` (if any). Errors have the format of
    `family`, or of the second family in `other_family` if the request has that field. `has_octets`: the response can be
    the bytes of an array.
    """

    method: str
    path: str
    statuses: tuple[int, ...] = (200,)
    encodes: bool = False
    is_open: bool = False
    family: Family = 'legacy'
    other_family: Family | None = None
    has_octets: bool = False
    grants: tuple[Grant, ...] = ()

    @property
    def label(self) -> str:
        """The label of the route in the metrics."""
        return self.path

    @property
    def counted(self) -> frozenset[int]:
        """All statuses in the metrics, including the one of a client that has disconnected."""
        return frozenset({*self.statuses, *_OF_ANY, *((CLIENT_GONE,) if self.encodes else ())})


CLIENT_GONE = 499

_OF_ANY = (400, 413, 431, 500, 501, 503)
"""The statuses of every route: malformed or unsupported HTTP, an internal error, and no room for the response."""

_ENCODING = (200, 400, 401, 403, 413, 415, 429, 500, 501, 502, 503, 504)
_TEI = (*_ENCODING, 422, 424)
_STATUS = (200, 401, 403, 429)

_ENCODE_GRANT = (Grant.ENCODE,)
_PREDICT_GRANT = (Grant.PREDICT,)
_EITHER_GRANT = (Grant.ENCODE, Grant.PREDICT)
_STATUS_GRANT = (Grant.STATUS,)

ROUTES = (
    Route('POST', '/encode', _ENCODING, encodes=True, grants=_ENCODE_GRANT),
    Route('POST', '/tokenize', _TEI, encodes=True, other_family='tei', grants=_EITHER_GRANT),
    Route('POST', '/decode', _TEI, encodes=True, family='tei', grants=_EITHER_GRANT),
    Route(
        'POST',
        '/v1/embeddings',
        (*_ENCODING, 404),
        encodes=True,
        family='openai',
        has_octets=True,
        grants=_ENCODE_GRANT,
    ),
    Route('GET', '/v1/models', (200, 401, 429, 503), family='openai'),
    Route('GET', '/v1/models/{id}', (200, 401, 404, 429, 503), family='openai'),
    Route('POST', '/embed', _TEI, encodes=True, family='tei', has_octets=True, grants=_ENCODE_GRANT),
    Route('GET', '/', (200, 304), is_open=True),
    Route(
        'POST',
        '/',
        (*_TEI, 404),
        encodes=True,
        family='tei',
        other_family='cohere',
        has_octets=True,
        grants=_EITHER_GRANT,
    ),
    Route('POST', '/embed_all', _TEI, encodes=True, family='tei', has_octets=True, grants=_ENCODE_GRANT),
    Route('POST', '/similarity', _TEI, encodes=True, family='tei', grants=_ENCODE_GRANT),
    Route('POST', '/predict', _TEI, encodes=True, family='tei', grants=_PREDICT_GRANT),
    Route('POST', '/rerank', (*_TEI, 404), encodes=True, family='tei', other_family='cohere', grants=_PREDICT_GRANT),
    Route('POST', '/v1/rerank', (*_ENCODING, 404), encodes=True, family='cohere', grants=_PREDICT_GRANT),
    Route('POST', '/v2/rerank', (*_ENCODING, 404), encodes=True, family='cohere', grants=_PREDICT_GRANT),
    Route('GET', '/info', (200, 401, 429, 503), family='tei'),
    Route('GET', '/status/server', (*_STATUS, 503), grants=_STATUS_GRANT),
    Route('GET', '/status/client', _STATUS, grants=_STATUS_GRANT),
    Route('GET', '/status/history', _STATUS, grants=_STATUS_GRANT),
    Route('GET', '/health', (200, 503), is_open=True),
    Route('GET', '/healthz', (200, 503), is_open=True),
    Route('GET', '/health/live', (200, 503), is_open=True),
    Route('GET', '/health/ready', (200, 503), is_open=True),
    Route('GET', '/metrics', _STATUS, grants=_STATUS_GRANT),
    Route('GET', '/openapi.json', is_open=True),
    Route('GET', '/docs/', is_open=True),
    Route('GET', '/dashboard', (200, 304), is_open=True),
)

OTHER = 'other'
"""The label of all other paths, so that a scan of paths does not fill the metrics."""

COUNTED_OF_OTHERS = frozenset({*_OF_ANY, 308, 404, 405})
"""The statuses of other paths. 308 redirects from /docs to /docs/."""

_ENCODING_PATHS = frozenset(route.path for route in ROUTES if route.encodes)
_LABELS: Mapping[str, str] = {route.path.replace('{id}', '<path:model>'): route.label for route in ROUTES}
_FAMILIES: Mapping[str, Family] = {route.path: route.family for route in ROUTES}
_GRANTS: Mapping[tuple[str, str], tuple[Grant, ...]] = {(route.method, route.path): route.grants for route in ROUTES}
_OPEN = frozenset((route.method, route.path) for route in ROUTES if route.is_open)


def label_of(rule: str | None) -> str:
    """The label of a request by its matched Flask rule. The files under `/docs/` share a label."""
    if rule is not None and rule.startswith('/docs/'):
        return '/docs/'
    return _LABELS.get(rule or '', OTHER)


def is_open(method: str, label: str) -> bool:
    """Whether a request to the route with that label needs no API key."""
    return ('GET' if method == 'HEAD' else method, label) in _OPEN


def grants_of(method: str, label: str) -> tuple[Grant, ...]:
    """The grants for the route with that label, of which a principal needs one, or () if any key suffices."""
    return _GRANTS.get(('GET' if method == 'HEAD' else method, label), ())


def encodes(method: str, path: str) -> bool:
    """Whether a request goes to the workers."""
    return method == 'POST' and path in _ENCODING_PATHS


def family_of(path: str) -> Family:
    """The family that determines the format of errors under a path."""
    family = _FAMILIES.get(path)
    if family is not None:
        return family
    return 'openai' if path == '/v1' or path.startswith('/v1/') else 'legacy'
