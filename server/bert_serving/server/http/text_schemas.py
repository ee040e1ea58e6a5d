"""JSON schemas of texts, ids, vectors and options, shared by all APIs. Pure."""

from __future__ import annotations

from typing import Any

from .requests import MAX_ROWS

Schema = dict[str, Any]

TEXT: Schema = {'type': 'string', 'minLength': 1, 'pattern': r'\S'}
ANY_TEXT: Schema = {'type': 'string'}
TOKENS: Schema = {'type': 'array', 'minItems': 1, 'items': TEXT}
IDS: Schema = {'type': 'array', 'minItems': 1, 'items': {'type': 'integer', 'minimum': 0, 'maximum': (1 << 31) - 1}}
TEXTS: Schema = {'type': 'array', 'minItems': 1, 'maxItems': MAX_ROWS, 'items': {'anyOf': [TEXT, TOKENS]}}
NUMBERS: Schema = {'type': 'array', 'items': {'type': 'number'}}
VECTORS: Schema = {
    'type': 'array',
    'items': {'type': 'array', 'items': {'anyOf': [{'type': 'number'}, {'type': 'array'}]}},
}


def inputs(most: int) -> Schema:
    """The schema of a text, texts, ids, or lists of ids, at most `most`."""
    return {
        'anyOf': [
            TEXT,
            {'type': 'array', 'minItems': 1, 'maxItems': most, 'items': TEXT},
            IDS,
            {'type': 'array', 'minItems': 1, 'maxItems': most, 'items': IDS},
        ],
        'description': "Texts, or token ids of the model's own vocabulary if the server has -http_token_ids",
    }


def flag(default: bool, description: str) -> Schema:
    """The schema of a boolean, or null for the default."""
    return {'type': ['boolean', 'null'], 'default': default, 'description': description}


def word(words: tuple[str, ...], default: str | None, description: str) -> Schema:
    """The schema of one of some words, or null for the default."""
    values = [*words, None]
    schema: Schema = {'type': ['string', 'null'], 'enum': values, 'description': description}
    return schema if default is None else {**schema, 'default': default}


def text_or_null(description: str) -> Schema:
    """The schema of a string, possibly empty, or null."""
    return {'type': ['string', 'null'], 'description': description}


PROMPT_NAME = text_or_null("The name of the model's prompt to put before each text")
PROMPT = text_or_null('The prompt to put before each text')
DIMENSIONS: Schema = {
    'type': ['integer', 'null'],
    'minimum': 1,
    'description': 'Keep only the first numbers of each vector',
}
DTYPE = word(
    ('float32', 'float16', 'int8', 'binary', 'ubinary'),
    'float32',
    'The type of the numbers; binary and ubinary are the signs, eight in a byte',
)
TRUNCATED: Schema = {
    'type': 'array',
    'items': {'type': 'integer', 'minimum': 0},
    'description': 'The truncated elements, counted from 0; absent if there are none',
}
TRUNCATE = word(('right', 'left', 'error'), 'right', 'The end of a long text to drop, or an error')
