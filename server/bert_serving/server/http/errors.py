"""The errors of the HTTP API: a table of kinds, and the format of errors for each family of routes.

Pure. Every module of this package raises `HTTPError`; `app` turns it into a response.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from ..protocol.options import ENCODING_OPTIONS

Family = Literal['legacy', 'openai', 'tei', 'cohere']
"""The API of a route: 1.10's, OpenAI's, text-embeddings-inference's, or Cohere's and Jina's."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of error: its status, its type and code in OpenAI's API, and the seconds after which to retry.

    `is_final` means that a retry cannot help, although clients retry this status. `tei_type` is the type in the API of
    text-embeddings-inference (TEI), and `tei_status` the status there, if it differs.
    """

    status: int
    openai_type: str
    code: str
    retry_after_s: int | None = None
    is_final: bool = False
    tei_type: str = 'Validation'
    tei_status: int | None = None


_CALLER, _SERVER = 'invalid_request_error', 'server_error'

KINDS: Mapping[str, Kind] = {
    'BadRequest': Kind(400, _CALLER, 'invalid_request'),
    'TooLong': Kind(400, _CALLER, 'context_length_exceeded', tei_status=413),
    'Unauthorized': Kind(401, _CALLER, 'invalid_api_key'),
    'Forbidden': Kind(403, _CALLER, 'insufficient_permissions', is_final=True),
    'NotFound': Kind(404, _CALLER, 'not_found'),
    'ModelNotFound': Kind(404, _CALLER, 'model_not_found'),
    'MethodNotAllowed': Kind(405, _CALLER, 'method_not_allowed'),
    'TooLarge': Kind(413, _CALLER, 'request_too_large'),
    'UnsupportedMediaType': Kind(415, _CALLER, 'unsupported_media_type'),
    'HeadersTooLarge': Kind(431, _CALLER, 'headers_too_large'),
    'Busy': Kind(429, 'rate_limit_error', 'rate_limit_exceeded', retry_after_s=1, tei_type='Overloaded'),
    'QuotaExceeded': Kind(429, 'rate_limit_error', 'rate_limit_exceeded', retry_after_s=1, tei_type='Overloaded'),
    'WrongKeys': Kind(429, 'rate_limit_error', 'wrong_keys', retry_after_s=60, tei_type='Overloaded'),
    'ClientGone': Kind(499, _CALLER, 'client_gone'),
    'InternalError': Kind(500, _SERVER, 'internal_error', tei_type='Backend', tei_status=424),
    'ProxyError': Kind(500, _SERVER, 'internal_error', tei_type='Backend'),
    'PoisonedRequest': Kind(500, _SERVER, 'poisoned_request', is_final=True, tei_type='Backend', tei_status=424),
    'NotFinite': Kind(500, _SERVER, 'not_finite', is_final=True, tei_type='Backend', tei_status=424),
    'NotImplemented': Kind(501, _SERVER, 'not_implemented', is_final=True),
    'BadGateway': Kind(502, _SERVER, 'bad_gateway', tei_type='Backend'),
    'ShuttingDown': Kind(503, _SERVER, 'shutting_down', retry_after_s=5, tei_type='Unhealthy'),
    'ResponsesUnread': Kind(503, _SERVER, 'responses_unread', retry_after_s=5),
    'Unavailable': Kind(503, _SERVER, 'unavailable', retry_after_s=5, tei_type='Unhealthy'),
    'DeadlineExceeded': Kind(504, _SERVER, 'deadline_exceeded', is_final=True, tei_type='Backend'),
}
"""All kinds by name. The server's error replies (`REQUEST_ERRORS`) have the same names as on the wire."""


class HTTPError(Exception):
    """A request that ends in an error response.

    `name` is a key of `KINDS`. `param` names the invalid field. `type_name` is the `type` in 1.10's format: a Python
    exception if 1.10 would have raised one, otherwise the name of the kind. `retry_after_s` overrides the value of the
    kind.
    """

    def __init__(
        self,
        name: str,
        message: str,
        param: str | None = None,
        type_name: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.name = name
        self.kind = KINDS[name]
        self.message = message
        self.param = param
        self.type_name = type_name or name
        self.retry_after_s = self.kind.retry_after_s if retry_after_s is None else retry_after_s

    def copy(self) -> HTTPError:
        """Make another error with the same content, to be raised in another thread."""
        return HTTPError(self.name, self.message, self.param, self.type_name, self.retry_after_s)

    @property
    def status(self) -> int:
        """The status of the response, except on TEI's routes."""
        return self.kind.status

    def to_response(self, family: Family) -> tuple[int, dict[str, Any]]:
        """The status and body of the response for a family of routes."""
        match family:
            case 'legacy':
                return self.status, self.to_legacy()
            case 'openai':
                return self.status, self.to_openai()
            case 'tei':
                status, error_type = self._in_tei()
                return status, {'error': self.message, 'error_type': error_type}
            case 'cohere':
                return self.status, {'message': self.message, **self.to_openai()}
            case _:
                assert_never(family)

    def _in_tei(self) -> tuple[int, str]:
        """The status and type in TEI's API: 400 for an empty input, 422 for a field of a wrong type."""
        if self.name == 'BadRequest' and self.param is not None:
            return (400, 'Empty') if self.type_name == 'ValueError' else (422, self.kind.tei_type)
        return self.kind.tei_status or self.status, self.kind.tei_type

    def to_legacy(self) -> dict[str, Any]:
        """The body in the format of 1.10."""
        return {'description': self.message, 'type': self.type_name, 'status': self.status}

    def to_openai(self) -> dict[str, Any]:
        """The body in the format of OpenAI's API."""
        return {
            'error': {
                'message': self.message,
                'type': self.kind.openai_type,
                'param': self.param,
                'code': self.kind.code,
            }
        }


_REFUSALS = {
    'Unauthorized': 'missing or wrong API key: send the header "Authorization: Bearer KEY"',
    'Busy': 'too many requests are waiting: retry in a moment',
    'TooLarge': 'the body is too large: send less at a time',
    'ResponsesUnread': 'too many unread responses of other clients: retry later',
    'ShuttingDown': 'the HTTP proxy is shutting down: retry later',
}


def make_refusal(name: str) -> HTTPError:
    """Make the error for a request that is refused before its route is called."""
    return HTTPError(name, _REFUSALS[name])


def error_from_server(type_name: str, message: str) -> HTTPError:
    """Make the error for an error reply of the server. An unknown type becomes an `InternalError`.

    If the message is about an option of the request, it begins with the name of the option.
    """
    option, colon, _ = message.partition(': ')
    param = option if colon and option in ENCODING_OPTIONS else None
    return HTTPError(type_name if type_name in KINDS else 'InternalError', message, param)


def error_from_status(status: int, message: str) -> HTTPError:
    """Make the error for a status that Flask has chosen: the first kind with that status, or a general one."""
    for name, kind in KINDS.items():
        if kind.status == status:
            return HTTPError(name, message)
    return HTTPError('BadRequest' if 400 <= status < 500 else 'InternalError', message)
