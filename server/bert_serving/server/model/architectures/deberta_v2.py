"""DeBERTa v2 and v3: a BERT whose scores are sums over contents and relative positions."""

from __future__ import annotations

from ..config import Classifier, Disentangled, EncoderConfig
from .base import Architecture, ConfigFile
from .bert import read_shape


def read(file: ConfigFile) -> EncoderConfig:
    shape = read_shape(file)
    file.only('relative_attention', True, default=False)
    hidden_size, head_size = shape['hidden_size'], shape['hidden_size'] // shape['num_attention_heads']
    for key, usual in (
        ('embedding_size', hidden_size),
        ('pooler_hidden_size', hidden_size),
        ('attention_head_size', head_size),
        ('conv_kernel_size', 0),
    ):
        file.only(key, usual, default=usual)
    return file.encoder(
        **shape,
        model_type='deberta-v2',
        type_vocab_size=file.dimension('type_vocab_size', default=0, least=0),
        layer_norm_eps=file.number('layer_norm_eps', default=1e-7),
        pad_id=file.dimension('pad_token_id', default=0, least=0),
        has_position_embeddings=file.flag('position_biased_input', default=True),
        has_pooler=False,
        disentangled=_disentangled(file, shape['max_position_embeddings']),
        classifier=Classifier(activation=file.activation('pooler_hidden_act', default='gelu')),
        head=file.head(),
    )


def _disentangled(file: ConfigFile, positions: int) -> Disentangled:
    asked = file.values.get('pos_att_type') or []
    kinds = [kind.strip() for kind in asked.lower().split('|')] if isinstance(asked, str) else asked
    if not isinstance(kinds, list) or not set(map(str, kinds)) <= {'c2p', 'p2c'}:
        raise file.refusal('pos_att_type', 'a list of c2p and p2c', asked)
    norm = file.values.get('norm_rel_ebd') or 'none'
    if norm not in ('none', 'layer_norm'):
        raise file.refusal('norm_rel_ebd', 'none or layer_norm', norm)
    if file.values.get('position_buckets') == 1:
        raise file.refusal('position_buckets', 'at least 2, or -1 for none', 1)
    return Disentangled(
        span=_or_if_not_positive(
            file, 'position_buckets', _or_if_not_positive(file, 'max_relative_positions', positions)
        ),
        max_distance=_or_if_not_positive(file, 'max_relative_positions', positions),
        has_buckets=_or_if_not_positive(file, 'position_buckets', 0) > 0,
        content_to_position='c2p' in kinds,
        position_to_content='p2c' in kinds,
        shares_projections=file.flag('share_att_key', default=False),
        has_norm=norm == 'layer_norm',
    )


def _or_if_not_positive(file: ConfigFile, key: str, otherwise: int) -> int:
    """The number under `key`, or `otherwise` if it is missing or below 1. Published configs use -1 for that."""
    value = file.dimension(key, default=-1, least=-1)
    return value if value > 0 else otherwise


ARCHITECTURE = Architecture(
    model_types=('deberta-v2',),
    read=read,
    prefixes=('deberta.', ''),
    scopes={
        'layer/attention/self/query': 'encoder.layer.{}.attention.self.query_proj',
        'layer/attention/self/key': 'encoder.layer.{}.attention.self.key_proj',
        'layer/attention/self/value': 'encoder.layer.{}.attention.self.value_proj',
        'layer/attention/self/position_key': 'encoder.layer.{}.attention.self.pos_key_proj',
        'layer/attention/self/position_query': 'encoder.layer.{}.attention.self.pos_query_proj',
        'encoder/relative_embeddings': 'encoder.rel_embeddings',
        'encoder/relative_embeddings/LayerNorm': 'encoder.LayerNorm',
    },
    heads={'pooler/dense': 'pooler.dense', 'output': 'classifier'},
)
