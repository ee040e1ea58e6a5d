"""The exporter process: build the graph of the model and write it to a file, or find the file of an earlier start.

The server starts it before any other process. So the parent never imports TensorFlow, and the memory of the checkpoint
is released before a worker starts. Problems that only the checkpoint reveals (missing variables, wrong shapes, a
missing head) stop the startup here. If the process finds a kept graph, it does not import TensorFlow.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from ..console.logs import timed
from ..console.progress import Meter, OnProgress, ignore_progress
from ..model.config import resolve_layers
from ..model.folder import Model
from ..options.settings import Settings
from ..process.reports import ChildConfig, Reporter
from .export_cache import ExportCache
from .export_key import export_key
from .export_sources import SourceDigests, maker_facts, weight_files
from .spec import GraphSpec

logger = logging.getLogger(__name__)


def main(config: ChildConfig, report_ready: Reporter) -> None:
    """Export the graph for `settings` and `model` of the config to `path`, or find it in the `cache`.

    It reports the path, size and SHA-256 of the graph, and for a kept graph its `entry` in the cache and whether it was
    `tried` before.
    """
    settings = Settings.from_dict(config['settings'])
    spec = spec_of(settings, Model.from_json(config['model']), on_gpu=config['on_gpu'])
    on_progress = report_ready.progress
    make = partial(make_export, spec, config['path'], on_progress)
    cache = config.get('cache')
    report_ready(
        make() if cache is None else find_or_make(ExportCache(**cache), cache['folder'], spec, make, on_progress)
    )


def spec_of(settings: Settings, model: Model, *, on_gpu: bool) -> GraphSpec:
    """Return the specification of the graph for these options."""
    pooler = settings.pooling_strategy.uses_pooler
    return GraphSpec(
        model=model,
        layers=() if pooler else resolve_layers(settings.pooling_layer, model.config),
        strategy=settings.pooling_strategy,
        position_embeddings=not settings.no_position_embeddings,
        num_labels=settings.num_labels,
        fp16=settings.fp16,
        bf16=settings.bf16,
        engine=settings.engine,
        int8=settings.int8,
        on_gpu=on_gpu,
        on_cpu=not on_gpu and not settings.xla and not settings.may_mix_devices,
        pipeline=model.pipeline,
        head=model.config.head,
        is_raw=model.config.head is not None,  # the workers apply its activation, unless a request wants logits
    )


def make_export(spec: GraphSpec, path: str, on_progress: OnProgress) -> dict[str, Any]:
    """Build the graph of `spec`, write it to `path`, and return the report on it.

    Raises:
        ModelError, StartError: the checkpoint does not fit, or the file cannot be written.
    """
    with timed(logger, 'load TensorFlow'):
        from .export import export  # takes seconds, so only here

    info = export(spec, path, on_progress=on_progress)
    return {'path': info.path, 'bytes': info.bytes, 'sha256': info.sha256}


def find_or_make(
    cache: ExportCache,
    folder: str,
    spec: GraphSpec,
    make: Callable[[], dict[str, Any]],
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Return the report of the kept export of `spec`. If there is none, `make` it and keep it.

    `folder` remembers the digests of the weights. An export whose weights change meanwhile is not kept.

    Raises:
        ModelError, StartError: those of `make`.
    """
    key = _key(folder, spec, on_progress)
    if key is None:
        return make()
    with cache.turn(key):
        kept = cache.find(key)
        if kept is not None:
            return {**kept.report, 'path': kept.path, 'entry': kept.entry, 'tried': kept.tried}
        report = make()
        if _key(folder, spec, ignore_progress) == key:
            others = {name: value for name, value in report.items() if name != 'path'}
            report['entry'] = cache.keep(key, report['path'], others)
    return report


def _key(folder: str, spec: GraphSpec, on_progress: OnProgress) -> str | None:
    """The key of the export, or None if the weights cannot be read, which the export reports."""
    digests = SourceDigests(os.path.join(folder, 'digests'))
    try:
        files = weight_files(spec.model)
        meter = Meter(partial(on_progress, 'look for the graph of an earlier start'), sum(map(os.path.getsize, files)))
        return export_key(spec, [digests.digest(file, meter.count) for file in files], maker_facts())
    except OSError as error:
        logger.debug('the export is not kept: %s', error)
        return None
