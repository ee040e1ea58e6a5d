"""GTE (on the hub also called `new`): a BERT with rotary positions and gated feed-forward layers."""

from __future__ import annotations

from ..config import Biases, EncoderConfig, Rotary
from .base import Architecture, ConfigFile, Spelling, packed
from .bert import read_shape
from .rope import read_rotary

BASES = {'gte': 160_000.0, 'new': 10_000.0}

QKV = ['layer/attention/self/' + part for part in ('query', 'key', 'value')]


def read(file: ConfigFile) -> EncoderConfig:
    shape = read_shape(file)
    file.only('position_embedding_type', 'rope', default='rope')
    file.only('layer_norm_type', 'layer_norm', default='layer_norm')
    file.only('logn_attention_scale', False, default=False)
    file.only('is_decoder', False, default=False)
    head_size = shape['hidden_size'] // shape['num_attention_heads']
    return file.encoder(
        **shape,
        model_type=str(file.values['model_type']),
        type_vocab_size=file.dimension('type_vocab_size', default=1, least=0),
        layer_norm_eps=file.number('layer_norm_eps', default=1e-12),
        pad_id=file.dimension('pad_token_id', default=0, least=0),
        has_position_embeddings=False,
        gated=True,
        biases=Biases(feed_forward_in=False),
        rotary=_rotary(file, head_size),
        head=file.head(),
    )


def _rotary(file: ConfigFile, head_size: int) -> Rotary:
    """Rotary positions, possibly stretched by `ntk`: with a greater base, and all angles a little smaller."""
    default = BASES[str(file.values['model_type'])]
    scaling = file.section('rope_scaling')
    if scaling is None or 'ntk' not in (scaling.values.get('rope_type'), scaling.values.get('type')):
        return read_rotary(file, default)
    scaling.only('mixed_b', None)
    base = (file.section('rope_parameters') or file).number('rope_theta', default=default)
    factor = scaling.number('factor', default=1.0)
    return Rotary(base * factor, factor ** (2 / head_size))


def _either(*tables: dict[str, Spelling]) -> dict[str, list[Spelling]]:
    """Scopes that are stored in one of several forms."""
    return {scope: [table[scope] for table in tables if scope in table] for table in tables for scope in table}


ARCHITECTURE = Architecture(
    model_types=('gte', 'new'),
    read=read,
    prefixes=('new.', 'gte.', ''),
    scopes=_either(
        {
            **packed(QKV, 'encoder.layer.{}.attention.qkv_proj'),
            'layer/attention/output/dense': 'encoder.layer.{}.attention.o_proj',
            'layer/attention/output/LayerNorm': 'encoder.layer.{}.attn_ln',
            **packed(['layer/intermediate/gate', 'layer/intermediate/dense'], 'encoder.layer.{}.mlp.up_gate_proj'),
            'layer/output/dense': 'encoder.layer.{}.mlp.down_proj',
            'layer/output/LayerNorm': 'encoder.layer.{}.mlp_ln',
        },
        {scope: 'encoder.layer.{}.attention.%s_proj' % part for scope, part in zip(QKV, 'qkv', strict=True)},
    ),
    heads={'output': 'classifier'},
)
