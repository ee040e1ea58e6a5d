"""The modules of a published model that follow its pooling: Dense, LayerNorm and Normalize, in float32.

A final Normalize is not part of the graph: the workers normalize, so that requests can ask for unnormalized vectors.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ModelError
from ..model.pipeline import Dense, LayerNorm, Module
from .activations import ACTIVATIONS
from .checkpoint import Array, Shape, load_module
from .constants import Constants
from .inputs import Tensor
from .layer_norm import plain_layer_norm
from .tf import tf

_SHORTEST = 1e-12
"""The minimum divisor when normalizing a vector."""


def stored_shapes(module: Module) -> dict[str, Shape]:
    """The tensors in the file of a module, and their shapes."""
    if isinstance(module, Dense):
        kernel: dict[str, Shape] = {'linear.weight': (module.outputs, module.inputs)}
        return {**kernel, 'linear.bias': (module.outputs,)} if module.bias else kernel
    if isinstance(module, LayerNorm):
        return {'norm.weight': (module.width,), 'norm.bias': (module.width,)}
    return {}


def load_modules(modules: Sequence[Module], width: int) -> dict[str, Array]:
    """Read the weights of `modules`, which follow a pooling to `width`, under the names that `apply_modules` uses.

    Raises:
        ModelError: a file is damaged, or the output width of a module does not match the next input.
    """
    weights = {}
    for index, module in enumerate(modules):
        if isinstance(module, Dense | LayerNorm):
            takes = module.inputs if isinstance(module, Dense) else module.width
            if takes != width:
                raise ModelError(
                    '%s takes vectors of width %d, but gets %d: remove -pooling_layer, or give -pooling_strategy, '
                    'which leaves the modules out' % (module.weights, takes, width)
                )
            width = module.outputs if isinstance(module, Dense) else width
            stored = load_module(module.weights, stored_shapes(module))
            weights.update({'modules/%d/%s' % (index, name): values for name, values in stored.items()})
    return weights


def apply_modules(modules: Sequence[Module], constants: Constants, x: Tensor) -> Tensor:
    """Apply `modules` to pooled vectors, [B, any width]."""
    for index, module in enumerate(modules):
        scope = 'modules/%d/' % index
        if isinstance(module, Dense):
            x = tf.matmul(x, constants.get(scope + 'linear.weight'), transpose_b=True)
            x = tf.nn.bias_add(x, constants.get(scope + 'linear.bias')) if module.bias else x
            x = ACTIVATIONS[module.activation](x)
        elif isinstance(module, LayerNorm):
            gamma, beta = constants.get(scope + 'norm.weight'), constants.get(scope + 'norm.bias')
            x = plain_layer_norm(x, gamma, beta, module.epsilon)
        else:
            x /= tf.maximum(tf.norm(x, axis=-1, keepdims=True), _SHORTEST)
    return x
