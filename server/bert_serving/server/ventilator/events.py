"""The input events and output actions of the scheduler.

Some events are messages of `wire.py` or `ring.py`. `ventilator.py` makes the events and performs the actions.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.ring import ClientGone, Collected, Drop, Job, Published, Refuse, Register
from ..protocol.wire import BadRequest, CancelRequest, EncodeRequest

# ---- events


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker can take jobs."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerDying:
    """A worker has died, but its last reports might still arrive; or it retires. It gets no more jobs."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker has died with its jobs, perhaps with its machine, and no more reports from it will arrive."""

    worker: int
    with_machine: bool = False


@dataclass(frozen=True, slots=True)
class SinkLost:
    """The sink has died with its unpublished replies. The workers have dropped their jobs."""


@dataclass(frozen=True, slots=True)
class SinkReady:
    """The new sink is ready."""


@dataclass(frozen=True, slots=True)
class DrainStarted:
    """The server is draining: refuse new requests from now on."""


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

# ---- actions


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
