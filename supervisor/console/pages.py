"""The routes for people: fleet, orders, comparison, logs, panic. Each says what it knows without a script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from flask import Blueprint, Response, flash, request
from markupsafe import Markup

from brokers.clock import IST
from brokers.errors import AlgoError
from brokers.venue import Venue
from gateway import comparisonfile
from gateway.http.gate import caller
from gateway.pagekit import doors, frame
from gateway.pagekit.access import Csrf, OneTimeCode, WebSessions
from gateway.pagekit.assets import Assets
from gateway.pagekit.frame import Entry, show
from gateway.pagekit.windows import Windows
from gateway.panicfile import POLICIES
from supervisor.console import logs
from supervisor.console.actions import Actions
from supervisor.console.config import Config
from supervisor.console.owner import Owner, OwnerFile
from supervisor.console.watch import Watch

NAME = "fleet"
TITLE = "All instances"
HUE = 5
LOGIN, PAGE = "login", "page"
RATES = {LOGIN: ((5, 60), (25, 3600)), PAGE: ((20, 1),)}
"""As an instance's usual ones."""
WRONG_CODE = "The one-time code is not right. “algo up” prints it, also while everything runs."
NAVIGATION = (
    Entry("web.dashboard", "Fleet"),
    Entry("web.orders", "Orders"),
    Entry("web.positions", "Positions"),
    Entry("web.comparison", "Comparison"),
    Entry("web.logs", "Logs"),
    Entry("web.panic", "Panic"),
)


@dataclass(frozen=True, slots=True)
class Console:
    """What the pages are built from; a ``House`` of ``gateway.pagekit.doors``."""

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
        """Who is signed in, of the present request."""
        user_id = self.sessions.user_id()
        return self.owner.get(user_id) if user_id is not None else None

    def frame(self) -> dict[str, Any]:
        """What the instances' frame says of this page."""
        return {
            "settings": SimpleNamespace(name=NAME),
            "broker_title": TITLE,
            "simulated": self.config.venue is Venue.SIM,
            "analyzing": False,
            "hue": HUE,
            "navigation": NAVIGATION,
        }

    def wait_s(self, endpoint: str, *, guessing: bool = False) -> float | None:
        """Count a request in the window of pages, or of sign-ins."""
        return self.limits.hit(LOGIN if guessing else PAGE, endpoint, caller(request.environ))

    def make_owner(self, username: str, password: str) -> int:
        """Raises ``InvalidRequest`` or ``OSError``; afterwards the one-time code is told nowhere."""
        user = self.owner.create(username, password)
        self.spent()
        return user.id

    def owner_id(self, username: str, password: str) -> int | None:
        """Whose name and password these are."""
        user = self.owner.verify(username, password)
        return None if user is None else user.id

    def leave(self, *, everywhere: bool) -> None:
        """Sign this browser out; which others are signed in is not kept here."""
        self.sessions.sign_out()
        self.watch.soon()  # open streams look whether they may go on


def blueprint(console: Console) -> Blueprint:
    """Named as the instances' own pages, whose templates it shares."""
    pages = Blueprint("web", __name__)
    frame.add_guard(pages, console)
    frame.add_files(pages, console.assets)
    frame.add_theme(pages)
    doors.add_setup(pages, console, then="web.dashboard", wrong_code=WRONG_CODE)
    doors.add_sign_in(pages, console)
    _views(pages, console)
    _panic_page(pages, console)
    return pages


def _views(pages: Blueprint, console: Console) -> None:
    def signed_in(view: Callable[[Owner], Response]) -> Response:
        return frame.signed_in(console.user(), view)

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

    @pages.get("/comparison")
    def comparison() -> Response:
        def view(user: Owner) -> Response:
            # from our own file with escaped values; the policy of the page lets no script of it run
            kept = [
                {"kind": one.kind, "title": one.title, "at": f"{one.at.astimezone(IST):%d %b %H:%M} IST"}
                | {"html": Markup(one.html)}
                for one in comparisonfile.read(comparisonfile.folder_of(console.config.folder.path))
            ]
            return show(console, "comparison.html", user=user, module="pages/plain.js", kept=kept)

        return signed_in(view)

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
        return frame.signed_in(console.user(), page)

    @pages.post("/panic")
    def do_panic() -> Response:
        user = console.user()
        if user is None:
            return frame.to("web.sign_in")
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
        return frame.to("web.panic")
