"""The OpenAPI 3 document of the routes: what `/docs` shows and what a generator of clients reads.

Pure. A test holds it against the routes of the app, and another lets requests made from it come in.
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
            'id': {'description': 'Any value; it comes back with the answer'},
            'texts': {**_TEXTS, 'description': 'Texts, or, with is_tokenized, lists of tokens. "a ||| b" is a pair'},
            'is_tokenized': {'type': 'boolean', 'default': False},
            'show_tokens': {
                'type': 'boolean',
                'default': False,
                'description': 'Answer the tokens too, if the server shows them',
            },
        },
        'example': {'id': 123, 'texts': ['hello world', 'good day!'], 'is_tokenized': False},
    },
    'EncodeAnswer': {
        'type': 'object',
        'required': ['id', 'result', 'results', 'status'],
        'properties': {
            'id': {},
            'result': {**_VECTORS, 'description': 'A vector for each text, or for each of its tokens without pooling'},
            'results': {**_VECTORS, 'description': 'The same'},
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
                ]
            },
            'model': {'type': 'string', 'description': 'A name of /v1/models; without it, whichever is served'},
            'encoding_format': {'type': 'string', 'enum': ['float', 'base64'], 'default': 'float'},
            'dimensions': {
                'type': 'integer',
                'minimum': 1,
                'description': 'Cut the vectors, and scale them to length 1',
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

_FAULTS = {
    400: 'What was sent is not what it has to be',
    401: 'No key, or a wrong one',
    404: 'There is no such model',
    413: 'The body is too large, or has too many texts',
    415: 'The body is compressed',
    429: 'Too many requests are waiting: try again after the seconds of Retry-After',
    500: 'A fault of the server',
    501: 'The server behind cannot do this',
    502: 'The answer of the server behind cannot be read',
    503: 'The server behind is not there, or shutting down',
    504: 'The time limit is over',
}

# summary, schema of the request, schema of the answer
_OPERATIONS: dict[tuple[str, str], tuple[str, str | None, str | None]] = {
    ('POST', '/encode'): ('Turn texts into vectors, as bert-as-service 1.10 does', 'EncodeRequest', 'EncodeAnswer'),
    ('POST', '/tokenize'): (
        'The tokens and ids of texts, as the model would be fed them',
        'TokenizeRequest',
        'TokenizeAnswer',
    ),
    ('POST', '/v1/embeddings'): (
        "Turn texts into vectors, as OpenAI's API does",
        'EmbeddingsRequest',
        'EmbeddingsAnswer',
    ),
    ('GET', '/v1/models'): ('The model that is served, under each of its names', None, 'Models'),
    ('GET', '/v1/models/{id}'): ('One of them', None, 'Model'),
    ('GET', '/status/server'): ('The options, versions and statistic of the server behind', None, 'Status'),
    ('GET', '/status/client'): ('The connection of this proxy to the server behind', None, 'Status'),
    ('GET', '/health'): ('Whether requests are welcome', None, 'Health'),
    ('GET', '/health/live'): ('Whether the server behind answers at all', None, 'Health'),
    ('GET', '/health/ready'): (
        'Whether requests are welcome: not while no worker is up, nor while draining',
        None,
        'Health',
    ),
    ('GET', '/metrics'): ('The metrics, for Prometheus', None, None),
    ('GET', '/openapi.json'): ('This document', None, None),
    ('GET', '/docs/'): ('This document as a page', None, None),
    ('GET', '/dashboard'): ('A page that shows the status and the metrics', None, None),
}
_FORMATS = {'/metrics': 'text/plain', '/docs/': 'text/html', '/dashboard': 'text/html'}


def make_document(has_keys: bool) -> dict[str, Any]:
    """The document; with `has_keys` it says that a key is asked for."""
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
        return {'description': 'The one that If-None-Match names is still right'}
    error = 'OpenAIError' if route.path.startswith('/v1/') else 'Error'
    return {'description': _FAULTS[status], 'content': {'application/json': _reference(error)}}


def _reference(name: str) -> dict[str, Any]:
    return {'schema': {'$ref': '#/components/schemas/' + name}}
