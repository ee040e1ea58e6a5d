"""The plan of a server: check the options and the model's files against each other before starting any process.

`BertServer.start` makes the plan in the caller's thread, so that the caller gets the errors.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..addresses import ANY_IPV4, own_address
from ..errors import UsageError
from ..graph.engines import is_installed
from ..http.config import HttpConfig, check_installed
from ..model.config import check_max_seq_len, check_position_embeddings, check_strategy, resolve_layers
from ..model.folder import GOOGLE_CHECKPOINT, GOOGLE_CONFIG, Model, check_weights, find_model
from ..model.pipeline import Dense, Pipeline, Pooling, PoolingMode
from ..model.pooling import PoolingStrategy
from ..model.vocabulary import load_vocab
from ..options.engines import ONNX_RUNTIME, TENSORFLOW
from ..options.settings import Settings
from ..security.audit import Audit
from ..security.gate import Gate, SecurityConfig
from ..security.port import PortAccess
from ..security.principals import Grant
from ..ventilator.reply_size import ReplySize
from ..ventilator.served_model import ServedModel
from .devices import DevicePlan, plan_devices
from .hub import IsStopped, local_folder, never
from .placement import ClusterPlan, num_local_workers, plan_cluster
from .security import add_proxy_key, plan_security

logger = logging.getLogger(__name__)


STRATEGIES: Mapping[PoolingMode, PoolingStrategy] = {
    'mean': PoolingStrategy.REDUCE_MEAN,
    'max': PoolingStrategy.REDUCE_MAX,
    'cls': PoolingStrategy.FIRST_TOKEN,
    'lasttoken': PoolingStrategy.LAST_TOKEN,
}
"""The strategies of 1.10 that are equivalent to a pooling of a published model."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The options, the model and the devices of a server.

    `settings` and `model` agree: options that the user did not give have the model's values in both, and the parts of
    the model that the user's options replace are removed from its pipeline and head. `address` is the numeric ZeroMQ
    address of the server. `security` has its keys, or is None. `cluster` describes the
    workers on a cluster, or is None; `devices` includes theirs.
    """

    settings: Settings
    model: Model
    devices: DevicePlan
    address: str = ANY_IPV4
    security: SecurityConfig | None = None
    cluster: ClusterPlan | None = None

    @property
    def task(self) -> Literal['embed', 'rerank', 'classify']:
        """The kind of results: vectors, scores of one label, or scores of several labels."""
        head = self.model.config.head
        return 'embed' if head is None else 'rerank' if len(head.labels) == 1 else 'classify'

    @property
    def dimensions(self) -> int:
        """The width of a result: of a vector or, for a classifier, the number of labels."""
        settings, config, pipeline = self.settings, self.model.config, self.model.pipeline
        if config.head is not None:
            return len(config.head.labels)
        strategy = settings.pooling_strategy
        if strategy.uses_head:
            return 1 if strategy is PoolingStrategy.REGRESSION else settings.num_labels
        if strategy.uses_pooler:
            return config.hidden_size
        width = config.hidden_size * len(settings.pooling_layer)
        if pipeline is None or pipeline.pooling is None:
            return width * (2 if strategy is PoolingStrategy.REDUCE_MEAN_MAX else 1)
        outputs = [module.outputs for module in pipeline.modules if isinstance(module, Dense)]
        return outputs[-1] if outputs else width * len(pipeline.pooling.modes)

    def describe(self) -> str:
        """Describe in one line what is served, and the settings from the model's folder and from the options."""
        settings, config, pipeline = self.settings, self.model.config, self.model.pipeline
        folder: list[str] = []
        options: list[str] = []
        if config.head is not None:
            folder.append('scores of %s by %s' % (', '.join(config.head.labels), config.head.activation))
        else:
            layers = (
                ''
                if settings.pooling_strategy.uses_pooler
                else ' of layer ' + ' '.join(map(str, settings.pooling_layer))
            )
            pools_as_published = {'pooling_layer', 'pooling_strategy'} <= settings.left_to_model
            (folder if pools_as_published else options).append(self.pooling + layers)
        if pipeline is not None and pipeline.normalizes:
            folder.append('normalized')
        length = 'as long as each batch' if settings.max_seq_len is None else '%d tokens' % settings.max_seq_len
        (folder if 'max_seq_len' in settings.left_to_model else options).append(length)
        parts = ['%s, %d layers, %d wide' % (config.model_type, config.num_hidden_layers, config.hidden_size)]
        parts += ['from its folder: %s' % ', '.join(folder)] if folder else []
        parts += ['by the options: %s' % ', '.join(options)] if options else []
        if pipeline is not None:
            parts.append('prompts: %s' % _list_prompts(pipeline))
        return '; '.join(parts)

    @property
    def pooling(self) -> str:
        """The pooling, by its name in 1.10 or, if it is not from 1.10, by the names of its modes."""
        pipeline = self.model.pipeline
        if pipeline is None or pipeline.pooling is None or _strategy_of(pipeline.pooling) is not None:
            return str(self.settings.pooling_strategy)
        return '+'.join(pipeline.pooling.modes)


