"""Make a server's children, with the config for the `main` of each and its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..addresses import reachable
from ..graph.files import weights_path, words_path
from ..model.pipeline import Pipeline
from ..options.settings import OPTIONS
from ..process.child import Child
from ..process.launcher import ChildSpec, Launcher, ProcessLauncher
from .endpoints import Endpoints, Ports
from .folders import ExportCacheFolders
from .plan import Plan
from .remote_workers import RemoteWorkers


@dataclass(frozen=True, slots=True)
class ChildModules:
    """The modules that the children run. Tests replace some of them by doubles."""

    exporter: str = 'bert_serving.server.graph.exporter'
    worker: str = 'bert_serving.server.worker.worker'
    sink: str = 'bert_serving.server.sink.sink'
    http: str = 'bert_serving.server.http.proxy'


@dataclass(frozen=True, slots=True)
class ExportedGraph:
    """The file that the exporter has written or found."""

    path: str
    sha256: str
    """The digest of the file, in hexadecimal digits."""
    entry: str | None = None
    """The cache entry that keeps it for the next start."""
    tried: bool = False
    """Whether a worker of an earlier start has computed the vocabulary with it."""


OPTION_SECRETS = tuple(option.variable for option in OPTIONS.values() if option.secret)
"""The environment variables with secret options."""

HUB_SECRETS = ('HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN', 'HUGGINGFACE_HUB_TOKEN')
"""The environment variables with secrets of the Hugging Face hub, which only the parent uses."""


TELEMETRY_SECRETS = ('OTEL_EXPORTER_OTLP_HEADERS', 'OTEL_EXPORTER_OTLP_TRACES_HEADERS')
"""The environment variables that can have the key of a trace collector, for the sink and the HTTP proxy."""


def secret_variables() -> set[str]:
    """Return the environment variables that a child gets only if it needs them."""
    return {*OPTION_SECRETS, *HUB_SECRETS, *TELEMETRY_SECRETS}


class ChildFactory:
    """Makes the children of one server. The supervisor starts them."""

    def __init__(
        self,
        plan: Plan,
        endpoints: Endpoints,
        ports: Ports,
        temp_dirs: Sequence[str],
        modules: ChildModules,
        sink_limits: Mapping[str, Any],
        proxy_key_file: str | None = None,
        unwritten_bytes: int | None = None,
        remote: RemoteWorkers | None = None,
    ) -> None:
        """Take everything that the children need.

        `temp_dirs` are the folders that a child removes if its parent dies, and `sink_limits` the limits of the sink.
        `proxy_key_file` has the key of the HTTP proxy, if there are keys. `unwritten_bytes` is the proxy's limit on
        unwritten responses, or None for the default. `remote` are the workers on a cluster, or None.
        """
        self._launcher: Launcher = ProcessLauncher()
        self._remote = remote
        self._plan = plan
        self._endpoints = endpoints
        self._ports = ports
        self._temp_dirs = list(temp_dirs)
        self._modules = modules
        self._sink_limits = sink_limits
        self._proxy_key_file = proxy_key_file
        self._unwritten_bytes = unwritten_bytes

    def exporter(self, path: str, cache: ExportCacheFolders | None = None) -> Child:
        """Make the exporter, which writes the graph to `path` or finds it in the `cache`."""
        config = {
            'settings': self._plan.settings.without_secrets().to_dict(),
            'model': self._plan.model.to_json(),
            'path': path,
            'cache': None if cache is None else asdict(cache),
            'on_gpu': all(device >= 0 for device in self._plan.devices.devices),
        }
        return self._make(self._modules.exporter, 'GRAPHOPT', config, {'CUDA_VISIBLE_DEVICES': '-1'})

    def sink(self, linger_ms: int) -> Child:
        """Make the sink at the current endpoints. `linger_ms` is its time limit for delivering replies at the end."""
        config = {
            'intake': self._endpoints.sink,
            'feedback': self._endpoints.feedback,
            'address': self._plan.address,
            'port_out': self._ports.port_out,
            'linger_ms': linger_ms,
            'security': None if self._plan.security is None else asdict(self._plan.security),
            'audit_file': self._plan.settings.audit_file,
            'remote': None if self._remote is None else self._remote.ring.sink_config(),
            'limits': {**self._sink_limits},
        }
        return self._make(self._modules.sink, 'SINK', config, secrets=TELEMETRY_SECRETS)

    def worker(self, worker: int, graph: ExportedGraph) -> Child:
        """Make worker `number`, which runs `graph` on its planned device, at its current endpoint."""
        plan, device = self._plan, self._plan.devices.devices[worker]
        remote = self._remote if self._remote is not None and worker in self._remote.plan.workers else None
        config = {
            'settings': plan.settings.without_secrets().to_dict(),
            'worker': worker,
            'device': device,
            'threads': self._threads_of(device) if remote is None else remote.plan.threads,
            'graph': graph.path,
            'graph_sha256': graph.sha256,
            'graph_entry': graph.entry if remote is None else None,
            'graph_tried': graph.tried,
            **_tokenization(plan),
            'max_position_embeddings': plan.model.config.max_position_embeddings,
        }
        name, endpoint = 'WORKER-%d' % worker, self._endpoints.workers[worker]
        if remote is not None:
            config |= {'remote': remote.ring.worker_config(endpoint), 'sink': '', 'temp_dirs': []}
            environment = {'CUDA_VISIBLE_DEVICES': str(device)} if device < 0 else {}
            files = [graph.path, words_path(graph.path), weights_path(graph.path), *_tokenizer_files(plan)]
            spec = self._describe(self._modules.worker, name, config, environment)
            return remote.launcher.make(replace(spec, files=tuple(filter(os.path.exists, files))))
        config |= {'intake': endpoint, 'sink': self._endpoints.sink}
        environment = {'CUDA_VISIBLE_DEVICES': str(device), 'CUDA_DEVICE_ORDER': 'PCI_BUS_ID'}  # GPUtil's order
        return self._make(self._modules.worker, name, config, environment)

    def _threads_of(self, device: int) -> int:
        """How many threads a worker of this machine computes with."""
        on_cpu = [other for other in self._plan.devices.devices[: self._num_local] if other < 0]
        return max(1, len(os.sched_getaffinity(0)) // len(on_cpu)) if device < 0 else 2

    @property
    def _num_local(self) -> int | None:
        return None if self._remote is None else self._remote.plan.workers.start

    def http(self) -> Child:
        """Make the HTTP proxy of the server at the current ports."""
        config = {
            'settings': self._plan.settings.to_dict(),
            'ip': reachable(self._plan.address),
            'port': self._ports.port,
            'port_out': self._ports.port_out,
            'http_port': self._ports.http_port,
            'server_key': '' if self._plan.security is None else self._plan.security.public_key,
            'key_file': self._proxy_key_file or '',
            'unwritten_bytes': self._unwritten_bytes,
        }
        return self._make(self._modules.http, 'PROXY', config, secrets=(*OPTION_SECRETS, *TELEMETRY_SECRETS))

    def _make(
        self,
        module: str,
        name: str,
        config: dict[str, Any],
        environment: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
    ) -> Child:
        """Make a child of this machine; of the environment variables with secrets, it gets only `secrets`."""
        return self._launcher.make(self._describe(module, name, config, environment, secrets))

    def _describe(
        self,
        module: str,
        name: str,
        config: dict[str, Any],
        environment: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
    ) -> ChildSpec:
        settings = self._plan.settings
        verbose, log_format = settings.verbose, settings.log_format
        common = {'context': name, 'verbose': verbose, 'log_format': log_format, 'temp_dirs': self._temp_dirs}
        tensorflow_log = {'TF_CPP_MIN_LOG_LEVEL': '0'} if verbose else {}
        hidden = dict.fromkeys(secret_variables() - set(secrets))
        return ChildSpec(module, name, {**common, **config}, {**hidden, **tensorflow_log, **(environment or {})})


def _tokenizer_files(plan: Plan) -> list[str]:
    """Return the paths of the files that a worker reads its tokenizer from."""
    files = plan.model.tokenizer_files
    paths = [plan.model.vocab] if files is None else [files.path, files.vocab, files.settings]
    return [path for path in paths if path is not None]


def _tokenization(plan: Plan) -> dict[str, Any]:
    """Return the part of a worker's config for the tokenizer, the prompt and the scaling of vectors."""
    model = plan.model
    files, pipeline = model.tokenizer_files, model.pipeline or Pipeline()
    prompt = pipeline.prompts.get(pipeline.default_prompt_name or '', '')
    return {
        'vocab': model.vocab,
        'lower_case': model.lower_case,
        'tokenizer': None if files is None else asdict(files),
        'vocab_size': model.config.vocab_size,
        'prompt': prompt,
        'pools_prompt': pipeline.pooling is None or pipeline.pooling.include_prompt,
        'normalizes': pipeline.normalizes,
        'activation': None if model.config.head is None else model.config.head.activation,
    }
