"""The pages of one instance: first owner account, sign-in, sign-out, dashboard."""

from __future__ import annotations

import logging
import re
import zlib
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from brokers.errors import InvalidRequest
from brokers.model import Venue
from gateway.api.parts import Parts
from gateway.gate import caller
from gateway.web.access import Csrf, OneTimeCode, WebSessions
from gateway.web.live import Live

log = logging.getLogger(__name__)

USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{1,31}\Z")
SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 200
WRONG = "The user name or password is not right."
WRONG_CODE = "The one-time code is not right. “algo up {name}” prints it, also while the instance runs."
TITLES = {403: "Not accepted", 404: "No such page", 429: "Too many tries", 500: "Something went wrong"}
HUES = 6
"""``hue-N`` classes of ``style.css`` and ``icon-N.svg`` files. Kotak and Dhan, which most people run side by
side, have one each; other instances share the rest by their name."""
FIXED_HUES = {"kotak": 0, "dhan": 1}


@dataclass(frozen=True, slots=True)
class Web:
    """What the pages are built from."""

    parts: Parts
    sessions: WebSessions
    csrf: Csrf
    code: OneTimeCode
    live: Live


def blueprint(web: Web) -> Blueprint:
    pages = Blueprint(
        "web", __name__, template_folder="templates", static_folder="static", static_url_path="/static"
    )

    @pages.before_request
    def guard() -> Response | None:
        if request.endpoint == "web.static":
            return None
        # the form's token first: a page elsewhere that posts here must not use up the owner's tries
        if request.method == "POST" and not web.csrf.valid():
            return _limited(web, "PAGE_RATE_LIMIT", "page refused") or show(
                web, "message.html", 403, message="This form was out of date. Go back and try again."
            )
        if request.endpoint in ("web.check", "web.make_owner"):
            return _limited(web, "LOGIN_RATE_LIMIT", "sign-in")
        return _limited(web, "PAGE_RATE_LIMIT", f"page {request.method}")

    @pages.after_request
    def plant(response: Response) -> Response:
        return web.csrf.plant(response)

    _owner_routes(pages, web)
    _session_routes(pages, web)
    return pages


def _limited(web: Web, limit: str, endpoint: str) -> Response | None:
    wait_s = web.parts.limits.hit(limit, endpoint, caller(request.environ))
    if wait_s is None:
        return None
    wait = max(1, round(wait_s))
    again = f"{wait} s" if wait < 120 else f"{round(wait / 60)} minutes"
    answer = show(web, "message.html", 429, message=f"Too many tries. Wait {again}, then try again.")
    answer.headers["Retry-After"] = str(wait)
    return answer


def show(web: Web, template: str, status: int = 200, **values: Any) -> Response:
    settings = web.parts.settings
    page = render_template(
        template,
        settings=settings,
        broker_title=settings.spec.title,
        simulated=settings.venue is Venue.SIM,
        hue=hue_of(settings.name),
        title=TITLES.get(status, "Not now"),
        csrf_token=web.csrf.token(),
        **values,
    )
    return make_response(page, status)


def hue_of(instance: str) -> int:
    """The same colour for a name on every page and after every start."""
    first_free = len(FIXED_HUES)
    return FIXED_HUES.get(instance, first_free + zlib.crc32(instance.encode()) % (HUES - first_free))


def _owner_routes(pages: Blueprint, web: Web) -> None:
    @pages.get("/setup")
    def setup() -> Response:
        if web.code.current() is None:
            return _to("web.sign_in")
        return _setup_page(web)

    @pages.post("/setup")
    def make_owner() -> Response:
        if web.code.current() is None:
            return _to("web.sign_in")
        form = request.form
        username, password = form.get("username", "").strip(), form.get("password", "")
        problem = check_account(username, password, form.get("repeat", ""))
        if problem is None and not web.code.matches(form.get("code", "")):
            problem = WRONG_CODE.format(name=web.parts.settings.name)
        if problem is not None:
            return _setup_page(web, 400, problem=problem, username=username)
        code = web.code.current()
        if not web.code.spend(form.get("code", "")):
            return _to("web.sign_in")
        try:
            user = web.parts.users.create(username, password)
        except InvalidRequest as exc:
            web.code.give_back(code or "")
            return _setup_page(web, 400, problem=str(exc), username=username)
        log.info("owner account made", extra={"user_id": user.id})
        web.csrf.renew()
        web.sessions.sign_in(user.id)
        return _to("web.dashboard")


def _session_routes(pages: Blueprint, web: Web) -> None:
    @pages.get("/sign-in")
    def sign_in() -> Response:
        if web.code.current() is not None:
            return _to("web.setup")
        if web.sessions.user_id() is not None:
            return _to("web.dashboard")
        return show(web, "sign_in.html")

    @pages.post("/sign-in")
    def check() -> Response:
        username, password = request.form.get("username", ""), request.form.get("password", "")
        user = None
        if len(username) <= 64 and len(password) <= LONGEST_PASSWORD:
            user = web.parts.users.verify(username.strip(), password)
        if user is None:
            log.warning("sign-in refused", extra={"from": request.remote_addr})
            return show(web, "sign_in.html", 401, problem=WRONG)
        web.csrf.renew()
        web.sessions.sign_in(user.id)
        return _to("web.dashboard")

    @pages.post("/sign-out")
    def sign_out() -> Response:
        web.live.disconnect(web.sessions.sid)
        web.sessions.sign_out()
        web.csrf.renew()
        return _to("web.sign_in")

    @pages.get("/")
    def dashboard() -> Response:
        user_id = web.sessions.user_id()
        user = web.parts.users.get(user_id) if user_id is not None else None
        if user is None:
            return _to("web.sign_in")
        return show(web, "dashboard.html", user=user)


def _setup_page(web: Web, status: int = 200, **values: Any) -> Response:
    return show(web, "setup.html", status, shortest_password=SHORTEST_PASSWORD, **values)


def check_account(username: str, password: str, repeat: str) -> str | None:
    """What is wrong with a new owner account, None when nothing is."""
    if not USERNAME.match(username):
        return "The user name needs 2 to 32 letters, digits, dots, dashes or underscores; a letter first."
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        return f"The password needs at least {SHORTEST_PASSWORD} characters."
    if password.lower() == username.lower():
        return "The password must not be the user name."
    if password != repeat:
        return "The two passwords differ."
    return None


def _to(endpoint: str) -> Response:
    response = make_response(redirect(url_for(endpoint), 303))
    response.headers["Cache-Control"] = "no-store"
    return response
