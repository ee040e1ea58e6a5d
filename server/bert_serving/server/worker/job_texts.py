"""The texts of a job: decoded and checked."""

from __future__ import annotations

from typing import Any

from ..errors import RequestError
from ..protocol.ring import Job
from ..protocol.texts import decode_texts, parse_pairs, parse_texts


def read_texts(job: Job) -> list[Any]:
    """The texts of a job, or its lists of tokens or ids, or its pairs.

    The ventilator has looked at large messages: none is much larger in memory than as JSON.

    Raises:
        RequestError: they are anything else, or another number; it counts the elements of the whole request.
    """
    header = job.header
    try:
        value = decode_texts(job.payload)
    except RequestError as error:
        if header.request.parts == 1:
            raise
        last = header.first_row + header.rows - 1
        raise type(error)('elements %d to %d: %s' % (header.first_row, last, error.message)) from None
    options = job.options
    if options is not None and options.pairs and not (options.offsets or options.decode):
        return parse_pairs(value, header.rows, header.first_row)
    return parse_texts(value, header.rows, header.first_row)
