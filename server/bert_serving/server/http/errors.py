"""What an HTTP request can come to beside an answer: one table of kinds, and the two shapes in which they are told.

Pure; raised by every module of this package, turned into a response by `app`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """The status of a kind of fault, how OpenAI's API calls it, and after how many seconds to try again.

    `is_final`: the same request again would end the same way, though clients repeat what has such a status.
    """

    status: int
    openai_type: str
    code: str
    retry_after_s: int | None = None
    is_final: bool = False


_CALLER, _SERVER = 'invalid_request_error', 'server_error'

KINDS: Mapping[str, Kind] = {
    'BadRequest': Kind(400, _CALLER, 'invalid_request'),
    'Unauthorized': Kind(401, _CALLER, 'invalid_api_key'),
    'NotFound': Kind(404, _CALLER, 'not_found'),
    'ModelNotFound': Kind(404, _CALLER, 'model_not_found'),
    'MethodNotAllowed': Kind(405, _CALLER, 'method_not_allowed'),
    'TooLarge': Kind(413, _CALLER, 'request_too_large'),
    'UnsupportedMediaType': Kind(415, _CALLER, 'unsupported_media_type'),
    'HeadersTooLarge': Kind(431, _CALLER, 'headers_too_large'),
    'Busy': Kind(429, 'rate_limit_error', 'rate_limit_exceeded', retry_after_s=1),
    'ClientGone': Kind(499, _CALLER, 'client_gone'),
    'InternalError': Kind(500, _SERVER, 'internal_error'),
    'PoisonedRequest': Kind(500, _SERVER, 'poisoned_request', is_final=True),
    'NotImplemented': Kind(501, _SERVER, 'not_implemented', is_final=True),
    'BadGateway': Kind(502, _SERVER, 'bad_gateway'),
    'ShuttingDown': Kind(503, _SERVER, 'shutting_down', retry_after_s=5),
    'Unavailable': Kind(503, _SERVER, 'unavailable', retry_after_s=5),
    'DeadlineExceeded': Kind(504, _SERVER, 'deadline_exceeded', is_final=True),
}
"""The kinds; those of the server's error replies have the names that they have on the wire."""


class HTTPError(Exception):
    """A request that is not answered with what it asked for.

    `param` names the field at fault. `type_name` is what 1.10 called it, by the name of a Python exception; without it,
    its `type` there is the name of the kind.
    """

    def __init__(self, kind: str, message: str, param: str | None = None, type_name: str | None = None) -> None:
        super().__init__(message)
        self.name = kind
        self.kind = KINDS[kind]
        self.message = message
        self.param = param
        self.type_name = type_name or kind

    @property
    def status(self) -> int:
        return self.kind.status

    def to_legacy(self) -> dict[str, Any]:
        """The body of an error in the shape of 1.10."""
        return {'description': self.message, 'type': self.type_name, 'status': self.status}

    def to_openai(self) -> dict[str, Any]:
        """The body of an error in the shape of OpenAI's API."""
        return {
            'error': {
                'message': self.message,
                'type': self.kind.openai_type,
                'param': self.param,
                'code': self.kind.code,
            }
        }


_REFUSALS = {
    'Unauthorized': 'this server asks for an API key: send "Authorization: Bearer KEY", with a right one',
    'Busy': 'too many requests are waiting already: try again in a moment',
    'TooLarge': 'the body is larger than this server takes',
    'ShuttingDown': 'this proxy is shutting down',
}


def make_refusal(kind: str) -> HTTPError:
    """The fault of a request that is turned away before its route is looked at."""
    return HTTPError(kind, _REFUSALS[kind])


def error_from_server(type_name: str, message: str) -> HTTPError:
    """The fault that an error reply of the server behind stands for; one of a kind unknown here is the server's own."""
    return HTTPError(type_name if type_name in KINDS else 'InternalError', message)


def error_from_status(status: int, message: str) -> HTTPError:
    """The fault that Flask means by a status: the first kind of the table that has it, or a fault of ours."""
    for name, kind in KINDS.items():
        if kind.status == status:
            return HTTPError(name, message)
    return HTTPError('BadRequest' if 400 <= status < 500 else 'InternalError', message)
