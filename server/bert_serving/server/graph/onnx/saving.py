"""Save a graph for ONNX Runtime: translated, optimized for this processor, with weights that workers map.

ONNX Runtime optimizes the model here, once, and writes the weights in the layout of its kernels. A worker then neither
optimizes nor copies: it maps the file of weights, whose pages all workers share.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from ...console.formatting import format_bytes
from ...console.logs import timed
from ...console.progress import OnProgress
from ...errors import ModelError, StartError
from ..files import digest_of, unfinished_path, weights_path, write_graph
from .location import ANYWHERE
from .translating import LEAST_APART, translate

logger = logging.getLogger(__name__)

_SYSTEM_ERROR = re.compile(r'SystemError : (\d+)')
"""The number of the error in the message of ONNX Runtime about a file that it cannot write."""

ERRORS_ONLY = 3
"""ONNX Runtime's level of log messages."""


def save(
    graph: Any, arrays: dict[str, NDArray[Any]], path: str, on_progress: OnProgress, *, int8: bool
) -> tuple[int, str]:
    """Write `graph` to `path` and its weights next to it; return the size of both files and the digest of the first.

    `arrays` has the values of its placeholders, and is empty afterwards.

    Raises:
        ModelError: ONNX Runtime does not take the model.
        StartError: a file cannot be written.
    """
    with timed(logger, 'translate to ONNX') as facts:
        on_progress('translate the graph', 0, 0)
        model, weights = translate(graph.as_graph_def(), arrays, int8=int8)
        arrays.clear()
        facts['nodes'] = len(model.graph.node)
    unfinished, unfinished_weights = unfinished_path(path), unfinished_path(weights_path(path))
    try:
        with timed(logger, 'optimize with ONNX Runtime and write weights to: %s' % weights_path(path)) as facts:
            on_progress('optimize the graph', 0, 0)
            _optimize(model, weights, unfinished, os.path.basename(unfinished_weights))
            if not os.path.exists(unfinished_weights):  # a tiny model has no weights that are large
                open(unfinished_weights, 'xb').close()
            size = os.path.getsize(unfinished_weights)
            facts['size'] = format_bytes(size)
        content = _without_place(unfinished, model)
        os.chmod(unfinished_weights, 0o600)
        os.unlink(unfinished)
        write_graph(path, [content], len(content))
        os.replace(unfinished_weights, weights_path(path))
    except OSError as error:
        raise StartError('the graph cannot be written to %s: %s' % (path, error.strerror)) from error
    finally:
        for left in (unfinished, unfinished_weights):
            with suppress(FileNotFoundError):
                os.unlink(left)
    return size + len(content), digest_of([content])


def _optimize(model: onnx.ModelProto, weights: Mapping[str, NDArray[Any]], path: str, weights_name: str) -> None:
    """Write the optimized model to `path` and its weights to the file `weights_name` next to it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = path
    options.add_session_config_entry('session.optimized_model_external_initializers_file_name', weights_name)
    options.add_session_config_entry(
        'session.optimized_model_external_initializers_min_size_in_bytes', str(LEAST_APART)
    )
    options.add_session_config_entry('session.save_external_prepacked_constant_initializers', '1')
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)) for array in weights.values()]
    options.add_external_initializers(list(weights), values)
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])
    except Exception as error:  # of many types, which have only Exception in common
        system = _SYSTEM_ERROR.search(str(error))
        if system:
            raise OSError(int(system[1]), os.strerror(int(system[1]))) from error
        raise ModelError('ONNX Runtime cannot run the graph of this model: %s' % error) from error


def _without_place(path: str, source: onnx.ModelProto) -> bytes:
    """The model in the file `path`, with the place of its weights left open and the facts of `source`."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == 'location':
                entry.value = ANYWHERE
    del model.metadata_props[:]
    model.metadata_props.extend(source.metadata_props)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
