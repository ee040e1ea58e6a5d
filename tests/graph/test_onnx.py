"""The files of the second engine: what is fused in them, who may change them, and who needs what to read them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bert_serving.server.errors import InternalError, StartError
from bert_serving.server.graph import spec as spec_module
from bert_serving.server.graph.activations import ACTIVATIONS
from bert_serving.server.graph.export import GraphInfo, GraphSpec, export
from bert_serving.server.graph.files import weights_path, words_path
from bert_serving.server.graph.tf import tf, tf1
from bert_serving.server.model.folder import find_model
from bert_serving.server.model.pipeline import Dense
from bert_serving.server.options.engines import ONNX_RUNTIME, TENSORFLOW
from bert_serving.server.worker.published_tokenizer import PublishedTokenizer
from bert_serving.server.worker.rows import RowEncoder
from graph import reference
from graph.reference import PUBLISHED
from graph.test_published_graph import batch
from support.engines import open_graph

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')


def spec_of(name: str = 'bert-mean-norm', **options: Any) -> GraphSpec:
    model = find_model(str(PUBLISHED / name))
    layers = (model.config.num_hidden_layers - 1,)
    return GraphSpec(model, layers, pipeline=model.pipeline, on_cpu=True, engine=ONNX_RUNTIME, **options)


def load(info: GraphInfo, spec: GraphSpec) -> Any:
    encoder = open_graph(spec, info.path, threads=1, sha256=info.sha256)
    encoder.load()
    return encoder


def some_inputs() -> tuple[np.ndarray, ...]:
    return reference.random_inputs(5, 9)


@pytest.mark.parametrize(
    ('name', 'norms', 'gelus'),
    [('bert-mean-norm', 7, 3), ('modernbert-mean-prompts', 11, 5), ('ce-deberta-v2', 5, 2), ('albert-mean', 9, 4)],
)
def test_norms_and_activations_are_single_ops(name: str, norms: int, gelus: int) -> None:
    """However the builder writes them: an op that is not recognized costs time only, which no other test would see."""
    from bert_serving.server.graph.onnx.translating import translate

    graph, arrays = build_graph(spec_of(name))
    model, _ = translate(graph.as_graph_def(), arrays)
    counts = Counter(node.op_type for node in model.graph.node)
    assert counts['LayerNormalization'] == norms
    assert counts['Gelu'] + counts['FastGelu'] == gelus
    assert counts['Erf'] == counts['Reciprocal'] == 0


@pytest.mark.parametrize(
    ('name', 'products'), [('bert-mean-norm', 12), ('albert-mean', 16), ('nomic-bert-mean', 12), ('bert-lasttoken', 13)]
)
def test_with_int8_the_products_of_the_layers_multiply_bytes(name: str, products: int) -> None:
    """Those of BERT are four in a layer; a last layer of which one position is needed has five."""
    from bert_serving.server.graph.onnx.translating import translate

    graph, arrays = build_graph(spec_of(name))
    model, weights = translate(graph.as_graph_def(), arrays, int8=True)
    assert Counter(node.op_type for node in model.graph.node)['DynamicQuantizeMatMul'] == products
    assert not [name for name in weights if name.startswith('encoder/') and name.endswith('/kernel')]


def golden_texts() -> list[str]:
    """The texts of the golden cases of the default model; those that are tokens are joined."""
    paths = sorted((PUBLISHED.parents[1] / 'cases').glob('minilm*.json'))
    requests = [request for path in paths for request in json.loads(path.read_text('utf-8'))['requests']]
    texts = [text for request in requests for text in request['texts']]
    joined = [text if isinstance(text, str) else ' '.join(map(str, text)) for text in texts]
    return list(dict.fromkeys(text for text in joined if text.strip()))


@pytest.mark.parametrize('layer', [4, 5])
def test_the_cosine_of_int8_to_float32_is_at_least_0_985_for_every_golden_text(layer: int, tmp_path: Any) -> None:
    """Of the default model, of 1.10's layer and of the last, computed in batches of 32."""
    model = find_model(None)
    tokenizer = PublishedTokenizer(model.tokenizer_files.load(model.config.vocab_size), gives_types=True)
    encoder = RowEncoder(
        tokenizer, max_seq_len=25, max_position_embeddings=512, mask_cls_sep=False, no_special_token=False
    )
    rows = sorted((row.ids for row in encoder.encode(golden_texts()).rows), key=len)
    assert len(rows) >= 20
    answers = []
    for int8 in (False, True):
        spec = GraphSpec(model, (layer,), on_cpu=True, engine=ONNX_RUNTIME, int8=int8)
        graph = load(export(spec, str(tmp_path / ('graph-%d' % int8))), spec)
        assert ('compute=int8' in graph.describe()) is int8
        parts = [graph.encode(*batch(rows[start : start + 32])) for start in range(0, len(rows), 32)]
        answers.append(np.concatenate(parts))
    exact, close = answers
    cosines = (exact * close).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(close, axis=1)
    assert cosines.min() >= 0.985, cosines


def test_a_channel_that_a_norm_makes_0_is_quantized() -> None:
    from bert_serving.server.graph.onnx.quantizing import channel_sizes, quantize_by_channel

    sizes = channel_sizes(np.array([1, 0, 2], np.float32), None)
    assert np.isfinite(sizes).all()
    assert (sizes > 0).all()
    assert np.isfinite(channel_sizes(np.zeros(3, np.float32), np.zeros(3, np.float32))).all()
    kernel = np.array([[0, 1], [0, -0.5]], np.float32)
    quantized, scale = quantize_by_channel(kernel)
    assert np.abs(quantized * scale - kernel).max() < 1 / 127


