"""Audit lines for HTTP requests: encoding requests of principals, and refusals."""

from __future__ import annotations

from flask import Flask, Response, g, request

from ..security.actions import AuditAction
from ..security.audit import Audit
from ..security.principals import ANONYMOUS
from .errors import HTTPError

_ACTIONS = {
    'Unauthorized': AuditAction.WRONG_KEY,
    'WrongKeys': AuditAction.REFUSED,
    'Forbidden': AuditAction.REFUSED,
    'QuotaExceeded': AuditAction.QUOTA,
}
"""The audit action for each kind of error."""


def install(app: Flask, audit: Audit) -> None:
    """Write an audit line after each such request, without texts or keys."""

    @app.after_request
    def _write(response: Response) -> Response:
        error: HTTPError | None = g.get('error')
        name = g.principal.name if 'principal' in g else ''
        call = g.get('backend_call')
        action = None if error is None else _ACTIONS.get(error.name)
        if action is AuditAction.WRONG_KEY and 'authorization' not in request.headers:
            action = AuditAction.REFUSED
        if action is None and call is not None and name not in ('', ANONYMOUS):
            action = AuditAction.GRANTED
        if action is not None:
            audit.record(
                action,
                name,
                request.remote_addr or '',
                request_id=g.get('request_id'),
                rows=call.rows if call is not None else None,
                bytes=request.content_length,
                outcome='status %d' % response.status_code if error is None else error.message,
            )
        return response
