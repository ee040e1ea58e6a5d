"""BERT, the architecture from which the others differ."""

from __future__ import annotations

from typing import Any

from ..config import EncoderConfig
from .base import MOST_LAYERS, Architecture, ConfigFile

GOOGLE_LAYER_NORM_EPS = 1e-12


def read_shape(file: ConfigFile) -> dict[str, Any]:
    """Read the dimensions, under the keys that BERT shares with many of its successors."""
    return {
        'num_hidden_layers': file.dimension('num_hidden_layers', most=MOST_LAYERS),
        'hidden_act': file.activation('hidden_act'),
        **file.dimensions(
            vocab_size='vocab_size',
            hidden_size='hidden_size',
            num_attention_heads='num_attention_heads',
            intermediate_size='intermediate_size',
            max_position_embeddings='max_position_embeddings',
        ),
    }


def check_encoder(file: ConfigFile) -> None:
    """Reject a decoder, and relative positions instead of the table: their weights have the same names."""
    file.only('position_embedding_type', 'absolute', default='absolute')
    file.only('is_decoder', False, default=False)


def read_google(file: ConfigFile) -> EncoderConfig:
    type_vocab_size = file.dimension('type_vocab_size')
    return file.encoder(**read_shape(file), type_vocab_size=type_vocab_size, layer_norm_eps=GOOGLE_LAYER_NORM_EPS)


def read(file: ConfigFile) -> EncoderConfig:
    check_encoder(file)
    return file.encoder(
        **read_shape(file),
        model_type='bert',
        type_vocab_size=file.dimension('type_vocab_size'),
        layer_norm_eps=file.number('layer_norm_eps', default=GOOGLE_LAYER_NORM_EPS),
        pad_id=file.dimension('pad_token_id', default=0, least=0),
        head=file.head(),
    )


ARCHITECTURE = Architecture(
    model_types=('bert',),
    read=read,
    prefixes=('bert.', ''),
    heads={'output': 'classifier'},
)
