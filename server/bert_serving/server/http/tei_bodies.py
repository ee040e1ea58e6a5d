"""The bodies of the routes of text-embeddings-inference (TEI): parse the requests, and format the responses.

Pure. The names and defaults of the fields are TEI's, and unknown fields are ignored. In addition, `/embed` accepts
`prompt` and `dtype`. B texts, T tokens, D dimensions, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..protocol.options import EncodingOptions, Truncation
from ..release import RELEASE
from .errors import HTTPError
from .fields import (
    check_ids,
    check_list,
    check_number,
    check_present,
    check_string,
    check_text,
    check_texts,
    is_integer,
    read_boolean,
    read_number,
    read_string,
    read_word,
    refuse,
)
from .model_card import ModelCard
from .openai_bodies import check_one_prompt, read_dtype, read_inputs
from .ranking import RerankQuery, read_documents, read_query
from .requests import MAX_ROWS, Rows
from .responses import Array, check_size, dump, dump_rows

_DIRECTIONS = ('Right', 'Left', 'right', 'left')
_INPUTS = 'a text, a list of texts, or one or more lists of token ids'


@dataclass(frozen=True, slots=True)
class EmbedQuery:
    """A request of `/embed`, `/embed_all`, `/similarity`, `/tokenize` or `/decode`."""

    rows: Rows
    options: EncodingOptions


@dataclass(frozen=True, slots=True)
class PredictQuery:
    """A request for scores of texts and pairs. With `is_single`, the input is not a list."""

    inputs: Sequence[str | list[str]]
    options: EncodingOptions
    is_single: bool

    @property
    def is_pair(self) -> list[bool]:
        """For each input, whether it is a pair."""
        return [not isinstance(row, str) for row in self.inputs]

    def rows(self, of_pairs: bool) -> Rows:
        """Either the pairs or the texts among the inputs."""
        chosen = [row for row, is_pair in zip(self.inputs, self.is_pair, strict=True) if is_pair == of_pairs]
        return Rows(chosen, 'pairs' if of_pairs else 'texts')


# ---- requests


def read_embed(data: Mapping[str, Any]) -> EmbedQuery:
    """Parse the query of `POST /embed`. Vectors get length 1 unless `normalize` is false."""
    normalize = read_boolean(data, 'normalize')
    options = EncodingOptions(
        prompt=read_string(data, 'prompt'),
        prompt_name=read_string(data, 'prompt_name'),
        normalize=True if normalize is None else normalize,
        dimensions=read_number(data, 'dimensions'),
        dtype=read_dtype(data),
        truncate=read_truncation(data),
        pairs=False,
    )
    check_one_prompt(options, None)
    return EmbedQuery(read_inputs(check_present(data, 'inputs', _INPUTS), 'inputs', MAX_ROWS), options)


def read_embed_all(data: Mapping[str, Any]) -> EmbedQuery:
    """Parse the query of `POST /embed_all`."""
    options = EncodingOptions(prompt_name=read_string(data, 'prompt_name'), truncate=read_truncation(data), pairs=False)
    return EmbedQuery(read_inputs(check_present(data, 'inputs', _INPUTS), 'inputs', MAX_ROWS), options)


def read_similarity(data: Mapping[str, Any]) -> EmbedQuery:
    """Parse the query of `POST /similarity`. The first row is the source sentence."""
    inputs = check_present(data, 'inputs', 'an object with "source_sentence" and "sentences"')
    parameters = data.get('parameters')
    for name, value in (('inputs', inputs), ('parameters', {} if parameters is None else parameters)):
        if not isinstance(value, dict):
            refuse(name, 'an object', value, 'TypeError')
    name = 'inputs.source_sentence'
    source = check_text(inputs.get('source_sentence'), '"%s"' % name, name)
    name = 'inputs.sentences'
    sentences = check_list(inputs.get('sentences'), '"%s"' % name, name)
    check_number(sentences, MAX_ROWS - 1, name)
    options = EncodingOptions(
        prompt_name=read_string(parameters or {}, 'prompt_name'),
        normalize=True,
        truncate=read_truncation(parameters or {}),
        pairs=False,
    )
    return EmbedQuery(Rows([source, *check_texts(sentences, name)]), options)


def read_predict(data: Mapping[str, Any]) -> PredictQuery:
    """Parse the query of `POST /predict`: a text, a pair of texts, or a list of lists of one or two texts."""
    value = check_present(data, 'inputs', 'a text, a pair of texts, or a list of lists of one text or two')
    options = EncodingOptions(truncate=read_truncation(data), raw=read_boolean(data, 'raw_scores') or None)
    if isinstance(value, str):
        value = [value]
    rows = check_list(value, '"inputs"', 'inputs')
    if isinstance(rows[0], str):
        return PredictQuery([_read_sequence(rows, '"inputs"')], options, is_single=True)
    check_number(rows, MAX_ROWS, 'inputs')
    inputs = [_read_sequence(row, 'element %d of "inputs"' % index) for index, row in enumerate(rows)]
    return PredictQuery(inputs, options, is_single=False)


def _read_sequence(row: Any, where: str) -> str | list[str]:
    """Read a text, or a pair of possibly blank texts, from a list of one or two."""
    texts = check_list(row, where, 'inputs')
    if len(texts) == 1:
        return check_text(texts[0], 'the text of %s' % where, 'inputs')
    if len(texts) > 2:
        message = '%s must have one text or two, but has %d' % (where, len(texts))
        raise HTTPError('BadRequest', message, 'inputs')
    return [check_string(text, 'text %d of %s' % (place, where), 'inputs') for place, text in enumerate(texts)]


def read_rerank(data: Mapping[str, Any]) -> RerankQuery:
    """Parse the query of `POST /rerank` in TEI's format, with the documents in `texts`. `top_n` is our addition."""
    query = read_query(data)
    options = EncodingOptions(truncate=read_truncation(data), raw=read_boolean(data, 'raw_scores') or None)
    documents = read_documents(check_present(data, 'texts', 'a list of texts'), 'texts', query)
    top_n = read_number(data, 'top_n')  # TEI ignores it, but LiteLLM sends it
    return RerankQuery(query, documents, options, read_boolean(data, 'return_text') or False, top_n)


