"""JSON schemas of the routes of text-embeddings-inference (TEI). Pure."""

from __future__ import annotations

from typing import Any

from .ranking import MAX_DOCUMENTS
from .requests import MAX_ROWS
from .text_schemas import (
    ANY_TEXT,
    DIMENSIONS,
    DTYPE,
    IDS,
    NUMBERS,
    PROMPT,
    PROMPT_NAME,
    TEXT,
    Schema,
    flag,
    inputs,
    word,
)

_TRUNCATION: dict[str, Schema] = {
    'truncate': flag(True, 'Truncate a text that is too long; false: return an error'),
    'truncation_direction': word(('Right', 'Left'), 'Right', 'The end of a long text to drop'),
}
_RAW = flag(False, 'Return logits, without the activation of the model')
_PAIR: Schema = {'type': 'array', 'minItems': 2, 'maxItems': 2, 'items': ANY_TEXT}
_SINGLE: Schema = {'type': 'array', 'minItems': 1, 'maxItems': 1, 'items': TEXT}
DOCUMENTS: Schema = {'type': 'array', 'minItems': 1, 'maxItems': MAX_DOCUMENTS, 'items': ANY_TEXT}


def _object(required: list[str], properties: dict[str, Any], example: dict[str, Any] | None = None) -> Schema:
    schema: Schema = {'type': 'object', 'required': required, 'properties': properties}
    return schema if example is None else {**schema, 'example': example}


SCHEMAS: dict[str, Schema] = {
    'TeiEmbedRequest': _object(
        ['inputs'],
        {
            'inputs': inputs(MAX_ROWS),
            'normalize': flag(True, 'Scale the vectors to norm 1; false: leave them as pooled'),
            **_TRUNCATION,
            'prompt_name': PROMPT_NAME,
            'prompt': PROMPT,
            'dimensions': DIMENSIONS,
            'dtype': DTYPE,
        },
        {'inputs': ['hello world', 'good day!']},
    ),
    'TeiEmbedAnswer': {'type': 'array', 'items': NUMBERS},
    'TeiEmbedAllRequest': _object(
        ['inputs'],
        {'inputs': inputs(MAX_ROWS), **_TRUNCATION, 'prompt_name': PROMPT_NAME},
        {'inputs': ['hello world', 'good day!']},
    ),
    'TeiEmbedAllAnswer': {'type': 'array', 'items': {'type': 'array', 'items': NUMBERS}},
    'TeiSimilarityRequest': _object(
        ['inputs'],
        {
            'inputs': _object(
                ['source_sentence', 'sentences'],
                {
                    'source_sentence': TEXT,
                    'sentences': {'type': 'array', 'minItems': 1, 'maxItems': MAX_ROWS - 1, 'items': TEXT},
                },
            ),
            'parameters': {
                'type': ['object', 'null'],
                'properties': {**_TRUNCATION, 'prompt_name': PROMPT_NAME},
            },
        },
        {'inputs': {'source_sentence': 'hello world', 'sentences': ['good day!', 'hi there']}},
    ),
    'TeiSimilarityAnswer': NUMBERS,
    'TeiPredictRequest': _object(
        ['inputs'],
        {
            'inputs': {
                'anyOf': [
                    TEXT,
                    _PAIR,
                    {'type': 'array', 'minItems': 1, 'maxItems': MAX_ROWS, 'items': {'anyOf': [_SINGLE, _PAIR]}},
                ],
                'description': 'A text, a pair of texts, or a list of lists of one text or two',
            },
            'raw_scores': _RAW,
            **_TRUNCATION,
        },
        {'inputs': [['hello world', 'good day!'], ['hello world']]},
    ),
    'TeiPrediction': _object(['score', 'label'], {'score': {'type': 'number'}, 'label': {'type': 'string'}}),
    'TeiPredictAnswer': {
        'anyOf': [
            {'type': 'array', 'items': {'$ref': '#/components/schemas/TeiPrediction'}},
            {'type': 'array', 'items': {'type': 'array', 'items': {'$ref': '#/components/schemas/TeiPrediction'}}},
        ],
        'description': 'The labels with their scores, best first; for a list of inputs, a list of these',
    },
    'TeiRerankRequest': _object(
        ['query', 'texts'],
        {
            'query': TEXT,
            'texts': DOCUMENTS,
            'raw_scores': _RAW,
            'return_text': flag(False, 'Also return the texts'),
            'top_n': {'type': ['integer', 'null'], 'minimum': 1, 'description': 'The number of best texts to return'},
            **_TRUNCATION,
        },
        {'query': 'hello world', 'texts': ['good day!', 'hi there']},
    ),
    'TeiRerankAnswer': {
        'type': 'array',
        'items': _object(
            ['index', 'score'],
            {'index': {'type': 'integer'}, 'text': {'type': 'string'}, 'score': {'type': 'number'}},
        ),
        'description': 'Best first',
    },
    'TeiTokenizeRequest': _object(
        ['inputs'],
        {
            'inputs': {'anyOf': [TEXT, {'type': 'array', 'minItems': 1, 'maxItems': MAX_ROWS, 'items': TEXT}]},
            'add_special_tokens': flag(True, 'Also return the special tokens'),
            'prompt_name': PROMPT_NAME,
        },
        {'inputs': ['hello world']},
    ),
    'TeiToken': _object(
        ['id', 'text', 'special', 'start', 'stop'],
        {
            'id': {'type': 'integer'},
            'text': {'type': 'string'},
            'special': {'type': 'boolean'},
            'start': {'type': ['integer', 'null'], 'description': 'Counted in characters of the text'},
            'stop': {'type': ['integer', 'null']},
        },
    ),
    'TeiTokenizeAnswer': {
        'type': 'array',
        'items': {'type': 'array', 'items': {'$ref': '#/components/schemas/TeiToken'}},
    },
    'TeiDecodeRequest': _object(
        ['ids'],
        {
            'ids': {'anyOf': [IDS, {'type': 'array', 'minItems': 1, 'maxItems': MAX_ROWS, 'items': IDS}]},
            'skip_special_tokens': flag(True, 'Leave out special tokens'),
        },
        {'ids': [[7592, 2088]]},
    ),
    'TeiDecodeAnswer': {'type': 'array', 'items': {'type': 'string'}},
    'TeiInfo': _object(
        ['model_id', 'model_dtype', 'model_type', 'max_concurrent_requests', 'max_client_batch_size', 'version'],
        {
            'model_id': {'type': 'string'},
            'model_dtype': {'type': 'string', 'enum': ['float32', 'float16']},
            'model_type': {'type': 'object'},
            'max_concurrent_requests': {'type': 'integer'},
            'max_input_length': {'type': ['integer', 'null']},
            'max_batch_tokens': {'type': ['integer', 'null']},
            'max_batch_requests': {'type': ['integer', 'null']},
            'max_client_batch_size': {'type': 'integer'},
            'auto_truncate': {'type': 'boolean'},
            'version': {'type': 'string'},
            'prompts': {'type': 'array', 'items': {'type': 'string'}},
        },
    ),
    'TeiError': _object(
        ['error', 'error_type'],
        {
            'error': {'type': 'string'},
            'error_type': {
                'type': 'string',
                'enum': ['Validation', 'Empty', 'Tokenizer', 'Backend', 'Overloaded', 'Unhealthy'],
            },
        },
    ),
}
