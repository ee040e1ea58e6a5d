"""What the routes know of the model: its card, from a status of the server that can be some seconds old."""

from __future__ import annotations

from .backend import Backend
from .errors import HTTPError
from .model_card import ModelCard

KNOWN_AGE_S = 5.0
"""Age in seconds of a status that may still describe the model; under steady load it is one second old."""


class Catalog:
    """The model of the server behind `backend`. Thread-safe."""

    def __init__(self, backend: Backend, given_names: tuple[str, ...] = ()) -> None:
        """`given_names` are the names of the model, () for its own."""
        self._backend = backend
        self._given_names = given_names

    def card(self, model: str | None = None) -> ModelCard:
        """The card of the model; asks the server again if its status is missing, or has no model of the name `model`.

        Raises:
            HTTPError: Unavailable, the server has not responded yet.
        """
        card = self._card_of_age(KNOWN_AGE_S)
        if card is None or (model is not None and model not in card.names):
            card = self._card_of_age()
        if card is None:
            raise HTTPError('Unavailable', 'the server has not responded yet: retry later')
        return card

    def _card_of_age(self, *max_age_s: float) -> ModelCard | None:
        status = self._backend.server_status(*max_age_s).status
        return None if status is None else ModelCard.from_status(status, self._given_names)
