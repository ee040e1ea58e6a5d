"""The OpenAPI 3 document of the routes, for `/docs` and for client generators.

Pure. One test compares it with the app's routes; another sends requests generated from it.
"""

from __future__ import annotations

from typing import Any

from ..release import RELEASE
from . import cohere_schemas, legacy_schemas, openai_schemas, tei_schemas
from .errors import Family
from .routes import ROUTES, Route
from .text_schemas import Schema

_SCHEMAS: dict[str, Schema] = {
    'Health': {
        'type': 'object',
        'required': ['status', 'live', 'ready', 'reason'],
        'properties': {
            'status': {'type': 'string', 'enum': ['ok', 'unavailable']},
            'live': {'type': 'boolean'},
            'ready': {'type': 'boolean'},
            'reason': {'type': 'string'},
            'server': {'type': 'string'},
            'workers_ready': {'type': ['integer', 'null']},
            'workers': {'type': ['integer', 'null']},
            'server_release': {'type': ['string', 'null']},
        },
    },
    'Status': {'type': 'object', 'required': ['status'], 'properties': {'status': {'type': 'integer'}}},
    'History': {
        'type': 'object',
        'required': ['status', 'now', 'every_s', 'time', 'server_start_time', 'statistic', 'http', 'durations'],
        'properties': {
            'status': {'type': 'integer'},
            'now': {'type': 'number', 'description': 'The time of this answer, in seconds since 1970, like `time`'},
            'every_s': {'type': 'number'},
            'time': {'type': 'array', 'items': {'type': 'number'}},
            'server_start_time': {'type': 'array', 'items': {'type': ['string', 'null']}},
            'statistic': {'type': 'object', 'additionalProperties': {'type': 'array'}},
            'http': {'type': 'object', 'additionalProperties': {'type': 'array'}},
            'durations': {'type': 'object', 'additionalProperties': {'type': 'object'}},
        },
    },
    **legacy_schemas.SCHEMAS,
    **openai_schemas.SCHEMAS,
    **tei_schemas.SCHEMAS,
    **cohere_schemas.SCHEMAS,
}

_ERRORS = {
    400: 'The request is malformed or invalid',
    401: 'The API key is missing or wrong',
    403: 'The holder of the API key lacks a grant',
    404: 'There is no model with that name',
    413: 'The body is too large, or has too many texts',
    415: 'The body is compressed, or its charset is not Unicode',
    422: 'A field has a value of a wrong type',
    424: 'The server has failed on the request',
    429: 'Too many requests are waiting, a quota is reached, or too many wrong keys came: retry after the seconds of Retry-After',
    500: 'Internal error',
    501: 'The release of the server does not support this',
    502: 'The response of the server cannot be read',
    503: 'The server is away or shutting down: retry after the seconds of Retry-After',
    504: 'The time limit has passed',
}

_OPERATIONS: dict[tuple[str, str], tuple[str, str | None, str | None]] = {
    ('POST', '/encode'): ('Encode texts, in the format of bert-as-service 1.10', 'EncodeRequest', 'EncodeAnswer'),
    ('POST', '/tokenize'): (
        'Return the tokens and ids of texts as the model would get them; with inputs, also their positions',
        'TokenizeRequest TeiTokenizeRequest',
        'TokenizeAnswer TeiTokenizeAnswer',
    ),
    ('POST', '/decode'): ('Decode token ids to texts', 'TeiDecodeRequest', 'TeiDecodeAnswer'),
    ('POST', '/v1/embeddings'): (
        "Encode texts, in the format of OpenAI's API",
        'EmbeddingsRequest',
        'EmbeddingsAnswer',
    ),
    ('POST', '/embed'): (
        'Encode texts, in the format of text-embeddings-inference',
        'TeiEmbedRequest',
        'TeiEmbedAnswer',
    ),
    ('GET', '/'): ('Show a page with links and a form to try a text', None, None),
    ('POST', '/'): (
        'Use the model as /embed, /predict or, with a query, /rerank',
        'TeiEmbedRequest TeiPredictRequest TeiRerankRequest CohereRerankRequest',
        'TeiEmbedAnswer TeiPredictAnswer TeiRerankAnswer CohereRerankAnswer',
    ),
    ('POST', '/embed_all'): (
        'Return a vector for each token, if the server does not pool',
        'TeiEmbedAllRequest',
        'TeiEmbedAllAnswer',
    ),
    ('POST', '/similarity'): (
        'Compare a text with others by the cosine of their vectors',
        'TeiSimilarityRequest',
        'TeiSimilarityAnswer',
    ),
    ('POST', '/predict'): (
        'Classify texts or pairs of texts: the labels with their scores',
        'TeiPredictRequest',
        'TeiPredictAnswer',
    ),
    ('POST', '/rerank'): (
        'Rank texts by a query, in the format of text-embeddings-inference, or of Cohere and Jina',
        'TeiRerankRequest CohereRerankRequest',
        'TeiRerankAnswer CohereRerankAnswer',
    ),
    ('POST', '/v1/rerank'): (
        'Order documents by a query, in the format of Cohere and Jina',
        'CohereRerankRequest',
        'CohereRerankAnswer',
    ),
    ('POST', '/v2/rerank'): (
        'Order documents by a query, in the format of Cohere and Jina',
        'CohereRerankRequest',
        'CohereRerankAnswer',
    ),
    ('GET', '/info'): ('Describe the model, in the format of text-embeddings-inference', None, 'TeiInfo'),
    ('GET', '/v1/models'): ('List the models, with one entry for each name', None, 'Models'),
    ('GET', '/v1/models/{id}'): ('Describe the model with that name', None, 'Model'),
    ('GET', '/status/server'): ('Show the options, versions and statistics of the server', None, 'Status'),
    ('GET', '/status/client'): ('Show the connection of the HTTP proxy to the server', None, 'Status'),
    ('GET', '/status/history'): ('Show the counters of the last hour, a sample every ten seconds', None, 'History'),
    ('GET', '/health'): ('Tell whether the server is ready for requests', None, 'Health'),
    ('GET', '/healthz'): ('The same as /health', None, 'Health'),
    ('GET', '/health/live'): ('Tell whether the server responds at all', None, 'Health'),
    ('GET', '/health/ready'): (
        'Tell whether the server is ready for requests: it has a worker and is not draining',
        None,
        'Health',
    ),
    ('GET', '/metrics'): ('Show the metrics, for Prometheus', None, None),
    ('GET', '/openapi.json'): ('Return this document', None, None),
    ('GET', '/docs/'): ('Show this document as a page', None, None),
    ('GET', '/dashboard'): ('Show the status and the metrics as a page', None, None),
}
"""The operations by route: the summary, and the schemas of the request and the response."""

