"""The exporter: build the graph of the model, write it to a file, and end.

It is a separate process, which the server starts before any other: the parent never imports TensorFlow, and the memory
of the checkpoint is released before a worker starts. Problems that only the checkpoint reveals (missing variables,
wrong shapes, a missing head) stop the startup here.
"""

from __future__ import annotations

import logging

from ..console.logs import timed
from ..model.config import resolve_layers
from ..model.folder import Model
from ..options.settings import Settings
from ..process.reports import ChildConfig, Reporter

logger = logging.getLogger(__name__)


def main(config: ChildConfig, report_ready: Reporter) -> None:
    """Export the graph that `settings` and `model` of the config ask for to `path`."""
    with timed(logger, 'load TensorFlow'):
        from .export import GraphSpec, export  # takes seconds, so only here

    settings = Settings.from_dict(config['settings'])
    model = Model.from_json(config['model'])
    pooler = settings.pooling_strategy.uses_pooler
    spec = GraphSpec(
        model=model,
        layers=() if pooler else resolve_layers(settings.pooling_layer, model.config),
        strategy=settings.pooling_strategy,
        position_embeddings=not settings.no_position_embeddings,
        num_labels=settings.num_labels,
        fp16=settings.fp16,
        bf16=settings.bf16,
        on_gpu=config['on_gpu'],
        on_cpu=not config['on_gpu'] and not settings.xla and not _may_mix_devices(settings),
        pipeline=model.pipeline,
        head=model.config.head,
        is_raw=model.config.head is not None,  # the workers apply its activation, unless a request wants logits
    )
    info = export(spec, config['path'], on_progress=report_ready.progress)
    report_ready({'bytes': info.bytes, 'sha256': info.sha256})


def _may_mix_devices(settings: Settings) -> bool:
    """Whether GPUs and CPUs might share the graph. Without a GPU it still runs, though with plain ops only."""
    return not settings.cpu and any(device >= 0 for device in settings.device_map[: settings.num_worker])
