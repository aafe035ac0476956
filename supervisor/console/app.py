"""Composition root of the fleet page: builds everything, runs until SIGTERM, answers with an exit code."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from flask import Flask, Request, Response, jsonify
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from jinja2 import ChoiceLoader, FileSystemLoader
from werkzeug.exceptions import HTTPException

import gateway
from brokers.clock import Clock, SystemClock
from brokers.errors import SettingsError
from gateway.http.gate import Gate
from gateway.pagekit import frame
from gateway.pagekit.access import Csrf, OneTimeCode, WebSessions, cookie_settings, over_tls
from gateway.pagekit.assets import Assets
from gateway.pagekit.headers import harden
from supervisor.console import api, config, judge, owner, pages
from supervisor.console.actions import Actions
from supervisor.console.config import Config
from supervisor.console.gather import Gatherer
from supervisor.console.pages import Console
from supervisor.console.watch import Watch
from supervisor.serving import (
    EXIT_OK,
    EXIT_PORT_TAKEN,
    EXIT_SETTINGS,
    STOP_WITHIN_S,
    log_to,
    serve,
    until_told,
)

log = logging.getLogger("console")

SESSION_COOKIE = "session-console"
CSRF_COOKIE = "csrf-token-console"
"""With a dash, which no instance's name has: their cookies live beside these on the same host."""
MAX_BODY_BYTES = 64 * 1024
OURS = Path(__file__).parent
SHARED = Path(next(iter(gateway.__path__))) / "web"
"""Templates and static files of the instances' pages."""


def build(settings: Config, clock: Clock) -> Console:
    """Everything behind the pages. Raises ``SettingsError``."""
    kept = owner.OwnerFile(settings.data / owner.NAME, clock)
    code = OneTimeCode(needed=not kept.exists())
    code_file = settings.folder.path / config.CODE
    owner.publish_code(code_file, code.current())
    gatherer = Gatherer(settings.folder)

    def look() -> tuple[dict[str, Any], dict[str, Any]]:
        seen = gatherer.look()
        return judge.fleet(seen, clock.now()), judge.books(seen)

    return Console(
        config=settings,
        owner=kept,
        sessions=WebSessions(clock, kept),
        csrf=Csrf(CSRF_COOKIE, kept.key),
        code=code,
        assets=Assets(SHARED / "static", OURS / "static"),
        watch=Watch(look),
        actions=Actions(gatherer),
        spent=lambda: owner.publish_code(code_file, None),
    )


def create(console: Console) -> Flask:
    """The application behind its gate. Nothing is started; ``console.watch.start`` and a server do that."""
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.jinja_loader = ChoiceLoader(
        [FileSystemLoader(OURS / "templates"), FileSystemLoader(SHARED / "templates")]
    )
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = MAX_BODY_BYTES
    cookie_settings(app, SESSION_COOKIE, console.owner.key)
    app.session_interface = _PageSessions()
    app.register_blueprint(pages.blueprint(console))
    app.register_blueprint(api.blueprint(console))
    _health(app)
    _errors(app, console)
    app.after_request(harden)
    app.wsgi_app = Gate(  # type: ignore[method-assign]
        app.wsgi_app,
        allowed_hosts=console.config.hosts,
        may_listen=lambda environ: False,  # noqa: ARG005 - there is no Socket.IO here
    )
    return app


class _PageSessions(SecureCookieSessionInterface):
    """No cookie is looked at where none counts."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        return None if request.path.startswith("/health/") else super().open_session(app, request)

    def get_cookie_secure(self, app: Flask) -> bool:
        return over_tls()


def _health(app: Flask) -> None:
    @app.get("/health/live")
    def live() -> Response:
        return jsonify({"status": "ok", "pid": os.getpid()})

    @app.get("/health/ready")
    def ready() -> Response:
        return jsonify({"ready": True, "pid": os.getpid(), "waiting_for": []})


def _errors(app: Flask, console: Console) -> None:
    @app.errorhandler(HTTPException)
    def known(exc: HTTPException) -> Response:
        status = exc.code or 500
        return frame.show(console, "message.html", status, message=exc.description or "That did not work.")

    @app.errorhandler(Exception)
    def unforeseen(exc: Exception) -> Response:
        number = os.urandom(4).hex()
        log.error("request failed", extra={"error_id": number}, exc_info=exc)
        said = f"Something went wrong here. The log has it under {number}."
        return frame.show(console, "message.html", 500, message=said)


def main(path: Path) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code (0, 2 or 3)."""
    stop = until_told()
    try:
        settings = config.read(path)
        log_to(settings.data, "console", settings.venue)
        # a page that follows the logs would write the lines it follows; ``actions`` logs what was done
        logging.getLogger("gateway.request").setLevel(logging.WARNING)
        console = build(settings, SystemClock())
    except (SettingsError, OSError) as exc:
        log.error("%s", exc)
        return EXIT_SETTINGS
    server = serve(create(console), settings.port)
    if server is None:
        return EXIT_PORT_TAKEN
    console.watch.start()
    if console.code.current() is not None:
        # the code itself stays out of the log: whoever reads it could take the page over
        log.warning("no owner account yet: algo up prints the one-time code")
    stop.wait()
    console.watch.stop()
    server.stop(STOP_WITHIN_S)
    return EXIT_OK