def make_plan(settings: Settings, is_stopped: IsStopped = never) -> Plan:
    """Make the plan for these options. It fetches a model of the hub, unless `is_stopped` returns True.

    Raises:
        UsageError, ModelError: the options and the model do not fit together; the message says what to do.
        StartError: stopped while the model was being fetched.
    """
    _check_installed(settings)
    address = _own_address(settings.host, 'host')
    security = plan_security(settings)
    if settings.http_port is not None:
        check_installed()
        _own_address(HttpConfig.from_settings(settings).host, 'http_host')
    model_dir = local_folder(
        settings.model_dir,
        config_name=None if settings.config_name == GOOGLE_CONFIG else settings.config_name,
        ckpt_name=None if settings.ckpt_name == GOOGLE_CHECKPOINT else settings.ckpt_name,
        is_stopped=is_stopped,
    )
    model = find_model(
        model_dir,
        settings.tuned_model_dir,
        settings.ckpt_name,
        settings.config_name,
        cased_tokenization=not settings.do_lower_case or None,
    )
    check_weights(model)
    settings, model = agree(settings, model)
    if not settings.pooling_strategy.uses_pooler:
        resolve_layers(settings.pooling_layer, model.config)
    if model.tokenizer_files is not None:
        # Each worker loads it again; this reports errors early.
        model.tokenizer_files.load(model.config.vocab_size, logger.warning)
        model.tokenizer_files.gives_types()
    elif model.vocab is not None:
        load_vocab(model.vocab)  # each worker loads it again; this reports errors early
    check_strategy(settings.pooling_strategy, model.config)
    check_position_embeddings(not settings.no_position_embeddings, model.config)
    check_max_seq_len(settings.max_seq_len, model.config, position_embeddings=not settings.no_position_embeddings)
    if settings.graph_tmp_dir is not None:
        _check_writable(settings.graph_tmp_dir)
    cluster, num_local = plan_cluster(settings), num_local_workers(settings)
    on_cpu = settings.cpu or settings.engine == ONNX_RUNTIME or not num_local
    devices = plan_devices(num_local, on_cpu, settings.device_map)
    for warning in devices.warnings:
        logger.warning('%s', warning)
    if cluster is not None:
        devices = DevicePlan((*devices.devices, *cluster.devices))
    return Plan(settings, model, devices, address, security, cluster)


def agree(settings: Settings, model: Model) -> tuple[Settings, Model]:
    """Make the options and the model agree. The user's options take precedence.

    A published model has its own length, layer and pooling. If the user chooses a layer or a strategy instead, the
    model is used as in 1.10: without the modules after pooling, which were not trained for it, and with 1.10's
    tokenization if possible (docs/adr/0014). A strategy also turns a classifier into an encoder.
    """
    pipeline, left = model.pipeline, settings.left_to_model
    if pipeline is None:
        return replace(settings, left_to_model=frozenset()), model
    config = model.config
    if not {'pooling_strategy', 'pooling_layer'} <= left:
        model = model.tokenized_as_by_1_10()
    if 'pooling_strategy' not in left:
        config = replace(config, head=None)
        pipeline = replace(pipeline, pooling=None, modules=())
    elif 'pooling_layer' not in left:
        pipeline = replace(pipeline, modules=())
    values: dict[str, Any] = {}
    if 'max_seq_len' in left:
        values['max_seq_len'] = min(
            pipeline.max_seq_len or config.max_position_embeddings, config.max_position_embeddings
        )
    if 'pooling_layer' in left:
        values['pooling_layer'] = (-1,)
    if 'pooling_strategy' in left and pipeline.pooling is not None:
        values['pooling_strategy'] = _strategy_of(pipeline.pooling) or settings.pooling_strategy
    return replace(settings, **values), replace(model, config=config, pipeline=pipeline)


