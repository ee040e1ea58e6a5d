"""DistilBERT: a BERT without segment types and pooler, with its own names for keys and weights."""

from __future__ import annotations

from ..config import Classifier, EncoderConfig
from .base import MOST_LAYERS, Architecture, ConfigFile

LAYER = 'transformer.layer.{}.'


def read(file: ConfigFile) -> EncoderConfig:
    return file.encoder(
        model_type='distilbert',
        num_hidden_layers=file.dimension('n_layers', most=MOST_LAYERS),
        **file.dimensions(
            vocab_size='vocab_size',
            hidden_size='dim',
            num_attention_heads='n_heads',
            intermediate_size='hidden_dim',
            max_position_embeddings='max_position_embeddings',
        ),
        type_vocab_size=0,
        hidden_act=file.activation('activation', default='gelu'),
        layer_norm_eps=1e-12,
        pad_id=file.dimension('pad_token_id', default=0, least=0),
        has_pooler=False,
        classifier=Classifier(scope='head', activation='relu'),
        head=file.head(),
    )


ARCHITECTURE = Architecture(
    model_types=('distilbert',),
    read=read,
    prefixes=('distilbert.', ''),
    scopes={
        'layer/attention/self/query': LAYER + 'attention.q_lin',
        'layer/attention/self/key': LAYER + 'attention.k_lin',
        'layer/attention/self/value': LAYER + 'attention.v_lin',
        'layer/attention/output/dense': LAYER + 'attention.out_lin',
        'layer/attention/output/LayerNorm': LAYER + 'sa_layer_norm',
        'layer/intermediate/dense': LAYER + 'ffn.lin1',
        'layer/output/dense': LAYER + 'ffn.lin2',
        'layer/output/LayerNorm': LAYER + 'output_layer_norm',
    },
    heads={'head/dense': 'pre_classifier', 'output': 'classifier'},
)
