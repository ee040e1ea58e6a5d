"""The OpenAPI 3 document of the routes, for `/docs` and for generators of clients.

Pure. One test compares it with the routes of the app, another sends requests that are generated from it.
"""

from __future__ import annotations

from typing import Any

from ..release import RELEASE
from .requests import MAX_INPUTS, MAX_ROWS
from .routes import ROUTES, Route

Schema = dict[str, Any]

_TEXT: Schema = {'type': 'string', 'minLength': 1, 'pattern': r'\S'}
_TOKENS: Schema = {'type': 'array', 'minItems': 1, 'items': _TEXT}
_IDS: Schema = {'type': 'array', 'minItems': 1, 'items': {'type': 'integer', 'minimum': 0, 'maximum': (1 << 31) - 1}}
_TEXTS: Schema = {'type': 'array', 'minItems': 1, 'maxItems': MAX_ROWS, 'items': {'anyOf': [_TEXT, _TOKENS]}}
_VECTORS: Schema = {
    'type': 'array',
    'items': {'type': 'array', 'items': {'anyOf': [{'type': 'number'}, {'type': 'array'}]}},
}

_SCHEMAS: dict[str, Schema] = {
    'EncodeRequest': {
        'type': 'object',
        'required': ['id', 'texts'],
        'properties': {
            'id': {'description': 'Any value; it is returned with the response'},
            'texts': {**_TEXTS, 'description': 'Texts, or lists of tokens with is_tokenized. "a ||| b" is a pair'},
            'is_tokenized': {'type': 'boolean', 'default': False},
            'show_tokens': {
                'type': 'boolean',
                'default': False,
                'description': 'Return the tokens, too, if the server shows them',
            },
        },
        'example': {'id': 123, 'texts': ['hello world', 'good day!'], 'is_tokenized': False},
    },
    'EncodeAnswer': {
        'type': 'object',
        'required': ['id', 'result', 'results', 'status'],
        'properties': {
            'id': {},
            'result': {**_VECTORS, 'description': 'A vector for each text or, without pooling, for each of its tokens'},
            'results': {**_VECTORS, 'description': 'The same vectors'},
            'tokens': {'description': 'With show_tokens: lists of tokens, or null if the server does not show them'},
            'status': {'type': 'integer'},
        },
    },
    'TokenizeRequest': {
        'type': 'object',
        'required': ['texts'],
        'properties': {'texts': _TEXTS, 'is_tokenized': {'type': 'boolean', 'default': False}},
        'example': {'texts': ['hello world']},
    },
    'TokenizeAnswer': {
        'type': 'object',
        'required': ['tokens', 'ids', 'status'],
        'properties': {
            'tokens': {'type': 'array', 'items': {'type': 'array', 'items': {'type': 'string'}}},
            'ids': {'type': 'array', 'items': {'type': 'array', 'items': {'type': 'integer'}}},
            'status': {'type': 'integer'},
        },
    },
    'EmbeddingsRequest': {
        'type': 'object',
        'required': ['input'],
        'properties': {
            'input': {
                'anyOf': [
                    _TEXT,
                    {'type': 'array', 'minItems': 1, 'maxItems': MAX_INPUTS, 'items': _TEXT},
                    _IDS,
                    {'type': 'array', 'minItems': 1, 'maxItems': MAX_INPUTS, 'items': _IDS},
                ],
                'description': "Texts; or ids of the model's own vocabulary if the server has -http_token_ids",
            },
            'model': {'type': 'string', 'description': 'A name of /v1/models; the default is the model that is served'},
            'encoding_format': {'type': 'string', 'enum': ['float', 'base64'], 'default': 'float'},
            'dimensions': {
                'type': 'integer',
                'minimum': 1,
                'description': 'Cut the vectors to this length, and scale them to norm 1',
            },
            'user': {'type': 'string'},
        },
        'example': {'input': ['hello world', 'good day!']},
    },
    'EmbeddingsAnswer': {
        'type': 'object',
        'required': ['object', 'data', 'model', 'usage'],
        'properties': {
            'object': {'const': 'list'},
            'data': {
                'type': 'array',
                'items': {
                    'type': 'object',
                    'required': ['object', 'index', 'embedding'],
                    'properties': {
                        'object': {'const': 'embedding'},
                        'index': {'type': 'integer'},
                        'embedding': {
                            'anyOf': [{'type': 'array', 'items': {'type': 'number'}}, {'type': 'string'}],
                            'description': 'Numbers, or little-endian float32 in base64',
                        },
                    },
                },
            },
            'model': {'type': 'string'},
            'usage': {
                'type': 'object',
                'required': ['prompt_tokens', 'total_tokens'],
                'properties': {'prompt_tokens': {'type': 'integer'}, 'total_tokens': {'type': 'integer'}},
            },
        },
    },
    'Model': {
        'type': 'object',
        'required': ['id', 'object', 'created', 'owned_by'],
        'properties': {
            'id': {'type': 'string'},
            'object': {'const': 'model'},
            'created': {'type': 'integer'},
            'owned_by': {'type': 'string'},
        },
    },
    'Models': {
        'type': 'object',
        'required': ['object', 'data'],
        'properties': {
            'object': {'const': 'list'},
            'data': {'type': 'array', 'items': {'$ref': '#/components/schemas/Model'}},
        },
    },
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
    'Error': {
        'type': 'object',
        'required': ['description', 'type', 'status'],
        'properties': {
            'description': {'type': 'string'},
            'type': {'type': 'string'},
            'status': {'type': 'integer'},
        },
    },
    'OpenAIError': {
        'type': 'object',
        'required': ['error'],
        'properties': {
            'error': {
                'type': 'object',
                'required': ['message', 'type', 'param', 'code'],
                'properties': {
                    'message': {'type': 'string'},
                    'type': {'type': 'string'},
                    'param': {'type': ['string', 'null']},
                    'code': {'type': ['string', 'null']},
                },
            }
        },
    },
}

