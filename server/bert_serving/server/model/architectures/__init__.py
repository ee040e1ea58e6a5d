"""The supported architectures: one module for each, with its configuration keys and the names of its weights.

An architecture is data and builds no ops; `graph/` does that from the `EncoderConfig`. docs/architectures.md shows how
to add one. Pure, except for reading the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..config import EncoderConfig
from . import albert, bert, deberta_v2, distilbert, electra, gte, modernbert, mpnet, nomic_bert, roberta
from .base import Architecture, ConfigFile, Place

__all__ = ['ARCHITECTURES', 'Architecture', 'Place', 'google_places', 'places', 'read_config', 'read_google_config']

_ALL: Sequence[Architecture] = (
    albert.ARCHITECTURE,
    bert.ARCHITECTURE,
    deberta_v2.ARCHITECTURE,
    distilbert.ARCHITECTURE,
    electra.ARCHITECTURE,
    gte.ARCHITECTURE,
    modernbert.ARCHITECTURE,
    mpnet.ARCHITECTURE,
    nomic_bert.ARCHITECTURE,
    roberta.ARCHITECTURE,
)

ARCHITECTURES: Mapping[str, Architecture] = {name: each for each in _ALL for name in each.model_types}
"""All architectures by the `model_type` in a `config.json`."""


def read_config(path: str, *, is_classifier: bool = False) -> EncoderConfig:
    """Read the config of an encoder from a `config.json`. With `is_classifier`, it has a head in any case.

    Raises:
        ModelError: the file cannot be read, or the architecture or a value is not supported; the message names file,
            key and value.
    """
    file = ConfigFile.read(path, is_classifier=is_classifier)
    return ARCHITECTURES[file.choice('model_type', sorted(ARCHITECTURES))].read(file)


def read_google_config(path: str) -> EncoderConfig:
    """Read the config of a BERT from a `bert_config.json`.

    The file has no epsilon, because Google's code has always used 1e-12.

    Raises:
        ModelError: as in `read_config`.
    """
    return bert.read_google(ConfigFile.read(path))


def places(model_type: str, name: str) -> list[Place]:
    """Return the possible places of the weight `name` in a safetensors file, the usual one first."""
    return ARCHITECTURES[model_type].places(name)


def google_places(name: str) -> list[Place]:
    """Return the places in a checkpoint of Google's code, which has the canonical names. A head is outside `bert`."""
    return [Place(name)] if name.startswith('output_') else [Place('bert/' + name), Place(name)]
