"""RoBERTa, XLM-RoBERTa and CamemBERT: a BERT whose positions begin after the id of the padding token."""

from __future__ import annotations

from ..config import Classifier, EncoderConfig
from .base import Architecture, ConfigFile
from .bert import check_encoder, read_shape

CLASSIFIER = Classifier(scope='head')


def read(file: ConfigFile) -> EncoderConfig:
    check_encoder(file)
    pad_id = file.dimension('pad_token_id', default=1, least=0)
    shape = read_shape(file)
    rows = file.dimension('max_position_embeddings', least=pad_id + 2)
    return file.encoder(
        **{**shape, 'max_position_embeddings': rows - pad_id - 1},
        model_type=str(file.values['model_type']),
        type_vocab_size=file.dimension('type_vocab_size', default=2),
        layer_norm_eps=file.number('layer_norm_eps', default=1e-12),
        pad_id=pad_id,
        first_position=pad_id + 1,
        classifier=CLASSIFIER,
        head=file.head(),
    )


ARCHITECTURE = Architecture(
    model_types=('roberta', 'xlm-roberta', 'camembert'),
    read=read,
    prefixes=('roberta.', 'camembert.', ''),
    heads={'head/dense': 'classifier.dense', 'output': 'classifier.out_proj'},
)
