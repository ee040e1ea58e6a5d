"""The HTML pages: `/dashboard`, which shows `/status/server` and `/metrics`, and `/`, which has links and a form.

`make dashboard` builds `dashboard.html` from plugin/dashboard. Each page is a single file that loads nothing from other
servers, and requests its data from the browser.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from flask import Blueprint, Response, request

PAGE, HOME = (Path(__file__).with_name(name) for name in ('dashboard.html', 'home.html'))

_INLINE = re.compile(r'<(script|style)\b[^>]*>(.*?)</\1>', re.DOTALL)


def make_pages_blueprint() -> Blueprint:
    """Make the routes. This reads the pages, once."""
    routes = Blueprint('pages', __name__)
    routes.get('/', endpoint='home')(_route_of(HOME))
    routes.get('/dashboard', endpoint='dashboard', strict_slashes=False)(_route_of(PAGE))
    return routes


def _route_of(path: Path) -> Callable[[], Response]:
    page = path.read_bytes()
    headers = {
        'content-security-policy': policy_of(page.decode()),
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
    }
    tag = hashlib.sha256(page).hexdigest()

    def show() -> Response:
        response = Response(page, mimetype='text/html', headers=headers)
        response.cache_control.no_cache = True  # a browser checks each time whether the page has changed
        response.set_etag(tag, weak=True)  # the tag is the same for the compressed page
        response.make_conditional(request)
        return response

    return show


def policy_of(page: str) -> str:
    """Make a content security policy that allows only the inline scripts and styles of `page`.

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