def served_model(plan: Plan) -> ServedModel:
    """Return the rules for the options of requests."""
    strategy, has_head = plan.settings.pooling_strategy, plan.model.config.head is not None
    return ServedModel(
        dimensions=plan.dimensions,
        prompts={} if plan.model.pipeline is None else plan.model.pipeline.prompts,
        is_token_level=strategy is PoolingStrategy.NONE and not has_head,
        has_scores=has_head or strategy.uses_head,
        has_logits=has_head,
    )


def reply_size(plan: Plan, most: int) -> ReplySize:
    """Return the estimator for the size of replies. `most` is the maximum size in bytes."""
    settings, model = plan.settings, served_model(plan)
    on_gpu = all(device >= 0 for device in plan.devices.devices)
    length = settings.max_seq_len
    if length is None:
        length = plan.model.config.max_position_embeddings if settings.fixed_embed_length else 1
    return ReplySize(
        width=plan.dimensions,
        item_bytes=2 if settings.fp16 and on_gpu else 4,
        tokens=length if model.is_token_level else 1,
        most=most,
    )


def with_proxy_key(plan: Plan, folder: str) -> tuple[Plan, str | None]:
    """Return the plan with a key for the HTTP proxy, and the key's file in a private folder or None without keys."""
    if plan.security is None:
        return plan, None
    security, path = add_proxy_key(plan.security, folder)
    return replace(plan, security=security), path


def make_access(plan: Plan) -> PortAccess | None:
    """Return the access rules of the port for requests, or None without keys."""
    if plan.security is None:
        return None
    use = Grant.PREDICT if served_model(plan).has_scores else Grant.ENCODE
    return PortAccess(Gate(plan.security), Audit(plan.settings.audit_file), use)


def _list_prompts(pipeline: Pipeline) -> str:
    """The names of the non-empty prompts."""
    names = [name for name, prompt in pipeline.prompts.items() if prompt]
    default = pipeline.default_prompt_name
    return ', '.join('%s (default)' % name if name == default else name for name in names) or 'none'


def _strategy_of(pooling: Pooling) -> PoolingStrategy | None:
    """The equivalent strategy of 1.10, or None if there is none."""
    if len(pooling.modes) != 1:
        return None
    return STRATEGIES.get(pooling.modes[0])


def _own_address(host: str, option: str) -> str:
    """Return the numeric address to listen on, or raise UsageError if there is none."""
    try:
        return own_address(host)
    except ValueError as error:
        raise UsageError('-%s %s: %s' % (option, host, error)) from None


def _check_installed(settings: Settings) -> None:
    """Raise UsageError if the engine for the children is not installed."""
    if not is_installed(TENSORFLOW):
        raise UsageError(
            "TensorFlow is not installed in %s: pip install 'bert-serving-server[cpu]', or [gpu] for CUDA" % sys.prefix
        )
    if not is_installed(settings.engine):
        raise UsageError("ONNX Runtime is not installed in %s: pip install 'bert-serving-server[onnx]'" % sys.prefix)


def _check_writable(graph_tmp_dir: str) -> None:
    """Raise UsageError if no file can be made in the folder."""
    try:
        tempfile.TemporaryFile(dir=graph_tmp_dir).close()
    except OSError as error:
        raise UsageError('-graph_tmp_dir: cannot write files in %s: %s' % (graph_tmp_dir, error.strerror)) from None
