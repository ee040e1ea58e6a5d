"""The part of the status about the server. The ventilator adds the part about requests."""

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
from ..protocol.options import EXTENSIONS
from ..protocol.wire import PROTOCOL_VERSION
from ..release import RELEASE
from .endpoints import Endpoints
from .plan import Plan


def describe_plan(plan: Plan, digest: str | None) -> dict[str, Any]:
    """Return the options, the model and the devices. `digest` is the graph's digest, or None before the export."""
    return {
        **plan.settings.to_status(),
        'model_dir': plan.model.folder,
        'device_map': list(plan.devices.devices),
        'model': {**describe_model(plan), 'digest': digest},
    }


def describe_model(plan: Plan) -> dict[str, Any]:
    """Return the properties of the model that clients need."""
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
    """Return the releases of the server and its dependencies."""
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
    """Return when the server was started and its current time."""
    return {'server_start_time': str(started_at), 'server_current_time': str(datetime.now())}


def describe_ring(endpoints: Endpoints) -> dict[str, Any]:
    """Return the endpoints of the ring."""
    return {
        'ventilator -> worker': list(endpoints.workers.values()),
        'worker -> sink': endpoints.sink,
        'ventilator <-> sink': endpoints.feedback,
        'num_concurrent_socket': len(endpoints.workers),
    }


def describe_workers(plan: Plan, workers: Mapping[int, ChildSlot]) -> dict[str, Any]:
    """Return the state of each worker."""
    return {
        'workers': [
            {'worker': worker, 'device': plan.devices.devices[worker], **slot.describe()}
            for worker, slot in workers.items()
        ]
    }


@cache
def _version_of(name: str) -> str:
    """Return the release of a package, whichever of its distributions is installed, without importing it."""
    for distribution in (name, name + '-cpu', name + '-intel'):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(distribution)
    return '0.0.0'
