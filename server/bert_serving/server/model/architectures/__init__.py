"""What each architecture makes of its configuration, and where its weights are stored; one module for each.

An architecture is data: it builds no ops. Those are made in `graph/` of what its config says. docs/architectures.md shows
how another one is added. Pure but for reading the one file.
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
"""By the `model_type` of a `config.json`."""


def read_config(path: str) -> EncoderConfig:
    """The config of the encoder that a `config.json` describes.

    Raises:
        ModelError: the file cannot be read, is of an architecture that is not served, or says something that would change
            the answers and is not served; the message names the file, the key and the value.
    """
    file = ConfigFile.read(path)
    return ARCHITECTURES[file.choice('model_type', sorted(ARCHITECTURES))].read(file)


def read_google_config(path: str) -> EncoderConfig:
    """The config of the BERT that a `bert_config.json` describes.

    It has no epsilon: Google's code has always used 1e-12.

    Raises:
        ModelError: as of `read_config`.
    """
    return bert.read_google(ConfigFile.read(path))


def places(model_type: str, name: str) -> list[Place]:
    """Where the weight of the canonical `name` can lie in a safetensors file, the usual place first."""
    return ARCHITECTURES[model_type].places(name)


def google_places(name: str) -> list[Place]:
    """The same for a checkpoint of Google's code, whose names are the canonical ones; a head stands beside `bert`."""
    return [Place(name)] if name.startswith('output_') else [Place('bert/' + name), Place(name)]
