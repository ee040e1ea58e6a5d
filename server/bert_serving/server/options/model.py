"""Options: the model to serve, and how it turns a text into a vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..model.pooling import PoolingStrategy
from .option import BERT, MODEL, flag, option
from .values import folder_or_none, integer, pooling_strategy, sequence_length, whole_number


@dataclass(frozen=True)
class ModelOptions:
    """The options of the groups `MODEL` and `BERT`."""

    model_dir: str | None = option(
        default=None,
        group=MODEL,
        help='folder of the pre-trained model, in the layout of Google (bert_config.json, bert_model.ckpt.*, '
        'vocab.txt) or Hugging Face (config.json, model.safetensors, tokenizer.json or vocab.txt); or, with the '
        'extra [hub], the name of a model on the Hugging Face hub (ORG/NAME or ORG/NAME@REVISION). Without this '
        'option, the server uses the embedded default model',
        metavar='DIR',
    )
    tuned_model_dir: str | None = option(
        default=None,
        group=MODEL,
        help='folder of a fine-tuned checkpoint; the configuration and vocabulary still come from -model_dir',
        metavar='DIR',
    )
    ckpt_name: str = option(
        default='bert_model.ckpt',
        group=MODEL,
        help='file name prefix of the checkpoint',
        metavar='NAME',
    )
    config_name: str = option(
        default='bert_config.json',
        group=MODEL,
        help='file name of the configuration',
        metavar='NAME',
    )
    graph_tmp_dir: str | None = option(
        default=None,
        group=MODEL,
        help="folder for the exported graph of this server, removed at exit (default: the system's temporary folder)",
        metavar='DIR',
    )
    export_cache: str | None = option(
        default=None,
        group=MODEL,
        help='folder that caches exported graphs, at most 8 GB, to make the next start faster. NONE: no cache '
        '(default: bert-as-service in $XDG_CACHE_HOME or ~/.cache)',
        parse=folder_or_none,
        metavar='DIR',
    )

    max_seq_len: int | None = option(
        default=25,
        group=BERT,
        help='maximum tokens per sequence, [CLS] and [SEP] included, at least 4; longer sequences are truncated on the '
        'right. NONE: the length of the longest sequence in each batch. A published model has its own default',
        parse=sequence_length,
        metavar='N',
    )
    do_lower_case: bool = flag(
        group=BERT,
        help='keep case and accents, for a cased model',
        names=('cased_tokenization',),
        stores=False,
    )
    pooling_layer: Sequence[int] = option(
        default=(-2,),
        group=BERT,
        help='encoder layers to pool; negative numbers count from the last layer, several layers are concatenated on '
        'the last axis. The default for a published model is -1',
        parse=integer,
        metavar='LAYER',
        many=True,
    )
    pooling_strategy: PoolingStrategy = option(
        default=PoolingStrategy.REDUCE_MEAN,
        group=BERT,
        help='how to pool the hidden states of a text into one vector: one of %s. A published model has its own default'
        % ', '.join(PoolingStrategy.__members__),
        parse=pooling_strategy,
        metavar='STRATEGY',
    )
    mask_cls_sep: bool = flag(
        group=BERT,
        help='exclude [CLS] and [SEP] from attention and pooling; FIRST_TOKEN still returns the state of [CLS]',
    )
    no_special_token: bool = flag(
        group=BERT,
        help='do not add [CLS] and [SEP] to a single sequence that the client has tokenized',
    )
    show_tokens_to_client: bool = flag(
        group=BERT,
        help='return the tokens with the vectors to clients that ask for them',
    )
    no_position_embeddings: bool = flag(
        group=BERT,
        help='do not add position embeddings',
    )
    num_labels: int = option(
        default=2,
        group=BERT,
        help='number of classes of the CLASSIFICATION head',
        parse=whole_number(1),
        metavar='N',
    )
    fixed_embed_length: bool = flag(
        group=BERT,
        help='with -max_seq_len NONE and -pooling_strategy NONE: pad every result to max_position_embeddings tokens, '
        'so that all results have the same shape',
    )
