"""The plan of a server: what the options and the model's files say together, before any process is started.

Made in the thread that calls `BertServer.start`, so that what cannot work is said there.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import tempfile
from dataclasses import dataclass

from ..errors import UsageError
from ..http.config import HttpConfig, check_installed
from ..model.config import check_max_seq_len, check_position_embeddings, check_strategy, resolve_layers
from ..model.folder import Model, find_model
from ..options.settings import Settings
from .devices import DevicePlan, plan_devices

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is served, and on which devices."""

    settings: Settings
    model: Model
    devices: DevicePlan


def make_plan(settings: Settings) -> Plan:
    """The plan for these options.

    Raises:
        UsageError, ModelError: they and the model do not go together; the message says which and what to do.
    """
    _check_tensorflow()
    if settings.http_port is not None:
        check_installed()
        HttpConfig.from_settings(settings)
    model = find_model(
        settings.model_dir, settings.tuned_model_dir, settings.ckpt_name, settings.config_name,
        cased_tokenization=not settings.do_lower_case or None,
    )  # fmt: skip
    if not settings.pooling_strategy.uses_pooler:
        resolve_layers(settings.pooling_layer, model.config)
    check_strategy(settings.pooling_strategy, model.config)
    check_position_embeddings(not settings.no_position_embeddings, model.config)
    check_max_seq_len(settings.max_seq_len, model.config, position_embeddings=not settings.no_position_embeddings)
    if settings.graph_tmp_dir is not None:
        _check_writable(settings.graph_tmp_dir)
    devices = plan_devices(settings.num_worker, settings.cpu, settings.device_map)
    for warning in devices.warnings:
        logger.warning('%s', warning)
    return Plan(settings, model, devices)


def _check_tensorflow() -> None:
    """Raise UsageError if there is no TensorFlow for the children to import."""
    if importlib.util.find_spec('tensorflow') is None:
        raise UsageError("TensorFlow is not installed in %s: pip install 'bert-serving-server[cpu]', or [gpu] for CUDA"
                         % sys.prefix)  # fmt: skip


def _check_writable(graph_tmp_dir: str) -> None:
    """Raise UsageError if no file can be made in the folder."""
    try:
        tempfile.TemporaryFile(dir=graph_tmp_dir).close()
    except OSError as error:
        raise UsageError('-graph_tmp_dir: no file can be written in %s: %s' % (graph_tmp_dir, error.strerror)) from None
