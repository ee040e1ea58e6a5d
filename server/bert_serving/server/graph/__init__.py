"""The TensorFlow side of the server: BERT with pooling, exported once and run by each worker.

Only `tf.py` imports TensorFlow, and only the exporter and the workers import the modules here. This package itself
stays light, because `from bert_serving.server.graph import PoolingStrategy` has been a public import since 1.10.
"""

from __future__ import annotations

from ..model.pooling import PoolingStrategy

__all__ = ['PoolingStrategy']
