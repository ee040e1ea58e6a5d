"""JSON schemas of texts, ids, vectors and options, which the requests and responses of all APIs share. Pure."""

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
    """A text, texts, ids, or lists of ids; at most so many."""
    return {
        'anyOf': [
            TEXT,
            {'type': 'array', 'minItems': 1, 'maxItems': most, 'items': TEXT},
            IDS,
            {'type': 'array', 'minItems': 1, 'maxItems': most, 'items': IDS},
        ],
        'description': "Texts; or ids of the model's own vocabulary if the server has -http_token_ids",
    }


def flag(default: bool, description: str) -> Schema:
    """True or false, or null for the default."""
    return {'type': ['boolean', 'null'], 'default': default, 'description': description}


def word(words: tuple[str, ...], default: str | None, description: str) -> Schema:
    """One of some words, or null for the default."""
    values = [*words, None]
    schema: Schema = {'type': ['string', 'null'], 'enum': values, 'description': description}
    return schema if default is None else {**schema, 'default': default}


def text_or_null(description: str) -> Schema:
    """A string, which can be empty, or null."""
    return {'type': ['string', 'null'], 'description': description}


PROMPT_NAME = text_or_null('Which prompt of the model to put before each text')
PROMPT = text_or_null('What to put before each text')
DIMENSIONS: Schema = {
    'type': ['integer', 'null'],
    'minimum': 1,
    'description': 'Keep only so many numbers of each vector',
}
DTYPE = word(
    ('float32', 'float16', 'int8', 'binary', 'ubinary'),
    'float32',
    'The type of the numbers; binary and ubinary are the signs, eight in a byte',
)
TRUNCATED: Schema = {
    'type': 'array',
    'items': {'type': 'integer', 'minimum': 0},
    'description': 'The elements, counted from 0, that were cut because they were too long; absent if none was',
}
TRUNCATE = word(('right', 'left', 'error'), 'right', 'Which end of a text that is too long to drop, or an error')
