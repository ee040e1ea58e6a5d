"""The bodies of `POST /v1/embeddings` in OpenAI's API: parse the request, and format the response.

Pure. Additional fields have the names of sentence-transformers; `input_type` is Cohere's.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..protocol.options import EncodingOptions, Truncation, VectorType
from .errors import HTTPError
from .fields import (
    check_ids,
    check_list,
    check_number,
    check_present,
    check_texts,
    is_integer,
    read_boolean,
    read_number,
    read_string,
    read_word,
)
from .requests import Rows
from .responses import Array, check_pooled, check_size, dump, dump_rows, little_endian, truncated_field

MAX_INPUTS = 2048
"""The maximum number of inputs in a request, which is OpenAI's own limit."""

INPUT_TYPES: Mapping[str, tuple[str, ...]] = {
    'search_query': ('query', 'search_query'),
    'query': ('query', 'search_query'),
    'search_document': ('document', 'passage', 'corpus', 'search_document'),
    'document': ('document', 'passage', 'corpus', 'search_document'),
    'passage': ('passage', 'document', 'corpus', 'search_document'),
    'classification': ('classification', 'Classification'),
    'clustering': ('clustering', 'Clustering'),
}
"""The values of `input_type`, each with the names of prompts to try, in order."""


@dataclass(frozen=True, slots=True)
class EmbeddingsQuery:
    """A request of OpenAI's API. `model` None means the served model.

    `input_type` chooses a prompt of the model; then `options` has no prompt.
    """

    rows: Rows
    model: str | None
    encoding_format: Literal['float', 'base64']
    options: EncodingOptions
    input_type: str | None = None


def read_embeddings(data: Mapping[str, Any]) -> EmbeddingsQuery:
    """Parse the query of `POST /v1/embeddings`. It ignores unknown fields, because other servers have more of them.

    As in OpenAI's API, shortened vectors are scaled to length 1 unless `normalize` is false. `' ||| '` in a text is
    ordinary text.
    """
    encoding_format = read_word(data, 'encoding_format', ('float', 'base64'))
    dimensions, normalize = read_number(data, 'dimensions'), read_boolean(data, 'normalize')
    options = EncodingOptions(
        prompt=read_string(data, 'prompt'),
        prompt_name=read_string(data, 'prompt_name'),
        normalize=True if normalize is None and dimensions is not None else normalize,
        dimensions=dimensions,
        dtype=read_dtype(data),
        truncate=read_truncate(data),
        pairs=False,
    )
    input_type = read_word(data, 'input_type', tuple(INPUT_TYPES))
    check_one_prompt(options, input_type)
    value = check_present(data, 'input', 'a text, a list of texts, or one or more lists of token ids')
    rows = read_inputs(value, 'input', MAX_INPUTS)
    return EmbeddingsQuery(
        rows, read_string(data, 'model'), 'base64' if encoding_format == 'base64' else 'float', options, input_type
    )


def read_dtype(data: Mapping[str, Any]) -> VectorType | None:
    """Read the requested type of the vectors' numbers."""
    word: Any = read_word(data, 'dtype', get_args(VectorType))
    dtype: VectorType | None = word
    return dtype


def read_truncate(data: Mapping[str, Any]) -> Truncation:
    """Read how to treat a text that is too long: drop an end, or return an error."""
    word: Any = read_word(data, 'truncate', get_args(Truncation))
    truncate: Truncation = word or 'right'
    return truncate


def check_one_prompt(options: EncodingOptions, input_type: str | None) -> None:
    """Refuse a request that chooses a prompt twice."""
    given = {'prompt': options.prompt, 'prompt_name': options.prompt_name, 'input_type': input_type}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        message = '"%s" and "%s" are mutually exclusive: send one of them' % (names[0], names[1])
        raise HTTPError('BadRequest', message, names[1])


def read_inputs(value: Any, name: str, most: int) -> Rows:
    """Read the rows from a text, a list of texts, a list of token ids or a list of such lists. At most `most` rows."""
    if isinstance(value, str):
        value = [value]
    rows = check_list(value, '"%s"' % name, name)
    if is_integer(rows[0]):
        rows = [rows]
    check_number(rows, most, name)
    if isinstance(rows[0], list):
        return Rows(check_ids(rows, name), 'ids')
    return Rows(check_texts(rows, name))


def as_asked(array: Array, options: EncodingOptions) -> Array:
    """Convert [B, D] to little-endian numbers of the requested type, by default float32.

    Raises:
        HTTPError: BadRequest if the server does not pool.
    """
    check_pooled(array)
    return little_endian(array, keeps_type=options.dtype is not None)


def embeddings_body(
    vectors: Array,
    counts: Sequence[int],
    model: str,
    encoding_format: Literal['float', 'base64'],
    truncated: Sequence[int] = (),
) -> list[bytes]:
    """The body of the response, in parts, for vectors of `as_asked` [B, D]. `truncated` are the inputs that were cut.

    Raises:
        HTTPError: TooLarge if there are too many numbers.
    """
    check_size(vectors)
    rows: Sequence[Any] = list(vectors)
    if encoding_format == 'base64':
        rows = [base64.b64encode(row).decode('ascii') for row in vectors]
    data = [{'object': 'embedding', 'index': index, 'embedding': row} for index, row in enumerate(rows)]
    total = int(sum(counts))
    usage = {'prompt_tokens': total, 'total_tokens': total}
    rest = dump({'model': model, 'usage': usage, **truncated_field(truncated)})
    return [b'{"object":"list","data":', *dump_rows(data, vectors.size), b',', rest[1:]]
