"""ELECTRA: a BERT whose embeddings can be narrower than its states, and no pooler."""

from __future__ import annotations

from dataclasses import replace

from ..config import Classifier, EncoderConfig
from . import bert
from .base import Architecture, ConfigFile


def read(file: ConfigFile) -> EncoderConfig:
    config = bert.read(file)
    embedding_size = file.dimension('embedding_size', default=128)
    return replace(
        config,
        model_type='electra',
        embedding_size=None if embedding_size == config.hidden_size else embedding_size,
        has_pooler=False,
        classifier=Classifier(scope='head', activation='gelu'),
    )


ARCHITECTURE = Architecture(
    model_types=('electra',),
    read=read,
    prefixes=('electra.', ''),
    scopes={'embeddings/projection': 'embeddings_project'},
    heads={'head/dense': 'classifier.dense', 'output': 'classifier.out_proj'},
)
