"""The models behind the proxy: choose the server for a request, and describe its model to the routes.

Model cards come from a status that can be a few seconds old.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .backend import Backend
from .errors import HTTPError
from .model_card import ModelCard
from .replicas import ReplicatedBackend

KNOWN_AGE_S = 5.0
"""The maximum age in seconds of a status that describes the model. Under steady load it is one second old."""

Need = Literal['embed', 'predict', 'rerank']
"""The result that a route needs: vectors, scores, or one score for each pair."""


@dataclass(frozen=True, slots=True)
class Served:
    """A served model: its server and its card."""

    backend: Backend
    card: ModelCard


@dataclass(frozen=True, slots=True)
class Entry:
    """A server and the names of its model. With (), the server provides the names."""

    backend: Backend
    names: tuple[str, ...] = ()

    def card(self, *max_age_s: float) -> ModelCard | None:
        """The card of its model; None if the server has not responded yet."""
        status = self.backend.server_status(*max_age_s).status
        return None if status is None else ModelCard.from_status(status, self.names)


class Catalog:
    """The models of all upstreams, or the model of the only server. Thread-safe."""

    def __init__(self, entries: Sequence[Entry], meter: Callable[[Backend], Backend] = lambda backend: backend) -> None:
        """Take at least one entry. Several entries must have names. Requests go to `meter(backend)` of an entry."""
        self.entries = entries
        self._meter = meter

    @property
    def first(self) -> Backend:
        """The server of the first model. Without upstreams it is the only one."""
        return self.entries[0].backend

    def requested(self, data: Mapping[str, Any]) -> str | None:
        """Return the field `model` of a request whose API lacks it, for a choice between several models."""
        name = data.get('model')
        return name if len(self.entries) > 1 and isinstance(name, str) else None

    def find(self, model: str | None = None, need: Need = 'embed') -> Served:
        """Find the model with that name. Without a name, it is the first one that meets the need, or simply the first.

        Raises:
            HTTPError: Unavailable if the server has not responded yet; ModelNotFound if no model has that name.
        """
        if len(self.entries) == 1:
            served = Served(self._meter(self.first), self._card_of(self.entries[0], model))
            served.card.check_name(model)
            return served
        if model is None:
            return self._first_that(lambda card: card.does(need))
        for entry in self.entries:
            if model in entry.names:
                return Served(self._meter(entry.backend), self._card_of(entry, model))
        known = ', '.join(name for entry in self.entries for name in entry.names)
        raise HTTPError('ModelNotFound', 'the model %r is not served here: there is %s' % (model[:100], known), 'model')

    def backend_of(self, model: str | None = None) -> Backend:
        """The server for a request that needs no card: that of the named model, or of the first one that embeds."""
        return self._meter(self.first) if len(self.entries) == 1 else self.find(model).backend

    @property
    def upstreams(self) -> list[tuple[str, ReplicatedBackend]]:
        """The names and servers of the upstreams, or [] if the proxy has a single server."""
        return [
            (entry.names[0], each) for entry in self.entries if isinstance(each := entry.backend, ReplicatedBackend)
        ]

    def describe_upstreams(self) -> list[dict[str, Any]]:
        """The state of each upstream, for the status."""
        return [{'name': name, **replica} for name, backend in self.upstreams for replica in backend.describe()]

    def cards(self) -> list[ModelCard]:
        """The cards of all models whose servers have responded, at least one.

        Raises:
            HTTPError: Unavailable if none has.
        """
        cards = [card for entry in self.entries if (card := entry.card(KNOWN_AGE_S) or entry.card()) is not None]
        if not cards:
            raise _unavailable()
        return cards

    def _first_that(self, fits: Callable[[ModelCard], bool]) -> Served:
        responding = [
            Served(self._meter(entry.backend), card)
            for entry in self.entries
            if (card := entry.card(KNOWN_AGE_S)) is not None
        ]
        if not responding:
            raise _unavailable()
        return next((served for served in responding if fits(served.card)), responding[0])

    def _card_of(self, entry: Entry, model: str | None) -> ModelCard:
        """Return the card. Ask the server again if its status is missing or lacks a model named `model`."""
        card = entry.card(KNOWN_AGE_S)
        if card is None or (model is not None and model not in card.names):
            card = entry.card()
        if card is None:
            raise _unavailable()
        return card


def _unavailable() -> HTTPError:
    return HTTPError('Unavailable', 'the server has not responded yet: retry later')
