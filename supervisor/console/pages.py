"""The routes for people: sign-in, fleet, orders, logs, panic. Each says what it knows without a script."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Response, flash, make_response, redirect, render_template, request, url_for

from brokers.errors import AlgoError, InvalidRequest
from brokers.venue import Venue
from gateway.http.gate import caller
from gateway.pagekit.access import (
    LONGEST_PASSWORD,
    SHORTEST_PASSWORD,
    Csrf,
    OneTimeCode,
    WebSessions,
    check_account,
)
from gateway.pagekit.assets import Assets
from gateway.pagekit.windows import Windows
from gateway.panicfile import POLICIES
from supervisor.console import logs
from supervisor.console.actions import Actions
from supervisor.console.config import Config
from supervisor.console.owner import Owner, OwnerFile
from supervisor.console.watch import Watch

log = logging.getLogger(__name__)

NAME = "fleet"
TITLE = "All instances"
HUE = 5
THEMES = ("system", "light", "dark")
THEME_COOKIE = "theme"
A_YEAR_S = 365 * 86_400
LOGIN, PAGE = "login", "page"
RATES = {LOGIN: ((5, 60), (25, 3600)), PAGE: ((20, 1),)}
"""As an instance's usual ones."""
TITLES = {403: "Not accepted", 404: "No such page", 429: "Too many tries", 500: "Something went wrong"}
WRONG = "The user name or password is not right."
WRONG_CODE = "The one-time code is not right. “algo up” prints it, also while everything runs."
GUESSABLE = frozenset({"web.check", "web.make_owner"})
NAVIGATION = tuple(
    SimpleNamespace(endpoint=f"web.{endpoint}", title=title, also=())
    for endpoint, title in (
        ("dashboard", "Fleet"),
        ("orders", "Orders"),
        ("positions", "Positions"),
        ("logs", "Logs"),
        ("panic", "Panic"),
    )
)


@dataclass(frozen=True, slots=True)
class Console:
    """What the pages are built from."""

    config: Config
    owner: OwnerFile
    sessions: WebSessions
    csrf: Csrf
    code: OneTimeCode
    assets: Assets
    watch: Watch
    actions: Actions
    spent: Callable[[], None] = field(default=lambda: None)
    """Told when the one-time code is used up."""
    limits: Windows = field(default_factory=lambda: Windows(RATES))

    def user(self) -> Owner | None:
        user_id = self.sessions.user_id()
        return self.owner.get(user_id) if user_id is not None else None


def blueprint(console: Console) -> Blueprint:
    """Named as the instances' own pages, whose templates it shares."""
    pages = Blueprint("web", __name__)

    @pages.before_request
    def before() -> Response | None:
        if request.endpoint in ("web.static", "web.asset"):
            return None
        # the form's token first: a page elsewhere that posts here must not use up the owner's tries
        if request.method == "POST" and not console.csrf.valid():
            said = "This form was out of date. Go back and try again."
            return _limited(console, PAGE, "refused") or show(console, "message.html", 403, message=said)
        strict = request.endpoint in GUESSABLE
        return _limited(console, LOGIN if strict else PAGE, f"{request.method} {strict}")

    @pages.after_request
    def plant(response: Response) -> Response:
        return console.csrf.plant(response)

    _static_routes(pages, console)
    _owner_routes(pages, console)
    _session_routes(pages, console)
    _views(pages, console)
    _panic_page(pages, console)
    return pages


def show(console: Console, template: str, status: int = 200, **values: Any) -> Response:
    """A page in the instances' frame. ``module`` among the values names its script below ``static``."""
    module = values.get("module")
    theme = request.cookies.get(THEME_COOKIE, "")
    page = render_template(
        template,
        settings=SimpleNamespace(name=NAME),
        broker_title=TITLE,
        simulated=console.config.venue is Venue.SIM,
        analyzing=False,
        hue=HUE,
        theme=theme if theme in THEMES else "system",
        title=TITLES.get(status, "Not now"),
        asset=console.assets.url,
        preloads=console.assets.modules(module) if module else (),
        navigation=NAVIGATION,
        here=request.endpoint,
        csrf_token=console.csrf.token(),
        **{"user": None, **values},
    )
    return make_response(page, status)


def _limited(console: Console, limit: str, endpoint: str) -> Response | None:
    wait_s = console.limits.hit(limit, endpoint, caller(request.environ))
    if wait_s is None:
        return None
    wait = max(1, round(wait_s))
    again = f"{wait} s" if wait < 120 else f"{round(wait / 60)} minutes"
    answer = show(console, "message.html", 429, message=f"Too many tries. Wait {again}, then try again.")
    answer.headers["Retry-After"] = str(wait)
    return answer


def _to(endpoint: str) -> Response:
    response = make_response(redirect(url_for(endpoint), 303))
    response.headers["Cache-Control"] = "no-store"
    return response


def _static_routes(pages: Blueprint, console: Console) -> None:
    def answer(filename: str, *, kept: bool) -> Response:
        gzipped = "gzip" in request.headers.get("Accept-Encoding", "")
        known = request.headers.get("If-None-Match", "")
        found = console.assets.answer(filename, gzipped=gzipped, known=known, kept=kept)
        return found or make_response("no such file\n", 404, {"Content-Type": "text/plain"})

    @pages.get("/static/<path:filename>")
    def static(filename: str) -> Response:
        return answer(filename, kept=False)

    @pages.get("/static/v-<build>/<path:filename>")
    def asset(build: str, filename: str) -> Response:
        return answer(filename, kept=build == console.assets.build)


