"""`/dashboard`: a page that shows what `/status/server` and `/metrics` tell. It asks them itself, from the browser.

`dashboard.html` is built from plugin/dashboard by `make dashboard`: one file, which asks no other server for anything.
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
    """The route; the page is read once."""
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
        response.cache_control.no_cache = True  # a browser asks each time whether it is still the same
        response.set_etag(tag, weak=True)  # it is the same compressed or not
        response.make_conditional(request)
        return response

    return routes


def policy_of(page: str) -> str:
    """A content security policy with which a browser runs what is in `page`, and nothing that comes from elsewhere.

    The page may ask any server for its status: its user says which.
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
