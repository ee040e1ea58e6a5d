"""Nomic BERT: a BERT with rotary positions, gated feed-forward layers, and hardly any biases.

Its configs on the hub have the keys of GPT-2 and many options that no published model uses; transformers 5 writes the
keys of BERT.
"""

from __future__ import annotations

from typing import Any

from ..config import Biases, EncoderConfig, Rotary
from .base import MOST_LAYERS, Architecture, ConfigFile, packed
from .bert import read_shape
from .rope import read_rotary

GATED = {'swiglu': 'silu', 'geglu': 'gelu', 'glu': 'sigmoid'}

ONLY = {
    'prenorm': False,
    'parallel_block': False,
    'causal': False,
    'use_rms_norm': False,
    'rotary_emb_fraction': 1.0,
    'rotary_emb_interleaved': False,
    'rotary_emb_scale_base': None,
    'scale_attn_weights': True,
    'scale_attn_by_inverse_layer_idx': False,
}
"""Keys of configs on the hub that change the result, each with its only supported value."""


def read(file: ConfigFile) -> EncoderConfig:
    shape = _read_hub(file) if file.has('n_embd') else _read_transformers(file)
    return file.encoder(
        **shape,
        model_type='nomic_bert',
        type_vocab_size=file.dimension('type_vocab_size', default=2, least=0),
        pad_id=file.dimension('pad_token_id', default=0, least=0),
        has_position_embeddings=False,
        gated=True,
        head=file.head(),
    )


def _read_transformers(file: ConfigFile) -> dict[str, Any]:
    shape = read_shape(file)
    head_size = shape['hidden_size'] // shape['num_attention_heads']
    file.only('head_dim', head_size, default=head_size)
    return {
        **shape,
        'layer_norm_eps': file.number('layer_norm_eps', default=1e-12),
        'biases': Biases(False, False, False, False),
        'rotary': read_rotary(file, 1000.0),
    }


def _read_hub(file: ConfigFile) -> dict[str, Any]:
    for key, value in ONLY.items():
        file.only(key, value, default=value)
    if file.dimension('moe_every_n_layers', default=0, least=-1) > 0:
        raise file.refusal(
            'moe_every_n_layers', '0, as mixtures of experts are not served', file.values['moe_every_n_layers']
        )
    hidden_size = file.dimension('n_embd')
    positions = file.dimension('n_positions', default=2048)
    if file.has('rotary_scaling_factor'):
        # For longer rows, the angles depend on the longest row of the batch.
        positions = min(positions, file.dimension('max_trained_positions', default=positions))
    attention_bias = file.flag('qkv_proj_bias', default=True)
    multiple = file.dimension('pad_vocab_size_multiple', default=1)
    return {
        'vocab_size': -(-file.dimension('vocab_size') // multiple) * multiple,
        'hidden_size': hidden_size,
        'num_hidden_layers': file.dimension('n_layer', most=MOST_LAYERS),
        'num_attention_heads': file.dimension('n_head'),
        'intermediate_size': file.dimension('n_inner', default=4 * hidden_size),
        'max_position_embeddings': positions,
        'hidden_act': GATED[file.choice('activation_function', sorted(GATED), default='swiglu')],
        'layer_norm_eps': file.number('layer_norm_epsilon', default=1e-5),
        'biases': Biases(
            attention_in=attention_bias,
            attention_out=attention_bias,
            feed_forward_in=file.flag('mlp_fc1_bias', default=True),
            feed_forward_out=file.flag('mlp_fc2_bias', default=True),
        ),
        'rotary': Rotary(file.number('rotary_emb_base', default=10_000.0)),
    }


ARCHITECTURE = Architecture(
    model_types=('nomic_bert',),
    read=read,
    prefixes=('nomic_bert.', 'bert.', ''),
    scopes={
        'embeddings/LayerNorm': 'emb_ln',
        **packed(['layer/attention/self/' + part for part in ('query', 'key', 'value')], 'encoder.layers.{}.attn.Wqkv'),
        'layer/attention/output/dense': 'encoder.layers.{}.attn.out_proj',
        'layer/attention/output/LayerNorm': 'encoder.layers.{}.norm1',
        'layer/intermediate/gate': 'encoder.layers.{}.mlp.fc11',
        'layer/intermediate/dense': 'encoder.layers.{}.mlp.fc12',
        'layer/output/dense': 'encoder.layers.{}.mlp.fc2',
        'layer/output/LayerNorm': 'encoder.layers.{}.norm2',
    },
    heads={'output': 'classifier'},
)
