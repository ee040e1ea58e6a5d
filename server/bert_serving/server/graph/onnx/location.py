"""The place of the weights, which an ONNX model names in every constant, and which is the same for all names of files.

The exporter writes a place as long as the longest name; a worker replaces it by the name of the file, made as long by
steps that lead nowhere. Thus a model can be read where it lies, under any name, without a library for its format.
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