def read_tokenize(data: Mapping[str, Any]) -> EmbedQuery:
    """Parse the query of `POST /tokenize` in TEI's format. Without `add_special_tokens` the response has none."""
    value = check_present(data, 'inputs', 'a text or a list of texts')
    rows = check_list([value] if isinstance(value, str) else value, '"inputs"', 'inputs')
    check_number(rows, MAX_ROWS, 'inputs')
    has_special = read_boolean(data, 'add_special_tokens') is not False
    prompt_name = read_string(data, 'prompt_name')
    options = EncodingOptions(prompt_name=prompt_name, offsets=True, special_tokens=has_special or None)
    return EmbedQuery(Rows(check_texts(rows, 'inputs')), options)


def read_decode(data: Mapping[str, Any]) -> EmbedQuery:
    """Parse the query of `POST /decode`: a list of ids, or a list of such lists."""
    rows = check_list(check_present(data, 'ids', 'one or more lists of token ids'), '"ids"', 'ids')
    if is_integer(rows[0]):
        rows = [rows]
    check_number(rows, MAX_ROWS, 'ids')
    keeps_special = read_boolean(data, 'skip_special_tokens') is False
    options = EncodingOptions(decode=True, special_tokens=keeps_special or None)
    return EmbedQuery(Rows(check_ids(rows, 'ids'), 'ids'), options)


def read_truncation(data: Mapping[str, Any]) -> Truncation:
    """Read which end of a long text to drop. With `truncate` false, a long text is an error."""
    direction = read_word(data, 'truncation_direction', _DIRECTIONS)
    if read_boolean(data, 'truncate') is False:
        return 'error'
    return 'left' if direction in ('Left', 'left') else 'right'


