"""Set the location of the weights, which an ONNX model names in every constant.

The exporter writes a location as long as the longest name. A worker replaces it by the name of the file, padded with
`./` to the same length. So a worker can read a model under any name without a library for its format.
"""

from __future__ import annotations

import os

LENGTH = 288
"""More than the longest name of a file, 255 bytes."""

ANYWHERE = '?' * LENGTH


def place(content: bytes, weights: str) -> bytes:
    """Return the model in `content`, whose weights are in the file `weights` in the folder of the model."""
    name = os.fsencode(os.path.basename(weights))
    steps, slash = divmod(LENGTH - len(name), 2)
    return content.replace(ANYWHERE.encode(), b'./' * steps + b'/' * slash + name)
