"""What every answer to a browser says about itself."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Response, request


def harden(response: Response, feed_port: int | None = None) -> Response:
    """Headers of a page, a file or an answer to a script.

    Args:
        feed_port: Another port of this machine the page may open a WebSocket to.
    """
    headers = response.headers
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if not request.path.startswith("/static/"):
        headers.setdefault("Cache-Control", "no-store")
    if response.mimetype == "text/html":
        headers["Content-Security-Policy"] = content_policy(request.host, feed_port)
    return response


def content_policy(host: str, feed_port: int | None = None) -> str:
    """No inline code, nothing from elsewhere, no text made into markup by a script (trusted types).

    ``host`` has passed the allow-list. The feed's port is the one other place a page may connect to.
    """
    connect = "'self'"
    if feed_port is not None:
        feed = f"{urlsplit(f'//{host}').hostname or host}:{feed_port}"
        connect += f" ws://{host} wss://{host} ws://{feed} wss://{feed}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src {connect}; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
