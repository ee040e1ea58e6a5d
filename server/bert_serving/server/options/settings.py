"""The table of options, the source of the parsers, the environment variables, the status and the documentation.

`Settings` is a frozen dataclass with a field for each option; the metadata of a field holds its `Option`. Each group of
options has its own module. Every process reads the settings (a child gets them as JSON), and none changes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..errors import UsageError
from ..model.pooling import PoolingStrategy
from .cluster import ClusterOptions, check_cluster
from .devices import DeviceOptions
from .engines import ONNX_RUNTIME, check_engine
from .http import HttpOptions
from .model import ModelOptions
from .option import Option
from .security import SecurityOptions
from .serving import ServingOptions

MODEL_SAYS = ('max_seq_len', 'pooling_layer', 'pooling_strategy')
"""The options for which a published model has its own values, unless the user gives others."""


# Fields of the last base class come first, in the order of the help.
@dataclass(frozen=True)
class Settings(ClusterOptions, DeviceOptions, HttpOptions, SecurityOptions, ServingOptions, ModelOptions):
    """The values of all options of `bert-serving-start`. The field names are the keys of the server's status."""

    left_to_model: frozenset[str] = field(default=frozenset(), compare=False)
    """Not an option: the options of `MODEL_SAYS` that the user did not give, so that `parent.plan` takes the model's
    values."""

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Settings:
        """Make settings from a namespace of `argparse`. Missing attributes get defaults, unknown ones are ignored.

        Raises:
            UsageError: two options contradict each other.
        """
        known = {name: getattr(args, name) for name in OPTIONS if hasattr(args, name)}
        settings = cls.from_dict(known)
        given = getattr(args, 'given_options', ())
        left = [name for name in MODEL_SAYS if name not in given and getattr(settings, name) == getattr(cls, name)]
        return replace(settings, left_to_model=frozenset(left))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Make settings from a mapping of field names to values, such as the result of `to_dict`."""
        values = dict(values)
        strategy = values.get('pooling_strategy', cls.pooling_strategy)
        if isinstance(strategy, str):
            strategy = PoolingStrategy.from_string(strategy)
        values['pooling_strategy'] = PoolingStrategy(strategy)
        for name in ('pooling_layer', 'device_map'):
            given = values.get(name, getattr(cls, name))
            values[name] = (given,) if isinstance(given, int) else tuple(given)
        if not values['pooling_layer']:
            raise UsageError('-pooling_layer: expected at least one layer')
        settings = cls(**values)
        check_engine(settings)
        check_cluster(settings)
        if settings.bf16 and settings.fp16:
            raise UsageError('-bf16 and -fp16 are mutually exclusive')
        if settings.no_terminate and settings.allow_remote_terminate:
            raise UsageError('-no_terminate and -allow_remote_terminate are mutually exclusive')
        if (settings.curve_key_file is None) != (settings.curve_clients is None):
            raise UsageError('-curve_key_file and -curve_clients go together: give both, or neither')
        if 0 != settings.port == settings.port_out:
            raise UsageError('-port and -port_out are both %d: give them different ports' % settings.port)
        return settings

    @property
    def may_mix_devices(self) -> bool:
        """Whether GPUs and CPUs might share the graph. Without a GPU it still runs, though with plain ops only."""
        if self.cpu or self.engine == ONNX_RUNTIME:
            return False
        local = self.device_map[: self.num_worker]
        if self.ray is None:
            return any(device >= 0 for device in local)
        if self.ray_num_worker is None:  # all workers are on the cluster, and alike
            return False
        return self.ray_gpus != 0 or set(local) != {-1}

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values. As in the status of 1.10, `pooling_strategy` is an integer."""
        values = {name: getattr(self, name) for name in OPTIONS}
        values['pooling_strategy'] = self.pooling_strategy.value
        values['pooling_layer'] = list(self.pooling_layer)
        values['device_map'] = list(self.device_map)
        return values

    def without_secrets(self) -> Settings:
        """A copy of the settings without secrets, for processes that need none."""
        hidden: dict[str, Any] = {name: None for name, option in OPTIONS.items() if option.secret}
        return replace(self, **hidden)

    def to_status(self) -> dict[str, Any]:
        """The settings for clients: `to_dict` with `***` instead of secrets."""
        options = OPTIONS
        return {
            name: '***' if options[name].secret and value is not None else value
            for name, value in self.to_dict().items()
        }

    def to_table(self) -> str:
        """The table with the columns ARG and VALUE that the server prints at its start."""
        rows = {**self.to_status(), 'pooling_strategy': str(self.pooling_strategy)}
        for name in self.left_to_model:
            rows[name] = '%s, unless the model has its own value' % rows[name]
        lines = ['%30s   %s' % ('ARG', 'VALUE'), '_' * 60]
        lines += ['%30s = %s' % (name, rows[name]) for name in sorted(rows)]
        return '\n'.join(lines)


def _read_options() -> dict[str, Option]:
    options: dict[str, Option] = {f.name: f.metadata['option'] for f in fields(Settings) if f.metadata}
    return {name: replace(option, names=option.names or (name,)) for name, option in options.items()}


OPTIONS: Mapping[str, Option] = _read_options()
"""All options by the field names of `Settings`."""
