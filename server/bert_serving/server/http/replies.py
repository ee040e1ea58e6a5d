"""Flask responses: JSON, or the bytes of an array if the client prefers `application/octet-stream`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Response, request

from .responses import Array, little_endian, octets

JSON, OCTETS = 'application/json', 'application/octet-stream'


def reply_json(body: bytes | list[bytes]) -> Response:
    """A response with a body of `dump`, or in parts."""
    return Response(body, mimetype=JSON)


def reply_array(array: Array, make_body: Callable[[], list[bytes]], lengths: Sequence[int] | None = None) -> Response:
    """Respond with the bytes of `array` if the client prefers them to JSON, otherwise with the body of `make_body`.

    `lengths` has the number of tokens of each row of [B, T, D].
    """
    accepted = request.accept_mimetypes
    if accepted.quality(OCTETS) > accepted.quality(JSON):
        body, headers = octets(little_endian(array, keeps_type=True), lengths)
        response = Response(body, headers=headers, mimetype=OCTETS)
    else:
        response = reply_json(make_body())
    response.vary.add('Accept')
    return response
