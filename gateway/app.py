"""The Flask application of one instance: REST, pages and Socket.IO behind one gate."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Flask, Request, Response, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from gateway.api import (
    analyzing,
    direct,
    dispatch,
    health,
    historify,
    internal,
    leases,
    metrics,
    older,
    openapi,
    panic,
    pulling,
    webhooks,
)
from gateway.api.parts import Parts
from gateway.http.gate import Gate
from gateway.pagekit.headers import content_policy as content_policy
from gateway.pagekit.headers import harden
from gateway.web import fleetapi, pageapi, pages
from gateway.web.access import Csrf, OneTimeCode, WebSessions, cookie_settings, over_tls
from gateway.web.assets import Assets
from gateway.web.live import Live
from gateway.web.pages import Web

MAX_BODY_BYTES = 1024 * 1024
API_PREFIX = "/api/"
KEYED_PREFIXES = ("/api/", "/internal/", "/health/", "/metrics")


def create(parts: Parts, code: OneTimeCode, sessions: WebSessions, live: Live) -> Flask:
    """Build the application. Nothing is started; ``live.start`` and a server do that."""
    settings = parts.settings
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["MAX_FORM_MEMORY_SIZE"] = 64 * 1024
    cookie_settings(app, settings.session_cookie, settings.app_key)
    app.session_interface = PageSessions()
    # //api/v1/… is answered, not redirected (the gate has taken the extra slashes off already)
    app.url_map.merge_slashes = False

    csrf = Csrf(settings.csrf_cookie, settings.app_key)
    web = Web(parts, sessions, csrf, code, live, Assets())

    def error_page(status: int, message: str) -> Response:
        return pages.show(web, "message.html", status, message=message)

    app.register_blueprint(dispatch.blueprint(parts))
    app.register_blueprint(older.blueprint(parts))
    app.register_blueprint(panic.blueprint(parts))
    app.register_blueprint(leases.blueprint(parts))
    app.register_blueprint(analyzing.blueprint(parts))
    app.register_blueprint(historify.blueprint(parts))
    app.register_blueprint(webhooks.blueprint(parts))
    app.register_blueprint(openapi.blueprint())
    app.register_blueprint(health.blueprint(parts))
    app.register_blueprint(metrics.blueprint(parts))
    app.register_blueprint(internal.blueprint(parts))
    app.register_blueprint(pulling.blueprint(parts))
    app.register_blueprint(pages.blueprint(web))
    app.register_blueprint(pageapi.blueprint(web))
    app.register_blueprint(fleetapi.blueprint(parts, live))
    dispatch.error_handlers(app, parts, error_page)
    app.after_request(partial(_security_headers, feed_port=settings.ws_port))
    live.attach(app, parts)

    def signed_in(environ: dict[str, Any]) -> bool:
        with app.request_context(environ):
            return sessions.user_id() is not None

    # Flask documents this assignment; its stubs call it a method
    app.wsgi_app = Gate(  # type: ignore[method-assign]
        app.wsgi_app,
        allowed_hosts=settings.allowed_hosts,
        may_listen=signed_in,
        direct=direct.Direct(parts, MAX_BODY_BYTES),
        trusted_proxies=settings.trusted_proxies,
    )
    return app


class PageSessions(SecureCookieSessionInterface):
    """No cookie is looked at where none counts: programs bring a key."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if request.path.startswith(KEYED_PREFIXES):
            return None
        return super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:
        return over_tls()


def _security_headers(response: Response, feed_port: int) -> Response:
    if request.path.startswith(API_PREFIX):
        direct.decorate(response, request.environ)
        return response
    return harden(response, feed_port)
