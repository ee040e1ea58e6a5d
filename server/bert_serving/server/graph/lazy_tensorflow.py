"""TensorFlow's public names, each imported when it is first used.

`import tensorflow` imports 2,400 modules in 2.5 s of CPU. Building and running a graph needs 600 of them, in 0.8 s and
with 130 MB less. TensorFlow's own `__init__` files list the module of each public name, so this module reads the lists
instead of running them. The names are the same objects.

Imports no TensorFlow itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import site
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_NAME = re.compile(r'^from (tensorflow\.\S+) import (\w+)(?: as (\w+))?', re.MULTILINE)

_AT_IMPORT = ('TF_USE_MODULAR_FILESYSTEM', 'TF_PLUGGABLE_DEVICE_LIBRARY_PATH', 'TF_USE_LEGACY_KERAS')
"""The environment variables that make `import tensorflow` do more than define names."""

_NEEDED = ('Graph', 'compat', 'import_graph_def', 'raw_ops')


class Names(ModuleType):
    """A module of TensorFlow's public API. Reading an attribute imports the module that defines the name."""

    def __init__(self, name: str, folder: str) -> None:
        """`folder` has the `__init__.py` that lists the names.

        Raises:
            OSError: the list cannot be read.
        """
        super().__init__(name)
        self.__path__ = [folder]
        with open(os.path.join(folder, '__init__.py'), encoding='utf-8') as file:
            self._defined = {alias or name: (module, name) for module, name, alias in _NAME.findall(file.read())}

    def __getattr__(self, name: str) -> Any:
        try:
            module, original = self.__dict__['_defined'][name]
        except KeyError:
            raise AttributeError('%s has no %s' % (self.__name__, name)) from None
        value = _api(module, original) or getattr(importlib.import_module(module), original)
        setattr(self, name, value)
        return value

    def has(self, *names: str) -> bool:
        """Whether the list has all these names."""
        return all(name in self._defined for name in names)


def _api(module: str, name: str) -> Names | None:
    """The part `name` of the public API, or None."""
    if not module.startswith('tensorflow._api.'):
        return None
    _, *parts = module.split('.')
    folder = os.path.join(sys.modules['tensorflow'].__path__[0], *parts, name)
    return Names(f'{module}.{name}', folder) if os.path.isdir(folder) else None


def import_lazily() -> ModuleType | None:
    """Put TensorFlow into `sys.modules` without running its `__init__`, and return it.

    Return None without any change if it is already imported, its lists are not as expected, or `import tensorflow`
    would do more than define names, such as loading a device plug-in.
    """
    spec = importlib.util.find_spec('tensorflow') if 'tensorflow' not in sys.modules else None
    if spec is None or _has_plug_ins():
        return None
    for folder in spec.submodule_search_locations or ():
        return _import_from(spec, folder)
    return None


def _import_from(spec: ModuleSpec, folder: str) -> ModuleType | None:
    try:
        names = Names('tensorflow', folder)
    except OSError:
        return None
    if not names.has(*_NEEDED) or os.path.isdir(os.path.join(folder, 'core', 'kernels')):
        return None
    names.__spec__, names.__file__ = spec, spec.origin
    os.environ.setdefault('TF2_BEHAVIOR', '1')
    sys.modules['tensorflow'] = names
    try:
        importlib.import_module('tensorflow.python.pywrap_tensorflow')
        importlib.import_module('tensorflow.python.compat.v2_compat').enable_v2_behavior()
        importlib.import_module('tensorflow.python.client.session')
    except (ImportError, AttributeError):
        for name in [name for name in sys.modules if name.split('.')[0] == 'tensorflow']:
            del sys.modules[name]
        return None
    return names


def _has_plug_ins() -> bool:
    folders = {*site.getsitepackages(), *(path for path in sys.path if 'site-packages' in path)}
    return any(os.environ.get(name) for name in _AT_IMPORT) or any(
        os.path.isdir(os.path.join(folder, 'tensorflow-plugins')) for folder in folders
    )
