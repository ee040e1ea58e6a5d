"""What a server says of itself in the status; what it says of requests is the ventilator's."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import metadata
from typing import Any

import zmq

from ..model.pipeline import Pipeline
from ..process.supervisor import ChildSlot
from ..protocol.wire import EXTENSIONS, PROTOCOL_VERSION
from ..release import RELEASE
from ..stats import WorkerTally
from .endpoints import Endpoints
from .plan import Plan


def describe_plan(plan: Plan) -> dict[str, Any]:
    """The options, which model is served, and on which devices."""
    return {
        **plan.settings.to_status(),
        'model_dir': plan.model.folder,
        'device_map': list(plan.devices.devices),
        'model': describe_model(plan),
    }


def describe_model(plan: Plan) -> dict[str, Any]:
    """What a client needs to know of the model to use it."""
    model, settings, head = plan.model, plan.settings, plan.model.config.head
    pipeline = model.pipeline or Pipeline()
    return {
        'name': model.name,
        'model_type': model.config.model_type,
        'task': plan.task,
        'dimensions': plan.dimensions,
        'max_seq_len': settings.max_seq_len,
        'pooling': None if head is not None else plan.pooling,
        'normalize': pipeline.normalizes,
        'prompts': pipeline.prompts,
        'default_prompt_name': pipeline.default_prompt_name,
        'labels': None if head is None else list(head.labels),
        'similarity': pipeline.similarity,
    }


def describe_release() -> dict[str, Any]:
    """What runs: the releases of ours and of what we stand on."""
    return {
        'tensorflow_version': _version_of('tensorflow').split('.'),
        'python_version': sys.version,
        'server_version': PROTOCOL_VERSION,
        'server_release': RELEASE,
        'extensions': list(EXTENSIONS),
        'pyzmq_version': zmq.pyzmq_version(),
        'zmq_version': zmq.zmq_version(),
    }


def describe_times(started_at: datetime) -> dict[str, Any]:
    """Since when it runs, and what time it is there."""
    return {'server_start_time': str(started_at), 'server_current_time': str(datetime.now())}


def describe_ring(endpoints: Endpoints) -> dict[str, Any]:
    """Where its own processes meet."""
    return {
        'ventilator -> worker': list(endpoints.workers.values()),
        'worker -> sink': endpoints.sink,
        'ventilator <-> sink': endpoints.feedback,
        'num_concurrent_socket': len(endpoints.workers),
    }


def describe_workers(plan: Plan, workers: Mapping[int, ChildSlot]) -> dict[str, Any]:
    """How each worker does."""
    return {
        'workers': [
            {'worker': worker, 'device': plan.devices.devices[worker], **slot.describe()}
            for worker, slot in workers.items()
        ]
    }


class ChildrenTally:
    """What the children, living and dead, have done. Used by the server's thread alone."""

    def __init__(self) -> None:
        self._workers: dict[int, WorkerTally] = {}
        self._dead_workers = WorkerTally()
        self._given_up = {'now': 0, 'before': 0}

    def hear_worker(self, worker: int, facts: dict[str, Any]) -> None:
        """A worker says how it does."""
        if 'tally' in facts:
            self._workers[worker] = WorkerTally.from_json(facts['tally'])

    def lose_worker(self, worker: int) -> None:
        """It has died: the next one counts from 0."""
        self._dead_workers += self._workers.pop(worker, WorkerTally())

    def hear_sink(self, facts: dict[str, Any]) -> None:
        """The sink says how it does."""
        self._given_up['now'] = facts.get('given_up', self._given_up['now'])

    def lose_sink(self) -> None:
        """It has died: the next one counts from 0."""
        self._given_up = {'now': 0, 'before': sum(self._given_up.values())}

    def to_dict(self) -> dict[str, Any]:
        """The keys of the status's `statistic`."""
        tally = sum(self._workers.values(), self._dead_workers)
        return {**tally.to_dict(), 'num_given_up_reply': sum(self._given_up.values())}


@cache
def _version_of(name: str) -> str:
    """The release of TensorFlow, whichever distribution it came in, without importing it."""
    for distribution in (name, name + '-cpu', name + '-intel'):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(distribution)
    return '0.0.0'