_ERRORS = {
    400: 'The request is malformed or invalid',
    401: 'The API key is missing or wrong',
    404: 'There is no model with that name',
    413: 'The body is too large, or has too many texts',
    415: 'The body is compressed',
    429: 'Too many requests are waiting: retry after the seconds of Retry-After',
    500: 'Internal error',
    501: 'The server is of a release that cannot do this',
    502: 'The response of the server cannot be read',
    503: 'The server is away or shutting down: retry after the seconds of Retry-After',
    504: 'The time limit has passed',
}

_OPERATIONS: dict[tuple[str, str], tuple[str, str | None, str | None]] = {
    ('POST', '/encode'): ('Encode texts, in the format of bert-as-service 1.10', 'EncodeRequest', 'EncodeAnswer'),
    ('POST', '/tokenize'): (
        'Return the tokens and ids of texts, as the model would see them',
        'TokenizeRequest',
        'TokenizeAnswer',
    ),
    ('POST', '/v1/embeddings'): (
        "Encode texts, in the format of OpenAI's API",
        'EmbeddingsRequest',
        'EmbeddingsAnswer',
    ),
    ('GET', '/v1/models'): ('List the model, once for each of its names', None, 'Models'),
    ('GET', '/v1/models/{id}'): ('Describe the model with that name', None, 'Model'),
    ('GET', '/status/server'): ('Show the options, versions and statistics of the server', None, 'Status'),
    ('GET', '/status/client'): ('Show the connection of the HTTP proxy to the server', None, 'Status'),
    ('GET', '/health'): ('Tell whether the server is ready for requests', None, 'Health'),
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
"""Of each route: its summary, the schema of its request and that of its response."""

_FORMATS = {'/metrics': 'text/plain', '/docs/': 'text/html', '/dashboard': 'text/html'}


def make_document(has_keys: bool) -> dict[str, Any]:
    """The document; with `has_keys` it says that a key is required."""
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, has_keys)
    document: dict[str, Any] = {
        'openapi': '3.1.0',
        'info': {'title': 'bert-as-service', 'version': RELEASE, 'description': 'Texts in, vectors out.'},
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
        'responses': {str(status): _response(route, status, answer) for status in sorted(route.statuses)},
    }
    if request is not None:
        operation['requestBody'] = {'required': True, 'content': {'application/json': _reference(request)}}
    if '{id}' in route.path:
        operation['parameters'] = [{'name': 'id', 'in': 'path', 'required': True, 'schema': {'type': 'string'}}]
    if has_keys and not route.is_open:
        operation['security'] = [{'key': []}]
    return operation


def _response(route: Route, status: int, answer: str | None) -> dict[str, Any]:
    if status == 200 or answer == 'Health':
        content = _FORMATS.get(route.path, 'application/json')
        schema = {} if answer is None else _reference(answer)
        return {'description': 'Yes' if status == 200 else 'No', 'content': {content: schema}}
    if status == 304:
        return {'description': 'The version in If-None-Match is current'}
    error = 'OpenAIError' if route.path.startswith('/v1/') else 'Error'
    return {'description': _ERRORS[status], 'content': {'application/json': _reference(error)}}


def _reference(name: str) -> dict[str, Any]:
    return {'schema': {'$ref': '#/components/schemas/' + name}}
