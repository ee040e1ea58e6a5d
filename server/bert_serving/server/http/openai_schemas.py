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
            'model': {'type': 'string', 'description': 'A name of /v1/models; the default is the model that is served'},
            'encoding_format': {'type': 'string', 'enum': ['float', 'base64'], 'default': 'float'},
            'dimensions': {**DIMENSIONS, 'description': 'Cut the vectors to this length, and scale them to norm 1'},
            'prompt_name': PROMPT_NAME,
            'prompt': PROMPT,
            'input_type': word(tuple(INPUT_TYPES), None, 'What the texts are, which chooses a prompt of the model'),
            'normalize': {
                'type': ['boolean', 'null'],
                'description': 'Scale the vectors to norm 1, or leave them as they are pooled; null: as the model says',
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
                            'description': 'Numbers, or in base64: little-endian float32, or what dtype says',
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
