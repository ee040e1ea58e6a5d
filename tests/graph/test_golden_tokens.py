"""Every golden case at the level of the graph: the tokens that 1.10 fed are fed again, its answers must come back.

The tokenizer has no part in this (the cases go through the whole server elsewhere): what it would make of a text is
rebuilt from the tokens on record. A request without recorded tokens is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from bert_serving.server.graph import PoolingStrategy
from bert_serving.server.graph.export import SMALL_BATCH, GraphSpec, export
from bert_serving.server.graph.runtime import GraphEncoder
from bert_serving.server.model.config import resolve_layers
from bert_serving.server.model.folder import EMBEDDED_PACKAGE, find_model

DATA = Path(__file__).parents[1] / 'golden' / 'data'
CASES = sorted(path.stem for path in (DATA / 'cases').glob('*.json'))


def options(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument('-model_dir')
    parser.add_argument('-tuned_model_dir')
    parser.add_argument('-ckpt_name', default='bert_model.ckpt')
    parser.add_argument('-pooling_layer', type=int, nargs='+', default=[-2])
    parser.add_argument('-pooling_strategy', type=PoolingStrategy.from_string, default=PoolingStrategy.REDUCE_MEAN)
    parser.add_argument('-num_labels', type=int, default=2)
    for flag in ('-no_position_embeddings', '-fp16', '-mask_cls_sep', '-cased_tokenization', '-no_special_token'):
        parser.add_argument(flag, action='store_true')
    return parser.parse_known_args(arguments)[0]


def spec_of(args) -> GraphSpec:
    folder = None if args.model_dir == 'minilm' else str(DATA / 'models' / args.model_dir)
    tuned = args.tuned_model_dir and str(DATA / 'models' / args.tuned_model_dir)
    model = find_model(folder, tuned, args.ckpt_name, cased_tokenization=args.cased_tokenization)
    return GraphSpec(
        model=model,
        layers=resolve_layers(args.pooling_layer, model.config),
        strategy=args.pooling_strategy,
        position_embeddings=not args.no_position_embeddings,
        num_labels=args.num_labels,
        fp16=args.fp16,
        on_cpu=True,
    )


@cache
def vocabulary(path: str):
    return {token: index for index, token in enumerate(Path(path).read_text(encoding='utf-8').split('\n'))}


def features(tokens, vocab, mask_cls_sep):
    """The inputs for rows of tokens: whatever follows a [SEP] is the second text, if anything does."""
    length = max(map(len, tokens))
    ids, mask, type_ids = (np.zeros((len(tokens), length), np.int32) for _ in range(3))
    for row, words in enumerate(tokens):
        ids[row, : len(words)] = [vocab[word] for word in words]
        special = [word in ('[CLS]', '[SEP]') for word in words]
        mask[row, : len(words)] = [not (mask_cls_sep and is_special) for is_special in special]
        if words.count('[SEP]') > 1:
            type_ids[row, words.index('[SEP]') + 1 : len(words)] = 1
    return ids, mask, type_ids


@pytest.fixture(scope='module')
def encoder(tmp_path_factory):
    """Encoders by their spec, since many cases differ only in options that the graph does not see."""
    folder, encoders = tmp_path_factory.mktemp('graphs'), {}

    def get(spec):
        if spec not in encoders:
            path = str(folder / ('%d.pb' % len(encoders)))
            export(spec, path)
            encoders[spec] = GraphEncoder(path, threads=2)
            encoders[spec].load()
        return encoders[spec]

    yield get
    for opened in encoders.values():
        opened.close()


@pytest.mark.parametrize('bf16', [False, True], ids=['fp32', 'bf16'])
@pytest.mark.parametrize('name', CASES)
def test_graph_answers_as_1_10_did(name, bf16, encoder):
    case = json.loads((DATA / 'cases' / (name + '.json')).read_text(encoding='utf-8'))
    args = options(case['args'])
    if bf16 and args.fp16:
        pytest.skip('-bf16 and -fp16 do not go together')
    if args.model_dir == 'minilm':
        _require_embedded_model()
    spec = replace(spec_of(args), bf16=bf16)
    vocab = vocabulary(spec.model.vocab)
    checked = 0
    with np.load(DATA / 'cases' / (name + '.npz')) as answers:
        for index, request in enumerate(case['requests']):
            if request['tokens'] is None:
                continue
            expected = answers['embedding_%d' % index]
            inputs = features(request['tokens'], vocab, args.mask_cls_sep)
            for answer in _in_either_size_class(encoder(spec), inputs):
                if expected.ndim == 3:
                    answer = np.pad(answer, ((0, 0), (0, expected.shape[1] - answer.shape[1]), (0, 0)))
                assert answer.shape == expected.shape
                assert answer.dtype == expected.dtype
                if args.fp16 or bf16:
                    assert cosine(answer, expected).min() >= 0.999
                else:
                    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=2e-5)
            checked += 1
    assert checked


def _in_either_size_class(encoder, inputs):
    """The answers to a request as it came, and to so many of it at once that the batch is a large one."""
    rows = len(inputs[0])
    times = SMALL_BATCH // inputs[0].size + 1
    yield encoder.encode(*inputs)
    yield encoder.encode(*(np.tile(array, (times, 1)) for array in inputs))[-rows:]


def _require_embedded_model():
    if importlib.util.find_spec(EMBEDDED_PACKAGE) is None:
        pytest.skip('%s is not installed' % EMBEDDED_PACKAGE)


def cosine(a, b):
    """Of vectors that both are zero (padding), 1."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    neither = ~a.any(-1) & ~b.any(-1)
    a, b = np.where(neither[..., None], 1, a), np.where(neither[..., None], 1, b)
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
