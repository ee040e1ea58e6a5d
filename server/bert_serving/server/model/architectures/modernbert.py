"""ModernBERT: norms before each half of a layer, rotary positions, windows, and gated feed-forward layers.

A config of transformers 5 has the kind of each layer and the rotary positions of each kind. Older ones, which most
models on the hub have, number the global layers and have two keys for the bases.
"""

from __future__ import annotations

from ..config import Biases, Classifier, EncoderConfig, Rotary
from .base import MOST_LAYERS, Architecture, ConfigFile, packed
from .rope import rotary_of

GLOBAL, LOCAL = 'full_attention', 'sliding_attention'


def read(file: ConfigFile) -> EncoderConfig:
    layers = file.dimension('num_hidden_layers', most=MOST_LAYERS)
    attention_bias, mlp_bias = file.flag('attention_bias', default=False), file.flag('mlp_bias', default=False)
    norm_bias = file.flag('norm_bias', default=False)
    window = file.dimension('local_attention', default=128) // 2
    return file.encoder(
        model_type='modernbert',
        num_hidden_layers=layers,
        **file.dimensions(
            vocab_size='vocab_size',
            hidden_size='hidden_size',
            num_attention_heads='num_attention_heads',
            intermediate_size='intermediate_size',
            max_position_embeddings='max_position_embeddings',
        ),
        type_vocab_size=0,
        hidden_act=file.activation('hidden_activation', default='gelu'),
        layer_norm_eps=file.number('norm_eps', default=1e-5),
        pad_id=file.dimension('pad_token_id', default=50283, least=0),
        has_position_embeddings=False,
        has_pooler=False,
        pre_norm=True,
        gated=True,
        biases=Biases(attention_bias, attention_bias, mlp_bias, mlp_bias, norm_bias),
        rotary=_rotary(file, GLOBAL, 'global_rope_theta', 160_000.0),
        local_rotary=_rotary(file, LOCAL, 'local_rope_theta', 10_000.0),
        windows=tuple(window if kind == LOCAL else 0 for kind in _kinds(file, layers)),
        classifier=Classifier(
            scope='head',
            activation=file.activation('classifier_activation', default='gelu'),
            has_bias=file.flag('classifier_bias', default=False),
            has_norm=True,
            pooling='mean' if file.choice('classifier_pooling', ('cls', 'mean'), default='cls') == 'mean' else 'cls',
        ),
        head=file.head(),
    )


def _kinds(file: ConfigFile, layers: int) -> list[str]:
    """The kind of each layer."""
    if not file.has('layer_types'):
        every = file.dimension('global_attn_every_n_layers', default=3)
        return [LOCAL if index % every else GLOBAL for index in range(layers)]
    kinds = file.values['layer_types']
    if not isinstance(kinds, list) or len(kinds) != layers or not all(kind in (GLOBAL, LOCAL) for kind in kinds):
        raise file.refusal('layer_types', '%s or %s for each of the %d layers' % (GLOBAL, LOCAL, layers), kinds)
    return kinds


def _rotary(file: ConfigFile, kind: str, key: str, base: float) -> Rotary:
    file.only('rope_scaling', None)
    by_kind = file.section('rope_parameters')
    parameters = by_kind.section(kind) if by_kind else None
    base = file.number(key, default=base)
    return Rotary(base) if parameters is None else rotary_of(parameters, base)


ARCHITECTURE = Architecture(
    model_types=('modernbert',),
    read=read,
    prefixes=('model.', ''),
    scopes={
        'embeddings/word_embeddings': 'embeddings.tok_embeddings',
        'embeddings/LayerNorm': 'embeddings.norm',
        **packed(['layer/attention/self/' + part for part in ('query', 'key', 'value')], 'layers.{}.attn.Wqkv'),
        'layer/attention/output/dense': 'layers.{}.attn.Wo',
        'layer/attention/output/LayerNorm': 'layers.{}.attn_norm',
        **packed(['layer/intermediate/dense', 'layer/intermediate/gate'], 'layers.{}.mlp.Wi'),
        'layer/output/dense': 'layers.{}.mlp.Wo',
        'layer/output/LayerNorm': 'layers.{}.mlp_norm',
        'encoder/LayerNorm': 'final_norm',
    },
    heads={'head/dense': 'head.dense', 'head/LayerNorm': 'head.norm', 'output': 'classifier'},
)
