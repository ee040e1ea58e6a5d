"""ALBERT: a BERT whose embeddings are narrower than its states, and whose layers share their weights."""

from __future__ import annotations

from dataclasses import replace

from ..config import EncoderConfig
from . import bert
from .base import MOST_LAYERS, Architecture, ConfigFile

LAYER = 'encoder.albert_layer_groups.{}.albert_layers.0.'


def read(file: ConfigFile) -> EncoderConfig:
    file.only('inner_group_num', 1, default=1)
    config = bert.read(file)
    return replace(
        config,
        model_type='albert',
        embedding_size=file.dimension('embedding_size', default=128),
        layer_groups=file.dimension('num_hidden_groups', default=1, most=min(MOST_LAYERS, config.num_hidden_layers)),
    )


ARCHITECTURE = Architecture(
    model_types=('albert',),
    read=read,
    prefixes=('albert.', ''),
    scopes={
        'embeddings/projection': 'encoder.embedding_hidden_mapping_in',
        'layer/attention/self/query': LAYER + 'attention.query',
        'layer/attention/self/key': LAYER + 'attention.key',
        'layer/attention/self/value': LAYER + 'attention.value',
        'layer/attention/output/dense': LAYER + 'attention.dense',
        'layer/attention/output/LayerNorm': LAYER + 'attention.LayerNorm',
        'layer/intermediate/dense': LAYER + 'ffn',
        'layer/output/dense': LAYER + 'ffn_output',
        'layer/output/LayerNorm': LAYER + 'full_layer_layer_norm',
        'pooler/dense': 'pooler',
    },
    heads={'output': 'classifier'},
)
