"""Run a peer in the interpreter that has it. A script that imports nothing of bert-serving.

Usage:
    runner.py find MODULE...     print the modules that can be imported, with their versions, as JSON
    runner.py isa MODULE         print which units of the processor tensorflow or torch uses
    runner.py infinity ARG...    run Infinity's command
    runner.py peer               load and run a library, as requests on standard input say

Requests and replies of `peer` are lines of JSON. A request has `do`: `load`, `encode` or `run`. A reply with `error`
says why the request failed.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import importlib
import importlib.metadata
import importlib.util
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

Texts = Sequence[str]
Encode = Callable[[Texts], Any]

PR_SET_PDEATHSIG = 1


def find(names: Sequence[str]) -> dict[str, str]:
    """The modules of `names` that can be imported, and the versions of their distributions or ''."""
    found = {}
    distributions = importlib.metadata.packages_distributions()
    for name in names:
        try:
            present = importlib.util.find_spec(name) is not None
        except (ImportError, ValueError):
            present = False
        if present:
            found[name] = version_of(name, distributions)
    return found


def version_of(module: str, distributions: Any) -> str:
    wanted = module.replace('.', '-').replace('optimum-onnxruntime', 'optimum-onnx')
    candidates = [wanted, *distributions.get(module.partition('.')[0], [])]
    for name in candidates:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return ''


def show_isa(module: str) -> None:
    """Print the units that a module uses. For TensorFlow, oneDNN prints them when it multiplies matrices."""
    os.environ.setdefault('CUDA_VISIBLE_DEVICES', '-1')
    os.environ['ONEDNN_VERBOSE'] = '1'
    engine = importlib.import_module(module)
    if module == 'tensorflow':
        ones = engine.ones((64, 64))
        engine.function(lambda x: engine.nn.bias_add(engine.matmul(x, x), engine.zeros(64)))(ones)
    else:
        print('torch,capability:%s' % engine.backends.cpu.get_cpu_capability())


class Loaded:
    """A loaded peer. `unit` is its report about the units that it uses, or empty."""

    def __init__(self, encode: Encode, unit: str = '') -> None:
        self.encode = encode
        self.unit = unit


def sentence_transformer(folder: str, **options: Any) -> Any:
    library = importlib.import_module('sentence_transformers')
    return library.SentenceTransformer(folder, device='cpu', **options)


def encoder_of(model: Any) -> Encode:
    return lambda texts: model.encode(list(texts), show_progress_bar=False)


def load_torch(request: dict[str, Any]) -> Loaded:
    model = sentence_transformer(request['folder'])
    unit = ''
    with contextlib.suppress(ImportError, AttributeError):
        torch = importlib.import_module('torch')
        unit = '%s, says torch' % torch.backends.cpu.get_cpu_capability()
    if request['int8']:
        torch = importlib.import_module('torch')
        quantization = importlib.import_module('torch.ao.quantization')
        model = quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
        unit = '%s engine, %s' % (torch.backends.quantized.engine, unit)
    return Loaded(encoder_of(model), unit)


def exporter(name: str) -> Any:
    """A function of sentence-transformers, which is in one of two places, depending on the release."""
    library = importlib.import_module('sentence_transformers')
    return getattr(library, name, None) or getattr(importlib.import_module('sentence_transformers.backend'), name)


def exported(request: dict[str, Any], backend: str) -> str:
    """Export the model once; return the folder of the export."""
    folder = os.path.join(request['work'], backend)
    if not os.path.isdir(folder):
        model = sentence_transformer(request['folder'], backend=backend)
        model.save_pretrained(folder + '.part')
        os.rename(folder + '.part', folder)
    return folder


def load_onnx(request: dict[str, Any]) -> Loaded:
    folder = exported(request, 'onnx')
    options = {'provider': 'CPUExecutionProvider', 'file_name': 'onnx/model.onnx'}
    if request['int8']:
        model = sentence_transformer(folder, backend='onnx', model_kwargs=options)
        exporter('export_dynamic_quantized_onnx_model')(model, request['quantization'], folder)
        (name,) = [name for name in os.listdir(os.path.join(folder, 'onnx')) if 'int8' in name]
        options['file_name'] = 'onnx/' + name
    return Loaded(encoder_of(sentence_transformer(folder, backend='onnx', model_kwargs=options)))


def load_openvino(request: dict[str, Any]) -> Loaded:
    folder = exported(request, 'openvino')
    options = {}
    if request['int8']:
        options['file_name'] = 'openvino/' + quantize_openvino(folder, request)
    model = sentence_transformer(folder, backend='openvino', model_kwargs=options)
    encode = encoder_of(model)
    encode(request['texts'][:1])
    return Loaded(encode, unit_of_openvino(model))


def quantize_openvino(folder: str, request: dict[str, Any]) -> str:
    """Calibrate with the texts of the benchmark; return the name of the file."""
    optimum = importlib.import_module('optimum.intel')
    data = os.path.join(request['work'], 'calibration')
    os.makedirs(data, exist_ok=True)
    with open(os.path.join(data, 'train.jsonl'), 'w', encoding='utf-8') as file:
        file.writelines(json.dumps({'text': text}) + '\n' for text in request['texts'])
    config = optimum.OVQuantizationConfig(num_samples=len(request['texts']))
    model = sentence_transformer(folder, backend='openvino')
    exporter('export_static_quantized_openvino_model')(
        model,
        config,
        folder,
        dataset_name=data,
        dataset_config_name='default',
        dataset_split='train',
        column_name='text',
    )
    names = os.listdir(os.path.join(folder, 'openvino'))
    return next(name for name in names if 'int8' in name and name.endswith('.xml'))


def unit_of_openvino(model: Any) -> str:
    """The most frequent kernel of the matrix products of the compiled model, such as `brgemm_avx2_f32`."""
    try:
        request = model[0].auto_model.request
        compiled = request if hasattr(request, 'get_runtime_model') else request.get_compiled_model()
        kernels: dict[str, int] = {}
        for op in compiled.get_runtime_model().get_ordered_ops():
            info = op.get_rt_info()
            layer = info['layerType'].astype(str)
            if layer in ('FullyConnected', 'MatMul', 'Convolution'):
                kernel = info['primitiveType'].astype(str)
                kernels[kernel] = kernels.get(kernel, 0) + 1
        return '%s, says OpenVINO' % max(kernels, key=lambda kernel: kernels[kernel])
    except Exception:  # releases of both libraries name these attributes differently
        openvino = importlib.import_module('openvino')
        abilities = openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
        return 'capabilities %s, says OpenVINO' % '/'.join(abilities)


def load_fastembed(request: dict[str, Any]) -> Loaded:
    """Load the ONNX model in the folder, or the one that the peer `onnx` has exported, with fastembed's pooling."""
    library = importlib.import_module('fastembed')
    description = importlib.import_module('fastembed.common.model_description')
    kinds = {'cls': description.PoolingType.CLS, 'mean': description.PoolingType.MEAN}
    if request['pooling'] not in kinds:
        raise RuntimeError('it pools by cls or mean, and this model by %s' % request['pooling'])
    folder = request['folder']
    if not os.path.exists(os.path.join(folder, 'onnx', 'model.onnx')):
        folder = os.path.join(request['work'], 'onnx')
    if not os.path.exists(os.path.join(folder, 'onnx', 'model.onnx')):
        raise RuntimeError("there is no onnx/model.onnx: also install 'sentence-transformers[onnx]', which makes it")
    about = {'tokenizer_config.json': os.path.join(request['folder'], 'tokenizer_config.json')}
    for name in ('config.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json'):
        path = about.get(name, os.path.join(request['folder'], name))
        link = os.path.join(request['work'], 'fastembed', name)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        if os.path.exists(path):
            os.symlink(os.path.realpath(path), link)
    os.symlink(os.path.join(folder, 'onnx'), os.path.join(request['work'], 'fastembed', 'onnx'))
    library.TextEmbedding.add_custom_model(
        model='benchmark/model',
        pooling=kinds[request['pooling']],
        normalization=request['normalizes'],
        sources=description.ModelSource(hf='benchmark/model'),
        dim=request['dimensions'],
        model_file='onnx/model.onnx',
    )
    model = library.TextEmbedding('benchmark/model', specific_model_path=os.path.join(request['work'], 'fastembed'))
    return Loaded(lambda texts: list(model.embed(list(texts))))


