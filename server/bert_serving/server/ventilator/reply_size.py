"""Estimate the size of a reply before accepting its request. Pure.

A small request can have a large reply: a text of one byte has a vector of thousands. If the size depends on the tokens,
this estimate is the minimum. The sink learns the rest from the first part.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import TooLarge
from ..protocol.options import EncodingOptions
from ..protocol.wire import EncodeRequest

ITEM_BYTES = {'float32': 4, 'float16': 2, 'int8': 1}

ID_BYTES = 4
"""Bytes of a token id, int32."""


@dataclass(frozen=True, slots=True)
class ReplySize:
    """The size of the reply to a row.

    Attributes:
        width: the numbers in a vector, or in the state of a token.
        item_bytes: the bytes of a number, unless the request chooses its type.
        tokens: the minimum number of tokens in a row whose states are returned; 1 for pooled vectors.
        most: bytes of the largest allowed reply.
    """

    width: int = 0
    item_bytes: int = 4
    tokens: int = 1
    most: int = 1 << 62

    def check(self, request: EncodeRequest) -> None:
        """Raise TooLarge if the reply would be too large."""
        size = request.rows * self.row_bytes(request.options.tokenize, request.options.encoding)
        if size > self.most:
            raise TooLarge(describe_excess(request.rows, size, self.most))

    def row_bytes(self, tokenize: bool, options: EncodingOptions | None) -> int:
        """The minimum bytes of a row in the reply."""
        if tokenize:
            return ID_BYTES
        if options is None:
            return self.width * self.item_bytes * self.tokens
        width = options.dimensions or self.width
        if options.dtype in ('binary', 'ubinary'):
            return (width + 7) // 8 * self.tokens
        item_bytes = self.item_bytes if options.dtype is None else ITEM_BYTES[options.dtype]
        return width * item_bytes * self.tokens


def describe_excess(rows: int, size: int, most: int) -> str:
    """Make the message for a reply that would be too large."""
    return (
        'the reply to %d rows would have %d MB, but -max_reply_bytes of the server is %d MB: split the request, or ask '
        'for fewer dimensions or a smaller dtype' % (rows, -(-size // 1_000_000), most // 1_000_000)
    )
