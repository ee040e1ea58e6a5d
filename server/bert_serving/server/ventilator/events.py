"""What the scheduler is told, and what it answers: events go in, actions come out.

Some events are messages of `wire.py` or `ring.py`. `ventilator.py` makes them, and performs the actions.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.ring import ClientGone, Collected, Drop, Job, Published, Refuse, Register
from ..protocol.wire import BadRequest, CancelRequest, EncodeRequest

# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker can take jobs."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerDying:
    """A worker has died; what it had still sent may be on its way. It gets no more jobs."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker has died, with all it held, and nothing comes from it any more."""

    worker: int


@dataclass(frozen=True, slots=True)
class SinkLost:
    """The sink has died, with all it had collected and not published; the workers have let go of what they held."""


@dataclass(frozen=True, slots=True)
class SinkReady:
    """The next sink is there."""


@dataclass(frozen=True, slots=True)
class DrainStarted:
    """From now on new requests are refused."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = (
    EncodeRequest
    | BadRequest
    | CancelRequest
    | WorkerReady
    | WorkerDying
    | WorkerLost
    | SinkLost
    | SinkReady
    | DrainStarted
    | Tick
    | Collected
    | Published
    | ClientGone
)

# --- actions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendJob:
    """Hand `job` to `worker`."""

    worker: int
    job: Job


@dataclass(frozen=True, slots=True)
class SendToWorker:
    """Send `message` to `worker`."""

    worker: int
    message: Drop


@dataclass(frozen=True, slots=True)
class SendToSink:
    """Send `message` to the sink."""

    message: Register | Refuse | Drop


Action = SendJob | SendToWorker | SendToSink