LOADERS = {'torch': load_torch, 'onnx': load_onnx, 'openvino': load_openvino, 'fastembed': load_fastembed}


def run(encode: Encode, request: dict[str, Any]) -> dict[str, Any]:
    """Encode the texts as the clients of a load do. Several clients are threads that take turns.

    The libraries have no queue that batches requests across threads, and threads cannot share their tokenizers.
    """
    texts, clients, rows = request['texts'], request['clients'], request['batch_rows']
    share = len(texts) // clients
    lock = threading.Lock()
    start = threading.Barrier(clients + 1)

    def send(own: Texts) -> list[float]:
        start.wait()
        latencies = []
        for first in range(0, len(own), rows):
            sent = time.perf_counter()
            with lock:
                encode(own[first : first + rows])
            latencies.append(time.perf_counter() - sent)
        return latencies

    with ThreadPoolExecutor(clients) as threads:
        futures = [threads.submit(send, texts[number * share : (number + 1) * share]) for number in range(clients)]
        start.wait()
        started = time.perf_counter()
        latencies = [latency for future in futures for latency in future.result()]
        return {'seconds': time.perf_counter() - started, 'latencies': latencies}


def answer(request: dict[str, Any], loaded: list[Loaded]) -> dict[str, Any]:
    if request['do'] == 'load':
        loaded[:] = [LOADERS[request['loader']](request)]
        return {'unit': loaded[0].unit}
    if not loaded:
        raise RuntimeError('nothing is loaded')
    encode = loaded[0].encode
    if request['do'] == 'run':
        return run(encode, request)
    numpy = importlib.import_module('numpy')
    vectors = numpy.asarray(encode(request['texts']), numpy.float32)
    return {'shape': vectors.shape, 'vectors': base64.b64encode(vectors.tobytes()).decode('ascii')}


def serve(requests: TextIO, replies: TextIO) -> None:
    loaded: list[Loaded] = []
    for line in requests:
        try:
            reply = answer(json.loads(line), loaded)
        except Exception as error:
            importlib.import_module('traceback').print_exc()
            words = ' '.join(str(error).split())
            reply = {'error': '%s: %s' % (type(error).__name__, words[:300])}
        replies.write(json.dumps(reply) + '\n')
        replies.flush()


def main(command: str, arguments: list[str]) -> None:
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if path != folder]  # whose modules must not hide packages of the peers
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if command == 'find':
        print(json.dumps(find(arguments)))
    elif command == 'isa':
        show_isa(arguments[0])
    elif command == 'infinity':
        sys.argv = ['infinity_emb', *arguments]
        importlib.import_module('infinity_emb.cli').cli()
    else:
        replies = os.fdopen(os.dup(1), 'w', encoding='utf-8')
        os.dup2(2, 1)  # because libraries print to standard output
        serve(sys.stdin, replies)


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:])
