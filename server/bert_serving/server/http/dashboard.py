"""`/dashboard`: a page that shows `/status/server` and `/metrics`, which it requests from the browser.

`make dashboard` builds `dashboard.html` from plugin/dashboard. It is a single file that loads nothing from other
servers.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from flask import Blueprint, Response, request

PAGE = Path(__file__).with_name('dashboard.html')

_INLINE = re.compile(r'<(script|style)\b[^>]*>(.*?)</\1>', re.DOTALL)


def make_dashboard_blueprint() -> Blueprint:
    """The route. The page is read once, here."""
    routes = Blueprint('dashboard', __name__)
    page = PAGE.read_bytes()
    headers = {
        'content-security-policy': policy_of(page.decode()),
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
    }
    tag = hashlib.sha256(page).hexdigest()

    @routes.get('/dashboard', strict_slashes=False)
    def dashboard() -> Response:
        response = Response(page, mimetype='text/html', headers=headers)
        response.cache_control.no_cache = True  # a browser checks each time whether the page has changed
        response.set_etag(tag, weak=True)  # the tag is the same for the compressed page
        response.make_conditional(request)
        return response

    return routes


def policy_of(page: str) -> str:
    """A content security policy that allows the inline scripts and styles of `page` and nothing from elsewhere.

    The page may connect to any server, because its user chooses the server.
    """
    hashes: dict[str, list[str]] = {'script': [], 'style': []}
    for kind, content in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        hashes[kind].append("'sha256-%s'" % digest)
    return '; '.join(
        (
            "default-src 'none'",
            'script-src ' + ' '.join(hashes['script']),
            'style-src ' + ' '.join(hashes['style']),
            'img-src data:',
            'connect-src http: https:',
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