# ---- responses


def embed_body(vectors: Array) -> list[bytes]:
    """The response of `/embed`, in parts: [B, D] as lists.

    Raises:
        HTTPError: TooLarge, there are too many numbers.
    """
    check_size(vectors)
    return dump_rows(vectors, vectors.size)


def embed_all_body(states: Array, counts: Sequence[int]) -> list[bytes]:
    """The response of `/embed_all`, in parts: [B, T, D] as lists, without the padding of each row.

    Raises:
        HTTPError: TooLarge, there are too many numbers.
    """
    check_size(states)
    return dump_rows([row[:count] for row, count in zip(states, counts, strict=True)], states.size)


def similarity_body(vectors: Array) -> bytes:
    """Format the response of `/similarity`: the cosines of the first vector with the others, from normalized [B, D]."""
    return dump(vectors[1:] @ vectors[0])


def predict_body(scores: Array, labels: Sequence[str], is_single: bool) -> bytes:
    """Format the response of `/predict`: the labels and scores of each row of [B, L], best first."""
    rows = []
    for row in scores.reshape(len(scores), -1).astype(np.float32):
        order = np.argsort(-row, kind='stable')
        rows.append([{'score': row[index], 'label': labels[index]} for index in order])
    return dump(rows[0] if is_single else rows)


def rank_body(ranking: Sequence[tuple[int, np.float32]], query: RerankQuery) -> bytes:
    """Format the response of `/rerank` in TEI's format."""
    if not query.shows_documents:
        return dump([{'index': index, 'score': score} for index, score in ranking])
    return dump([{'index': index, 'text': query.documents[index], 'score': score} for index, score in ranking])


def tokenize_body(places: Array, tokens: Sequence[Sequence[str]], counts: Sequence[int], has_special: bool) -> bytes:
    """Format the response of `/tokenize` in TEI's format.

    `places` is [B, T, 3]: id, start and end, which are negative for special tokens. Without `has_special`, special
    tokens are left out.
    """
    rows = []
    for row, texts, count in zip(places.tolist(), tokens, counts, strict=True):
        found = []
        for (index, start, stop), text in zip(row[:count], texts, strict=True):
            is_special = start < 0
            if is_special and not has_special:
                continue
            place = {'start': None, 'stop': None} if is_special else {'start': start, 'stop': stop}
            found.append({'id': index, 'text': text, 'special': is_special, **place})
        rows.append(found)
    return dump(rows)


def decode_body(texts: Sequence[str]) -> bytes:
    """The response of `/decode`."""
    return dump(list(texts))


def info_body(card: ModelCard, status: Mapping[str, Any], max_requests: int) -> bytes:
    """Format the response of `/info`. `max_requests` is the number of requests that can be served or wait."""
    id2label = {str(number): label for number, label in enumerate(card.labels)}
    labels = {'id2label': id2label, 'label2id': {label: number for number, label in enumerate(card.labels)}}
    model_type: dict[str, Any] = {'embedding': {'pooling': card.pooling}}
    if card.task != 'embed':
        model_type = {'reranker' if card.task == 'rerank' else 'classifier': labels}
    return dump(
        {
            'model_id': card.names[0],
            'model_sha': None,
            'model_dtype': 'float16' if status.get('fp16') else 'float32',
            'model_type': model_type,
            'max_concurrent_requests': max_requests,
            'max_input_length': card.max_seq_len,
            'max_batch_tokens': status.get('max_batch_tokens'),
            'max_batch_requests': status.get('max_batch_size'),
            'max_client_batch_size': MAX_ROWS,
            'auto_truncate': True,
            'tokenization_workers': status.get('num_worker'),
            'version': status.get('server_release') or RELEASE,
            'sha': None,
            'docker_label': None,
            'prompts': list(card.prompts),
        }
    )
