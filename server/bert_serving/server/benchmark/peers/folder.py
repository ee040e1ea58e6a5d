"""Make the model folder that our servers and all peers read.

Its files are links to those of the model, except those that set the maximum length of a text and the pooling. So all
compute the same vectors of the same tokens.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tokenizers import BertWordPieceTokenizer

from ...errors import UsageError
from ...model.folder import Model, find_model
from ...model.pipeline import Normalize

_MODULES, _POOLING, _LENGTH = 'modules.json', '1_Pooling', 'sentence_bert_config.json'
_TOKENIZER, _TOKENIZER_CONFIG = 'tokenizer.json', 'tokenizer_config.json'

_TRANSFORMER_AND_MEAN = [
    {'idx': 0, 'name': '0', 'path': '', 'type': 'sentence_transformers.models.Transformer'},
    {'idx': 1, 'name': '1', 'path': _POOLING, 'type': 'sentence_transformers.models.Pooling'},
]


def prepare_folder(model: Model, folder: Path, max_seq_len: int | None) -> None:
    """Fill the empty `folder`. It limits texts to `max_seq_len` tokens, or as the model does.

    A folder without sentence-transformers' files gets the mean of the top layer.

    Raises:
        UsageError: no peer can read the model.
    """
    source = Path(model.folder)
    if model.kind != 'huggingface' or model.tuned or Path(model.weights).parent != source:
        raise UsageError(
            '-peers needs a model in the layout of Hugging Face, with its weights at the top of the folder'
        )
    own = [_LENGTH, _TOKENIZER_CONFIG]
    for path in source.iterdir():
        if path.name not in own:
            (folder / path.name).symlink_to(path.resolve(), path.is_dir())
    length = {} if max_seq_len is None else {'max_seq_length': max_seq_len}
    _write(folder / _LENGTH, {'do_lower_case': False, **_read(source / _LENGTH), **length})
    lower = {'tokenizer_class': 'BertTokenizer', 'do_lower_case': model.lower_case} if model.vocab else {}
    published = None if model.pipeline is None else model.pipeline.max_seq_len
    limit = max_seq_len or published or model.config.max_position_embeddings
    _write(folder / _TOKENIZER_CONFIG, {**lower, **_read(source / _TOKENIZER_CONFIG), 'model_max_length': limit})
    if not (source / _TOKENIZER).exists() and model.vocab:
        BertWordPieceTokenizer(model.vocab, lowercase=model.lower_case).save(str(folder / _TOKENIZER))
    if not (source / _MODULES).exists():
        _write(folder / _MODULES, _TRANSFORMER_AND_MEAN)
        os.makedirs(folder / _POOLING, exist_ok=True)
        pooling = {'word_embedding_dimension': model.config.hidden_size, 'pooling_mode_mean_tokens': True}
        _write(folder / _POOLING / 'config.json', pooling)


def read_pooling(folder: Path) -> dict[str, Any]:
    """How a prepared folder pools, for a library that does not read its files.

    Returns:
        `normalizes`, and `pooling`: the modes and the other modules, such as `cls`, `mean`, `cls+max` or `mean+Dense`.

    Raises:
        ModelError: the folder has no complete model.
    """
    pipeline = find_model(str(folder)).pipeline
    if pipeline is None:
        return {'pooling': '', 'normalizes': False}
    steps: list[str] = list(pipeline.pooling.modes) if pipeline.pooling else []
    steps += [type(module).__name__ for module in pipeline.modules if not isinstance(module, Normalize)]
    return {'pooling': '+'.join(steps), 'normalizes': pipeline.normalizes}


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    values = json.loads(path.read_text('utf-8'))
    return values if isinstance(values, dict) else {}


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1), 'utf-8')
