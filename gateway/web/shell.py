"""What every page is made of: the frame with the navigation, who may see it, how often it may be asked."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from brokers.model import Venue
from gateway.api.parts import Parts
from gateway.http.gate import caller
from gateway.store.users import User
from gateway.web.access import Csrf, OneTimeCode, WebSessions
from gateway.web.assets import Assets
from gateway.web.live import Live

TITLES = {403: "Not accepted", 404: "No such page", 429: "Too many tries", 500: "Something went wrong"}
HUES = 6
"""``hue-N`` classes of ``style.css`` and ``icon-N.svg`` files. Kotak and Dhan, which most people run side by
side, have one each; other instances share the rest by their name."""
FIXED_HUES = {"kotak": 0, "dhan": 1}
THEMES = ("system", "light", "dark")
THEME_COOKIE = "theme"


@dataclass(frozen=True, slots=True)
class Entry:
    """One link of the navigation. ``endpoint`` names the route, ``pages`` what else it stands for."""

    endpoint: str
    title: str
    also: tuple[str, ...] = ()


NAVIGATION: tuple[Entry, ...] = (
    Entry("web.dashboard", "Dashboard"),
    Entry("web.orders", "Orders", ("web.trades", "web.positions", "web.holdings")),
    Entry("web.watch", "Market watch"),
    Entry("web.latency", "Latency"),
    Entry("web.comparison", "Comparison"),
    Entry("web.scalping", "Scalping"),
    Entry("web.option_chain", "Option chain"),
    Entry("web.market_data", "Market data"),
    Entry("web.strategies", "Strategies"),
    Entry("web.traffic", "Traffic"),
    Entry("web.settings", "Settings", ("web.playground",)),
)
"""A new page adds a line here and its routes in ``pages.blueprint``."""


@dataclass(frozen=True, slots=True)
class Web:
    """What the pages are built from."""

    parts: Parts
    sessions: WebSessions
    csrf: Csrf
    code: OneTimeCode
    live: Live
    assets: Assets

    def user(self) -> User | None:
        """The signed-in user of the present request."""
        user_id = self.sessions.user_id()
        return self.parts.users.get(user_id) if user_id is not None else None

    def now(self) -> Parts:
        """The parts of the mode of this moment, for one request to keep."""
        return self.parts.now() if self.parts.now is not None else self.parts


def show(web: Web, template: str, status: int = 200, **values: Any) -> Response:
    """A page in its frame. ``module`` among the values names its script below ``static``."""
    settings = web.parts.settings
    module = values.get("module")
    theme = request.cookies.get(THEME_COOKIE, "")
    page = render_template(
        template,
        settings=settings,
        broker_title=settings.spec.title,
        simulated=settings.venue is Venue.SIM,
        analyzing=web.parts.analyzing(),
        hue=hue_of(settings.name),
        theme=theme if theme in THEMES else "system",
        themes=THEMES,
        title=TITLES.get(status, "Not now"),
        asset=web.assets.url,
        preloads=web.assets.modules(module) if module else (),
        navigation=NAVIGATION,
        here=request.endpoint,
        csrf_token=web.csrf.token(),
        **{"user": None, **values},
    )
    return make_response(page, status)


def signed_in(web: Web, view: Callable[[User], Response]) -> Response:
    """A page for the owner only; everybody else is led to the sign-in."""
    user = web.user()
    return to("web.sign_in") if user is None else view(user)


def guard(web: Web, *, strict: frozenset[str]) -> Response | None:
    """Before each page: its form token, then how often. ``strict``: endpoints where guessing is possible."""
    # the form's token first: a page elsewhere that posts here must not use up the owner's tries
    if request.method == "POST" and not web.csrf.valid():
        return limited(web, "PAGE_RATE_LIMIT", "page refused") or show(
            web, "message.html", 403, message="This form was out of date. Go back and try again."
        )
    if request.endpoint in strict:
        return limited(web, "LOGIN_RATE_LIMIT", "sign-in")
    return limited(web, "PAGE_RATE_LIMIT", f"page {request.method}")


def limited(web: Web, limit: str, endpoint: str) -> Response | None:
    """The refusal of a request that came too soon; None when it may pass."""
    wait_s = web.parts.limits.hit(limit, endpoint, caller(request.environ))
    if wait_s is None:
        return None
    wait = max(1, round(wait_s))
    again = f"{wait} s" if wait < 120 else f"{round(wait / 60)} minutes"
    answer = show(web, "message.html", 429, message=f"Too many tries. Wait {again}, then try again.")
    answer.headers["Retry-After"] = str(wait)
    return answer


def hue_of(instance: str) -> int:
    """The same colour for a name on every page and after every start."""
    first_free = len(FIXED_HUES)
    return FIXED_HUES.get(instance, first_free + zlib.crc32(instance.encode()) % (HUES - first_free))


def to(endpoint: str) -> Response:
    """See other; never kept."""
    response = make_response(redirect(url_for(endpoint), 303))
    response.headers["Cache-Control"] = "no-store"
    return response


def static_routes(pages: Blueprint, web: Web) -> None:
    def answer(filename: str, *, kept: bool) -> Response:
        found = web.assets.answer(
            filename,
            gzipped="gzip" in request.headers.get("Accept-Encoding", ""),
            known=request.headers.get("If-None-Match", ""),
            kept=kept,
        )
        return found or make_response("no such file\n", 404, {"Content-Type": "text/plain"})

    @pages.get("/static/<path:filename>")
    def static(filename: str) -> Response:
        return answer(filename, kept=False)

    @pages.get("/static/v-<build>/<path:filename>")
    def asset(build: str, filename: str) -> Response:
        # a page of another build may still be open: it gets today's file, but does not keep it
        return answer(filename, kept=build == web.assets.build)