def build_graph(spec: GraphSpec) -> tuple[Any, dict[str, np.ndarray]]:
    from bert_serving.server.graph import checkpoint
    from bert_serving.server.graph.constants import Constants
    from bert_serving.server.graph.export import build

    constants = Constants(checkpoint.load_variables(spec.model, spec.variable_shapes()), apart=True)
    graph, _, _ = build(spec, constants)
    return graph, constants.arrays


def test_files_can_be_renamed_together(tmp_path: Any) -> None:
    """A model names the file of its weights; what keeps exports for a later start gives them other names."""
    spec = spec_of()
    info = export(spec, str(tmp_path / 'graph'))
    assert info.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    expected = load(info, spec).encode(*some_inputs())
    for name in ('a', 'another name'):
        for path in (info.path, weights_path(info.path)):
            os.rename(path, path.replace(info.path, str(tmp_path / name)))
        info = replace(info, path=str(tmp_path / name))
        np.testing.assert_array_equal(load(info, spec).encode(*some_inputs()), expected)


def test_word_embeddings_are_in_a_mapped_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of()
    whole = load(export(spec, str(tmp_path / 'whole')), spec).encode(*some_inputs())
    monkeypatch.setattr(spec_module, 'LEAST_APART', 0)
    info = export(spec, str(tmp_path / 'apart'))
    assert os.path.exists(words_path(info.path))
    np.testing.assert_array_equal(load(info, spec).encode(*some_inputs()), whole)
    os.chmod(words_path(info.path), 0o622)
    with pytest.raises(StartError, match='can be changed by other users'):
        load(info, spec)


@pytest.mark.parametrize('change', ['graph', 'graph.weights'])
def test_files_that_others_can_change_are_not_loaded(change: str, tmp_path: Any) -> None:
    spec = spec_of()
    info = export(spec, str(tmp_path / 'graph'))
    for name in os.listdir(tmp_path):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    os.chmod(tmp_path / change, 0o622)
    with pytest.raises(StartError, match='can be changed by other users'):
        load(info, spec)


def test_a_model_that_was_changed_is_not_loaded(tmp_path: Any) -> None:
    spec = spec_of()
    info = export(spec, str(tmp_path / 'graph'))
    (tmp_path / 'graph').write_bytes(b'another')
    with pytest.raises(StartError, match='has changed since its export'):
        load(info, spec)
    with pytest.raises(StartError, match='ONNX Runtime cannot load'):
        open_graph(spec, info.path).load()


def test_a_file_that_cannot_be_written_leaves_none(tmp_path: Any) -> None:
    with pytest.raises(StartError, match='cannot be written'):
        export(spec_of(), str(tmp_path / 'missing' / 'graph'))
    assert os.listdir(tmp_path) == []


SCRIPT = """
import sys
import numpy as np
from bert_serving.server.graph.engines import import_engine
from bert_serving.server.worker import worker
encoder = import_engine('onnxruntime')(sys.argv[1], sha256=sys.argv[2], device=-1, threads=1, settings=None)
assert encoder.most_tokens == int(sys.argv[3]) and len(encoder.unusual_ids) > 3, (encoder.most_tokens)
assert not encoder.will_compile(1, 1) and 'engine=onnxruntime' in encoder.describe()
ones = np.ones((2, 3), np.int32)
assert np.isfinite(encoder.encode(ones, ones, 0 * ones, ones)).all()
print({name.split('.')[0] for name in sys.modules} & {'tensorflow', 'onnx', 'torch'})
"""


def test_a_worker_imports_neither_tensorflow_nor_onnx(tmp_path: Any) -> None:
    spec = spec_of('bert-concat-no-prompt')
    info = export(spec, str(tmp_path / 'graph'))
    words = [sys.executable, '-c', SCRIPT, info.path, info.sha256, str(spec.most_tokens)]
    process = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (process.stdout, process.returncode) == ('set()\n', 0), process.stderr


def test_an_encoder_has_to_be_loaded(tmp_path: Any) -> None:
    with pytest.raises(RuntimeError, match='not loaded'):
        open_graph(spec_of(), 'graph').encode(*some_inputs())


def test_an_op_without_counterpart_is_named() -> None:
    from bert_serving.server.graph.onnx.translating import translate

    with tf.Graph().as_default() as graph:
        tf.constant(1, name='most_tokens')
        tf.constant([1], name='unusual_ids')
        words = tf1.placeholder(tf.float32, (None, None, 2), 'input_words')
        tf.raw_ops.BesselI0e(x=words, name='final_encodes')
    with pytest.raises(InternalError, match=r'the op BesselI0e \(final_encodes\) has no counterpart in ONNX'):
        translate(graph.as_graph_def(), {})


def test_every_activation_of_a_dense_module_is_the_one_of_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model concatenates all of them, so that one export tests them all."""
    functions = list(ACTIVATIONS.values())
    monkeypatch.setitem(ACTIVATIONS, 'all', lambda x: tf.concat([function(x) for function in functions], 1))
    spec = spec_of()
    assert spec.pipeline is not None
    width, path = spec.model.config.hidden_size, str(tmp_path / 'model.safetensors')
    save_file({'linear.weight': 3 * np.eye(width, dtype=np.float32)}, path)
    spec = replace(spec, pipeline=replace(spec.pipeline, modules=(Dense(width, width, False, 'all', path),)))
    by_onnx, by_tensorflow = (
        load(export(each, str(tmp_path / each.engine)), each).encode(*some_inputs())
        for each in (spec, replace(spec, engine=TENSORFLOW))
    )
    assert by_onnx.shape[1] == width * len(functions)
    np.testing.assert_allclose(by_onnx, by_tensorflow, rtol=1e-4, atol=2e-5)
