"""JSON schemas of the routes of 1.10, and of `/tokenize`. Pure."""

from __future__ import annotations

from .text_schemas import TEXTS, TRUNCATED, VECTORS, Schema

SCHEMAS: dict[str, Schema] = {
    'EncodeRequest': {
        'type': 'object',
        'required': ['texts'],
        'properties': {
            'id': {'description': 'Any value, which the response returns; null by default'},
            'texts': {**TEXTS, 'description': 'Texts, or lists of tokens with is_tokenized. "a ||| b" is a pair'},
            'is_tokenized': {'type': 'boolean', 'default': False},
            'show_tokens': {
                'type': 'boolean',
                'default': False,
                'description': 'Also return the tokens, if the server shows them',
            },
        },
        'example': {'id': 123, 'texts': ['hello world', 'good day!'], 'is_tokenized': False},
    },
    'EncodeAnswer': {
        'type': 'object',
        'required': ['id', 'result', 'results', 'status'],
        'properties': {
            'id': {},
            'result': {**VECTORS, 'description': 'A vector for each text or, without pooling, for each token'},
            'results': {**VECTORS, 'description': 'The same vectors'},
            'tokens': {'description': 'With show_tokens: lists of tokens, or null if the server does not show them'},
            'status': {'type': 'integer'},
        },
    },
    'TokenizeRequest': {
        'type': 'object',
        'required': ['texts'],
        'properties': {'texts': TEXTS, 'is_tokenized': {'type': 'boolean', 'default': False}},
        'example': {'texts': ['hello world']},
    },
    'TokenizeAnswer': {
        'type': 'object',
        'required': ['tokens', 'ids', 'status'],
        'properties': {
            'tokens': {'type': 'array', 'items': {'type': 'array', 'items': {'type': 'string'}}},
            'ids': {'type': 'array', 'items': {'type': 'array', 'items': {'type': 'integer'}}},
            'truncated': TRUNCATED,
            'status': {'type': 'integer'},
        },
    },
    'Error': {
        'type': 'object',
        'required': ['description', 'type', 'status'],
        'properties': {
            'description': {'type': 'string'},
            'type': {'type': 'string'},
            'status': {'type': 'integer'},
        },
    },
}
