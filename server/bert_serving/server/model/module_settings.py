"""The JSON object of a module of a published folder, with validated access to its keys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ModelError
from .files import read_json_object


@dataclass(frozen=True)
class ModuleSettings:
    """The values of a module, by their keys. Errors name the file, the key and the value."""

    path: str
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: str, *, optional: bool = False) -> ModuleSettings:
        return cls(path, {} if optional and not os.path.lexists(path) else read_json_object(path))

    def value(self, *keys: str) -> Any:
        """The value of the first present key of `keys`, or None."""
        return next((self.values[key] for key in keys if key in self.values), None)

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refusal(key, 'true or false', value)
        return value

    def size(self, *keys: str) -> int:
        value = self.value(*keys)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 20:
            raise self.refusal(keys[0], 'a number from 1 to %d' % ((1 << 20) - 1), value)
        return value

    def section(self, key: str) -> Mapping[str, Any]:
        """The object under `key`, or an empty one if it is missing."""
        value = self.values.get(key)
        value = {} if value is None else value
        if not isinstance(value, dict):
            raise self.refusal(key, 'an object', value)
        return value

    def only(self, key: str, expected: object) -> None:
        value = self.values.get(key)
        if value is not None and value != expected:
            raise self.refusal(key, repr(expected), value)

    def refusal(self, key: str, expected: str, value: object) -> ModelError:
        return ModelError('%s: %r must be %s, not %.100r' % (self.path, key, expected, value))