_ERROR_SCHEMAS: dict[Family, str] = {
    'legacy': 'Error',
    'openai': 'OpenAIError',
    'tei': 'TeiError',
    'cohere': 'CohereError',
}

_FORMATS = {
    ('GET', '/'): 'text/html',
    ('GET', '/metrics'): 'text/plain',
    ('GET', '/docs/'): 'text/html',
    ('GET', '/dashboard'): 'text/html',
}

_TAGS: dict[Family, str] = {
    'legacy': 'bert-as-service',
    'openai': 'OpenAI',
    'tei': 'text-embeddings-inference',
    'cohere': 'Cohere and Jina',
}
_MONITORING = 'Pages and monitoring'

_HEADERS: dict[str, Schema] = {
    'x-truncated-rows': {
        'description': 'The truncated elements, counted from 0; absent if there are none',
        'schema': {'type': 'string', 'pattern': r'^\d+(,\d+)*(,\.\.\.)?$'},
    },
}


def make_document(has_keys: bool) -> dict[str, Any]:
    """Make the document. With `has_keys`, it says that a key is required."""
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, has_keys)
    document: dict[str, Any] = {
        'openapi': '3.1.0',
        'info': {'title': 'bert-as-service', 'version': RELEASE, 'description': 'Texts in, vectors out.'},
        'tags': [{'name': name} for name in (*_TAGS.values(), _MONITORING)],
        'paths': paths,
        'components': {'schemas': _SCHEMAS},
    }
    if has_keys:
        document['components']['securitySchemes'] = {'key': {'type': 'http', 'scheme': 'bearer'}}
    return document


def _operation(route: Route, has_keys: bool) -> dict[str, Any]:
    summary, request, answer = _OPERATIONS[route.method, route.path]
    operation: dict[str, Any] = {
        'summary': summary,
        'tags': [_tag_of(route)],
        'responses': {str(status): _response(route, status, answer) for status in sorted(route.statuses)},
    }
    if request is not None:
        operation['requestBody'] = {'required': True, 'content': {'application/json': _reference(request)}}
    if '{id}' in route.path:
        operation['parameters'] = [{'name': 'id', 'in': 'path', 'required': True, 'schema': {'type': 'string'}}]
    if has_keys and not route.is_open:
        operation['security'] = [{'key': []}]
    return operation


def _tag_of(route: Route) -> str:
    """The group of a route on the documentation page."""
    return _MONITORING if route.is_open or route.path.startswith(('/status/', '/metrics')) else _TAGS[route.family]


def _response(route: Route, status: int, answer: str | None) -> dict[str, Any]:
    if status == 200 or answer == 'Health':
        content = {
            _FORMATS.get((route.method, route.path), 'application/json'): {} if answer is None else _reference(answer)
        }
        if route.has_octets:
            content['application/octet-stream'] = {}
        response = {'description': 'Yes' if status == 200 else 'No', 'content': content}
        return {**response, 'headers': _HEADERS} if route.encodes else response
    if status == 304:
        return {'description': 'The version in If-None-Match is current'}
    error = _ERROR_SCHEMAS[route.family]
    if route.other_family is not None:
        error += ' ' + _ERROR_SCHEMAS[route.other_family]
    return {'description': _ERRORS[status], 'content': {'application/json': _reference(error)}}


def _reference(names: str) -> dict[str, Any]:
    """A reference to a schema, or to one of several."""
    references = [{'$ref': '#/components/schemas/' + name} for name in names.split()]
    return {'schema': references[0] if len(references) == 1 else {'anyOf': references}}
