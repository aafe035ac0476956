"""Composition root of the route: builds everything, runs until SIGTERM, answers with an exit code."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException

from brokers.errors import AlgoError, SettingsError, StoreError
from gateway.http.gate import Gate, from_elsewhere, refuse
from supervisor.routing import api, config
from supervisor.routing.api import Route, problem
from supervisor.routing.config import Config
from supervisor.routing.forward import Forwarder, Parts
from supervisor.routing.journal import NAME, Journal
from supervisor.routing.keys import RouteKeys
from supervisor.routing.link import Instances, Loopback
from supervisor.routing.watch import Watch
from supervisor.serving import (
    EXIT_CRASH,
    EXIT_OK,
    EXIT_PORT_TAKEN,
    EXIT_SETTINGS,
    STOP_WITHIN_S,
    log_to,
    serve,
    until_told,
)

log = logging.getLogger("route")

MAX_BODY_BYTES = 256 * 1024


class SystemTime:
    """``forward.Clock``."""

    def time_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


def build(settings: Config) -> Route:
    """Everything behind the address. Raises ``SettingsError``, ``StoreError``."""
    instances = Instances(settings.home, settings.venue)
    for name in settings.instances:
        instances.settings(name)
    journal = Journal(settings.folder / NAME, settings.venue.value)
    link = Loopback(instances)
    watch = Watch(settings.instances, instances, link, journal)
    forwarder = Forwarder(Parts(journal, link, SystemTime(), watch.looks, watch.spelt))
    pool = ThreadPoolExecutor(8 * len(settings.instances), thread_name_prefix="ask")
    return Route(settings, RouteKeys(settings.folder), journal, forwarder, link, watch, pool)


def create(route: Route) -> Flask:
    """The application behind its gate. Nothing is started; ``route.watch.start`` and a server do that."""
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.register_blueprint(api.blueprint(route))

    @app.get("/health/live")
    def live() -> Response:
        return jsonify({"status": "ok", "pid": os.getpid()})

    @app.get("/health/ready")
    def ready() -> Response:
        body = api.health(route)
        answer = jsonify({**body, "pid": os.getpid()})
        answer.status_code = 200 if body["ready"] else 503
        return answer

    _errors(app)
    inner = app.wsgi_app

    def ours(environ, start_response):  # type: ignore[no-untyped-def]
        # a page in a browser on this machine must not place orders, whatever key it has read
        if from_elsewhere(environ):
            return refuse(start_response, "403 Forbidden", "ORIGIN_NOT_ALLOWED", "another origin's page")
        return inner(environ, start_response)

    app.wsgi_app = Gate(  # type: ignore[method-assign]
        ours,
        allowed_hosts=route.config.hosts,
        may_listen=lambda environ: False,  # noqa: ARG005 - there is no Socket.IO here
    )
    return app


def _errors(app: Flask) -> None:
    def said(status: int, code: str, message: str, **more: str) -> Response:
        answer = jsonify(problem(code, message, **more))
        answer.status_code = status
        return answer

    @app.errorhandler(HTTPException)
    def known(exc: HTTPException) -> Response:
        code = "NOT_FOUND" if exc.code == 404 else "INVALID_REQUEST"
        return said(exc.code or 500, code, exc.description or exc.name)

    @app.errorhandler(Exception)
    def unforeseen(exc: Exception) -> Response:
        number = os.urandom(4).hex()
        log.error("request failed", extra={"error_id": number}, exc_info=exc)
        # it may have broken after the order was sent: the journal knows, and so does a repeat of its id
        step = "Repeat it with the same client_order_id, or look into the order book, before anything else."
        message = "An unexpected error occurred; the route's log has it under this error_id"
        return said(500, "INTERNAL", message, error_id=number, next_step=step)


def main(path: Path) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code (0, 2 or 3)."""
    stop = until_told()
    try:
        settings = config.read(path)
        log_to(settings.folder, "route", settings.venue)
        route = build(settings)
    except (SettingsError, OSError) as exc:
        log.error("%s", exc)
        return EXIT_SETTINGS
    except StoreError as exc:
        # a full disk may have room again: the supervisor tries once more
        log.error("%s", exc)
        return EXIT_CRASH
    server = serve(create(route), settings.port)
    if server is None:
        return EXIT_PORT_TAKEN
    route.watch.start(lambda: _resolve(route))
    log.info("routing to %s, data of %s", ", ".join(settings.instances), settings.data)
    stop.wait()
    server.stop(STOP_WITHIN_S)
    route.watch.stop()
    return EXIT_OK


def _resolve(route: Route) -> None:
    """Orders left open by a lost answer or an earlier process are asked for until their end is known."""
    try:
        route.forwarder.resolve_all()
    except AlgoError as exc:
        log.error("open orders were not asked for: %s", exc)
