"""Run an exported graph with ONNX Runtime: arrays of token ids in, arrays of vectors out.

A worker imports this instead of `graph/runtime.py`, and no TensorFlow. All it needs to know is stored in the model.
"""

from __future__ import annotations

import json
import logging
import os
from types import TracebackType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ...console.formatting import format_bytes
from ...console.logs import timed
from ...errors import StartError
from ..files import check_private, read_graph, weights_path, words_path
from ..names import COMPUTE_NAME, INPUT_NAMES, MOST_TOKENS_NAME, POOLING_MASK_NAME, UNUSUAL_IDS_NAME, WORDS_NAME
from ..words import Words
from .location import place

logger = logging.getLogger(__name__)

Array = NDArray[Any]

_ERRORS_ONLY = 3

_SPIN_US = '20'
"""Microseconds that a thread spins between two ops before it sleeps."""


class OnnxEncoder:
    """A model on the CPU. `load()` it, `encode()` with it, `close()` it; or use it in a `with` block.

    `threads` is the number of threads within an op; ops run one after another. With `sha256`, only the model with that
    digest is loaded, and only files that no other user can change.
    """

    def __init__(self, path: str, *, threads: int, sha256: str | None = None) -> None:
        self._path = path
        self._threads = threads
        self._sha256 = sha256
        self._session: Any = None
        self._inputs: list[str] = []
        self._words: Words | None = None
        self._facts: dict[str, Any] = {}

    def load(self) -> None:
        """Map the weights and run the model once.

        Raises:
            StartError: a file cannot be read, or is not the one that was exported.
        """
        weights = weights_path(self._path)
        content = place(read_graph(self._path, self._sha256), weights)
        if self._sha256 is not None:
            check_private(weights)
        try:
            self._session = onnxruntime.InferenceSession(content, self._options(), providers=['CPUExecutionProvider'])
        except Exception as error:  # of many types, which have only Exception in common
            raise StartError('ONNX Runtime cannot load %s: %s' % (self._path, error)) from error
        stored = self._session.get_modelmeta().custom_metadata_map
        self._facts = {name: json.loads(value) for name, value in stored.items()}
        inputs = {each.name: each.shape for each in self._session.get_inputs()}
        self._inputs = list(inputs)
        if WORDS_NAME in inputs:
            if self._sha256 is not None:
                check_private(words_path(self._path))
            self._words = Words(words_path(self._path), inputs[WORDS_NAME][2], np.float32)
        ones = np.ones((1, 1), np.int32)
        self.encode(ones, ones, np.zeros_like(ones))

    def _options(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # the exporter did it
        # The ops of a short batch follow each other sooner than a thread can sleep and wake up. A thread that spins for
        # longer occupies the core on which the worker's other thread tokenizes.
        options.add_session_config_entry('session.intra_op.allow_spinning', '1')
        options.add_session_config_entry('session.intra_op.spin_duration_us', _SPIN_US)
        options.add_session_config_entry('session.force_spinning_stop', '1')  # at the end of a batch
        # Smaller pieces of an op: a thread that has no core holds up the others for less long.
        options.add_session_config_entry('session.dynamic_block_base', '4')
        options.add_session_config_entry(
            'session.model_external_initializers_file_folder_path', os.path.dirname(os.path.abspath(self._path))
        )
        return options

    def encode(
        self, input_ids: Array, input_mask: Array, input_type_ids: Array, pooling_mask: Array | None = None
    ) -> Array:
        """Compute the vectors of a batch, [B, D] or [B, T, D], from int32 arrays [B, T].

        `pooling_mask` is 0 for tokens that take no part in pooling; only some models use it.
        """
        if self._session is None:
            raise RuntimeError('the model is not loaded')
        arrays = dict(zip(INPUT_NAMES, (input_ids, input_mask, input_type_ids), strict=True))
        if POOLING_MASK_NAME in self._inputs:
            arrays[POOLING_MASK_NAME] = np.ones_like(input_mask) if pooling_mask is None else pooling_mask
        if self._words is not None:
            arrays[WORDS_NAME] = self._words.of(input_ids)
        answer: Array = self._session.run(None, {name: arrays[name] for name in self._inputs})[0]
        return answer

    def will_compile(self, rows: int, width: int) -> bool:
        """Never: nothing depends on the shape of a batch."""
        del rows, width
        return False

    @property
    def unusual_ids(self) -> tuple[int, ...]:
        """The tokens with the largest embeddings, which overflow first if any do."""
        return tuple(self._facts.get(UNUSUAL_IDS_NAME, ()))

    @property
    def most_tokens(self) -> int | None:
        """The maximum length of a row in tokens; None if it is not bounded."""
        return self._facts.get(MOST_TOKENS_NAME) or None

    def describe(self) -> str:
        """The properties of the model, in one line for the log."""
        compute, release = self._facts.get(COMPUTE_NAME), onnxruntime.__version__
        return 'compute=%s engine=onnxruntime-%s threads=%d' % (compute, release, self._threads)

    def close(self) -> None:
        self._session = self._words = None

    def __enter__(self) -> OnnxEncoder:
        self.load()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def load_graph(path: str, *, sha256: str, device: int, threads: int, settings: object) -> OnnxEncoder:
    """Load the model in the file `path`, and log each step. It runs on the CPU: `device` is ignored.

    Raises:
        StartError: the file cannot be read, or is not the one with the digest `sha256`.
    """
    del device, settings
    encoder = OnnxEncoder(path, threads=threads, sha256=sha256)
    with timed(logger, 'load graph and run it once', size=format_bytes(os.path.getsize(weights_path(path)))):
        encoder.load()
    logger.info('graph: %s', encoder.describe())
    return encoder
