"""The activations of PyTorch that a Dense module of a published folder can name by the path of their class.

sentence-transformers writes the path of the module that defines a class. `torch.nn` exports the same classes.
"""

from __future__ import annotations

from collections.abc import Mapping

TORCH_ACTIVATIONS: Mapping[str, str] = {
    'Identity': 'linear',
    'Tanh': 'tanh',
    'ReLU': 'relu',
    'ReLU6': 'relu6',
    'RReLU': 'rrelu',
    'LeakyReLU': 'leaky_relu',
    'ELU': 'elu',
    'CELU': 'elu',
    'SELU': 'selu',
    'GELU': 'gelu',
    'SiLU': 'silu',
    'Mish': 'mish',
    'Hardswish': 'hardswish',
    'Hardsigmoid': 'hardsigmoid',
    'Hardtanh': 'hardtanh',
    'Hardshrink': 'hardshrink',
    'Sigmoid': 'sigmoid',
    'LogSigmoid': 'log_sigmoid',
    'Softmax': 'softmax',
    'Softplus': 'softplus',
    'Softshrink': 'softshrink',
    'Softsign': 'softsign',
    'Tanhshrink': 'tanhshrink',
}
"""The names of the classes, with the functions in `graph/activations.py`. All parameters have their defaults."""

_PACKAGES = ('torch.nn', 'torch.nn.modules', 'torch.nn.modules.activation', 'torch.nn.modules.linear')


def torch_activation(path: object) -> str | None:
    """Return the function of a class by its path, or None if there is none."""
    package, _, name = str(path).rpartition('.')
    return TORCH_ACTIVATIONS.get(name) if package in _PACKAGES else None
