"""The size of a reply, before its request is accepted. Pure.

A request can be small and its reply large: a text of one byte has a vector of thousands. Where the length of the rows
is not known before they are tokenized, the size is the least possible; the sink learns the rest from the first part.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import TooLarge
from ..protocol.options import EncodingOptions
from ..protocol.wire import EncodeRequest

ITEM_BYTES = {'float32': 4, 'float16': 2, 'int8': 1}

ID_BYTES = 4
"""A token id, int32."""


@dataclass(frozen=True, slots=True)
class ReplySize:
    """How large the reply to a row is.

    Attributes:
        width: the numbers of a vector, or of the state of a token.
        item_bytes: the bytes of a number, if the request does not choose its type.
        tokens: the tokens of a row, at least, whose states are answered; 1 if it is one vector.
        most: bytes of the largest reply that the server makes.
    """

    width: int = 0
    item_bytes: int = 4
    tokens: int = 1
    most: int = 1 << 62

    def check(self, request: EncodeRequest) -> None:
        """Raise TooLarge if the reply would be larger than the server makes them."""
        size = request.rows * self.row_bytes(request.options.tokenize, request.options.encoding)
        if size > self.most:
            raise TooLarge(describe_excess(request.rows, size, self.most))

    def row_bytes(self, tokenize: bool, options: EncodingOptions | None) -> int:
        """The bytes of a row in the reply, at least."""
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
    """Say that a reply would be too large, and what to do."""
    return (
        'the reply to %d rows would have %d MB, and -max_reply_bytes of the server is %d MB: send it in parts, or ask for '
        'fewer dimensions or a smaller dtype' % (rows, -(-size // 1_000_000), most // 1_000_000)
    )
