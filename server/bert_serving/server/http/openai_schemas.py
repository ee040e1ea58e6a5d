"""JSON schemas of the routes of OpenAI's API. Pure."""

from __future__ import annotations

from .openai_bodies import INPUT_TYPES, MAX_INPUTS
from .text_schemas import DIMENSIONS, DTYPE, PROMPT, PROMPT_NAME, TRUNCATE, TRUNCATED, Schema, inputs, word

SCHEMAS: dict[str, Schema] = {
    'EmbeddingsRequest': {
        'type': 'object',
        'required': ['input'],
        'properties': {
            'input': inputs(MAX_INPUTS),
            'model': {'type': 'string', 'description': 'A model name from /v1/models; by default the served model'},
            'encoding_format': {'type': 'string', 'enum': ['float', 'base64'], 'default': 'float'},
            'dimensions': {
                **DIMENSIONS,
                'description': 'Shorten the vectors to this many numbers, and scale them to norm 1',
            },
            'prompt_name': PROMPT_NAME,
            'prompt': PROMPT,
            'input_type': word(tuple(INPUT_TYPES), None, 'The kind of the texts, which chooses a prompt of the model'),
            'normalize': {
                'type': ['boolean', 'null'],
                'description': 'Scale the vectors to norm 1, or leave them as pooled; null: as the model says',
            },
            'truncate': TRUNCATE,
            'dtype': DTYPE,
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
                            'description': 'Numbers, or base64 of little-endian float32 or of dtype',
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
            'truncated': TRUNCATED,
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
