"""MPNet: a RoBERTa without segment types, and with a bias by distance that all layers share."""

from __future__ import annotations

from ..config import EncoderConfig, RelativeBias
from .base import Architecture, ConfigFile
from .bert import read_shape
from .roberta import CLASSIFIER

PAD_ID = 1  # whatever the config says


def read(file: ConfigFile) -> EncoderConfig:
    shape = read_shape(file)
    rows = file.dimension('max_position_embeddings', least=PAD_ID + 2)
    file.only('relative_attention_num_buckets', 32, default=32)  # the only number that the reference computes with
    return file.encoder(
        **{**shape, 'max_position_embeddings': rows - PAD_ID - 1},
        model_type='mpnet',
        type_vocab_size=0,
        layer_norm_eps=file.number('layer_norm_eps', default=1e-12),
        pad_id=PAD_ID,
        first_position=PAD_ID + 1,
        relative_bias=RelativeBias(32),
        classifier=CLASSIFIER,
        head=file.head(),
    )


ARCHITECTURE = Architecture(
    model_types=('mpnet',),
    read=read,
    prefixes=('mpnet.', ''),
    scopes={
        'layer/attention/self/query': 'encoder.layer.{}.attention.attn.q',
        'layer/attention/self/key': 'encoder.layer.{}.attention.attn.k',
        'layer/attention/self/value': 'encoder.layer.{}.attention.attn.v',
        'layer/attention/output/dense': 'encoder.layer.{}.attention.attn.o',
        'layer/attention/output/LayerNorm': 'encoder.layer.{}.attention.LayerNorm',
    },
    heads={'head/dense': 'classifier.dense', 'output': 'classifier.out_proj'},
)