def _owner_routes(pages: Blueprint, console: Console) -> None:
    def setup_page(status: int = 200, **values: Any) -> Response:
        return show(console, "setup.html", status, shortest_password=SHORTEST_PASSWORD, **values)

    @pages.get("/setup")
    def setup() -> Response:
        return _to("web.sign_in") if console.code.current() is None else setup_page()

    @pages.post("/setup")
    def make_owner() -> Response:
        code = console.code.current()
        if code is None:
            return _to("web.sign_in")
        form = request.form
        username, password = form.get("username", "").strip(), form.get("password", "")
        problem = check_account(username, password, form.get("repeat", ""))
        if problem is None and not console.code.matches(form.get("code", "")):
            problem = WRONG_CODE
        if problem is not None:
            return setup_page(400, problem=problem, username=username)
        if not console.code.spend(form.get("code", "")):
            return _to("web.sign_in")
        try:
            user = console.owner.create(username, password)
        except (InvalidRequest, OSError) as exc:
            console.code.give_back(code)
            return setup_page(400, problem=str(exc), username=username)
        console.spent()
        log.info("owner account made")
        console.csrf.renew()
        console.sessions.sign_in(user.id)
        return _to("web.dashboard")


def _session_routes(pages: Blueprint, console: Console) -> None:
    @pages.get("/sign-in")
    def sign_in() -> Response:
        if console.code.current() is not None:
            return _to("web.setup")
        if console.sessions.user_id() is not None:
            return _to("web.dashboard")
        return show(console, "sign_in.html")

    @pages.post("/sign-in")
    def check() -> Response:
        username, password = request.form.get("username", ""), request.form.get("password", "")
        user = None
        if len(username) <= 64 and len(password) <= LONGEST_PASSWORD:
            user = console.owner.verify(username.strip(), password)
        if user is None:
            log.warning("sign-in refused", extra={"from": request.remote_addr})
            return show(console, "sign_in.html", 401, problem=WRONG)
        console.csrf.renew()
        console.sessions.sign_in(user.id)
        return _to("web.dashboard")

    @pages.post("/sign-out")
    def sign_out() -> Response:
        console.sessions.sign_out()
        console.csrf.renew()
        console.watch.soon()  # open streams look whether they may go on
        return _to("web.sign_in")

    @pages.post("/theme")
    def theme() -> Response:
        wanted = request.form.get("theme", "")
        answer = _to("web.dashboard")
        back = request.form.get("back", "")
        if re.fullmatch(r"/[a-z-]*", back):
            answer.headers["Location"] = back
        if wanted in THEMES:
            answer.set_cookie(THEME_COOKIE, wanted, max_age=A_YEAR_S, samesite="Lax", path="/")
        return answer


def _views(pages: Blueprint, console: Console) -> None:
    def signed_in(view: Callable[[Owner], Response]) -> Response:
        user = console.user()
        return _to("web.sign_in") if user is None else view(user)

    def live_page(user: Owner, template: str, module: str, **values: Any) -> Response:
        shown = console.watch.now()
        first = {"fleet": shown.fleet, "books": shown.books}
        return show(console, template, user=user, module=module, first=first, **values)

    @pages.get("/")
    def dashboard() -> Response:
        return signed_in(lambda user: live_page(user, "fleet.html", "pages/fleet.js"))

    @pages.get("/orders")
    def orders() -> Response:
        return signed_in(lambda user: live_page(user, "combined.html", "pages/combined.js", tab="orders"))

    @pages.get("/positions")
    def positions() -> Response:
        return signed_in(lambda user: live_page(user, "combined.html", "pages/combined.js", tab="positions"))

    @pages.get("/logs", endpoint="logs")
    def log_lines() -> Response:
        def view(user: Owner) -> Response:
            folder = console.config.data / "log"
            first = {
                "fleet": console.watch.now().fleet,
                "sources": logs.sources(folder),
                "lines": logs.recent(folder, count=100),
            }
            return show(console, "logs.html", user=user, module="pages/logs.js", first=first)

        return signed_in(view)


def _panic_page(pages: Blueprint, console: Console) -> None:
    """A page of its own, so that the most important button needs neither a script nor a working stream."""

    def page(user: Owner, status: int = 200) -> Response:
        values = {"user": user, "module": "pages/plain.js", "word": console.actions.word()}
        return show(console, "panic.html", status, **values)

    @pages.get("/panic")
    def panic() -> Response:
        user = console.user()
        return _to("web.sign_in") if user is None else page(user)

    @pages.post("/panic")
    def do_panic() -> Response:
        user = console.user()
        if user is None:
            return _to("web.sign_in")
        form = request.form
        if form.get("sure") != "yes":
            flash("Nothing was done: tick the box first.", "warn")
            return page(user, 400)
        policy = form.get("policy", "cancel")
        try:
            if form.get("what") == "resume":
                ends = console.actions.resume(day_loss=form.get("day_loss") == "yes")
            else:
                ends = console.actions.panic(policy if policy in POLICIES else "cancel")
        except AlgoError as exc:
            flash(str(exc), "bad")
            return page(user, 500)
        for end in ends:
            flash(f"{end.instance}: {end.said}", "good" if end.done else "bad")
        if not ends:
            flash("Nothing is running; the word counts when an instance starts.", "warn")
        console.watch.soon()
        return _to("web.panic")
