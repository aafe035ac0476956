"""What each page is wrapped in: its frame, its files, its colours, how often it may be asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for

from gateway.pagekit.access import Csrf, OneTimeCode, WebSessions
from gateway.pagekit.assets import Assets

User = TypeVar("User")

TITLES = {403: "Not accepted", 404: "No such page", 429: "Too many tries", 500: "Something went wrong"}
THEMES = ("system", "light", "dark")
THEME_COOKIE = "theme"
A_YEAR_S = 365 * 86_400
FILES = frozenset({"web.static", "web.asset"})
GUESSABLE = frozenset({"web.check", "web.make_owner"})
"""Routes at which guessing is possible, of ``gateway.pagekit.doors``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One link of the navigation. ``endpoint`` names the route, ``also`` what else it stands for."""

    endpoint: str
    title: str
    also: tuple[str, ...] = ()


class Site(Protocol):
    """A server of pages, whatever they are about. Its blueprint is named ``web``."""

    @property
    def sessions(self) -> WebSessions: ...

    @property
    def csrf(self) -> Csrf: ...

    @property
    def code(self) -> OneTimeCode: ...

    @property
    def assets(self) -> Assets: ...

    def frame(self) -> dict[str, Any]:
        """What ``base.html`` says of the server.

        ``settings`` (its name), ``broker_title``, ``simulated``, ``analyzing``, ``hue`` and ``navigation``.
        """

    def wait_s(self, endpoint: str, *, guessing: bool = False) -> float | None:
        """Count a request; None when it may pass, else the seconds until one may."""


def show(site: Site, template: str, status: int = 200, **values: Any) -> Response:
    """A page in its frame. ``module`` among the values names its script below ``static``."""
    module = values.get("module")
    theme = request.cookies.get(THEME_COOKIE, "")
    page = render_template(
        template,
        theme=theme if theme in THEMES else "system",
        title=TITLES.get(status, "Not now"),
        asset=site.assets.url,
        preloads=site.assets.modules(module) if module else (),
        here=request.endpoint,
        csrf_token=site.csrf.token(),
        **{**site.frame(), "user": None, **values},
    )
    return make_response(page, status)


def to(endpoint: str) -> Response:
    """See other; never kept."""
    response = make_response(redirect(url_for(endpoint), 303))
    response.headers["Cache-Control"] = "no-store"
    return response


def limited(site: Site, endpoint: str, *, guessing: bool = False) -> Response | None:
    """The refusal of a request that came too soon; None when it may pass."""
    wait_s = site.wait_s(endpoint, guessing=guessing)
    if wait_s is None:
        return None
    wait = max(1, round(wait_s))
    again = f"{wait} s" if wait < 120 else f"{round(wait / 60)} minutes"
    answer = show(site, "message.html", 429, message=f"Too many tries. Wait {again}, then try again.")
    answer.headers["Retry-After"] = str(wait)
    return answer


def add_guard(pages: Blueprint, site: Site) -> None:
    """Before each page its form token, then how often; after it the cookie of the token."""

    @pages.before_request
    def before() -> Response | None:
        if request.endpoint in FILES:
            return None
        # the form's token first: a page elsewhere that posts here must not use up the owner's tries
        if request.method == "POST" and not site.csrf.valid():
            said = "This form was out of date. Go back and try again."
            return limited(site, "page refused") or show(site, "message.html", 403, message=said)
        if request.endpoint in GUESSABLE:
            return limited(site, "sign-in", guessing=True)
        return limited(site, f"page {request.method}")

    @pages.after_request
    def plant(response: Response) -> Response:
        return site.csrf.plant(response)


def add_files(pages: Blueprint, assets: Assets) -> None:
    """``/static``, with and without a build number."""

    def answer(filename: str, *, kept: bool) -> Response:
        found = assets.answer(
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
        return answer(filename, kept=build == assets.build)


def add_theme(pages: Blueprint) -> None:
    """Light, dark or as the system says; also without a script."""

    @pages.post("/theme")
    def theme() -> Response:
        wanted = request.form.get("theme", "")
        answer = to("web.dashboard")
        back = request.form.get("back", "")
        if re.fullmatch(r"/[a-z-]*", back):
            answer.headers["Location"] = back
        if wanted in THEMES:
            answer.set_cookie(THEME_COOKIE, wanted, max_age=A_YEAR_S, samesite="Lax", path="/")
        return answer


def signed_in(user: User | None, view: Callable[[User], Response]) -> Response:
    """A page for the owner only; everybody else is led to the sign-in."""
    return to("web.sign_in") if user is None else view(user)
