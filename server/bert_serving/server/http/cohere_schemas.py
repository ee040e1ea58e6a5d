"""JSON schemas of the rerank routes of Cohere's and Jina's APIs. Pure."""

from __future__ import annotations

from .openai_schemas import SCHEMAS as OPENAI
from .ranking import MAX_DOCUMENTS
from .text_schemas import ANY_TEXT, TEXT, TRUNCATE, TRUNCATED, Schema, flag

_DOCUMENT: Schema = {'type': 'object', 'required': ['text'], 'properties': {'text': ANY_TEXT}}

SCHEMAS: dict[str, Schema] = {
    'CohereRerankRequest': {
        'type': 'object',
        'required': ['query', 'documents'],
        'properties': {
            'model': {
                'type': ['string', 'null'],
                'description': 'A model name from /v1/models; by default the served model',
            },
            'query': TEXT,
            'documents': {
                'type': 'array',
                'minItems': 1,
                'maxItems': MAX_DOCUMENTS,
                'items': {'anyOf': [ANY_TEXT, _DOCUMENT]},
            },
            'top_n': {
                'type': ['integer', 'null'],
                'minimum': 1,
                'description': 'The number of best documents to return',
            },
            'return_documents': flag(False, 'Also return the documents'),
            'raw_scores': flag(False, 'Return logits, without the activation of the model'),
            'truncate': TRUNCATE,
        },
        'example': {'query': 'hello world', 'documents': ['good day!', 'hi there'], 'top_n': 1},
    },
    'CohereRerankAnswer': {
        'type': 'object',
        'required': ['id', 'model', 'results', 'usage', 'meta'],
        'properties': {
            'id': {'type': 'string'},
            'model': {'type': 'string'},
            'results': {
                'type': 'array',
                'description': 'Best first',
                'items': {
                    'type': 'object',
                    'required': ['index', 'relevance_score'],
                    'properties': {
                        'index': {'type': 'integer'},
                        'relevance_score': {'type': 'number'},
                        'document': _DOCUMENT,
                    },
                },
            },
            'usage': {
                'type': 'object',
                'required': ['total_tokens'],
                'properties': {'total_tokens': {'type': 'integer'}},
            },
            'meta': {'type': 'object'},
            'truncated': TRUNCATED,
        },
    },
    'CohereError': {
        'type': 'object',
        'required': ['message', 'error'],
        'properties': {'message': {'type': 'string'}, **OPENAI['OpenAIError']['properties']},
    },
}
