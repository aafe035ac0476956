"""The pages of one instance: first owner account, sign-in, sign-out; the others are in their own modules."""

from __future__ import annotations

import logging
import re
from typing import Any

from flask import Blueprint, Response, request

from brokers.errors import InvalidRequest
from gateway.pagekit.access import LONGEST_PASSWORD, SHORTEST_PASSWORD
from gateway.pagekit.access import check_account as check_account
from gateway.web import charts, comparison, latency, marketdata, settingspage, strategies, traffic, views
from gateway.web.shell import HUES, THEME_COOKIE, THEMES, Web, guard, hue_of, show, static_routes, to

__all__ = ["HUES", "Web", "blueprint", "hue_of", "show"]

log = logging.getLogger(__name__)

WRONG = "The user name or password is not right."
WRONG_CODE = "The one-time code is not right. “algo up {name}” prints it, also while the instance runs."
GUESSABLE = frozenset({"web.check", "web.make_owner"})
A_YEAR_S = 365 * 86_400


def blueprint(web: Web) -> Blueprint:
    pages = Blueprint("web", __name__, template_folder="templates")

    @pages.before_request
    def before() -> Response | None:
        if request.endpoint in ("web.static", "web.asset"):
            return None
        return guard(web, strict=GUESSABLE)

    @pages.after_request
    def plant(response: Response) -> Response:
        return web.csrf.plant(response)

    static_routes(pages, web)
    _owner_routes(pages, web)
    _session_routes(pages, web)
    _theme_route(pages)
    views.add_routes(pages, web)
    latency.add_routes(pages, web)
    comparison.add_routes(pages, web)
    charts.add_routes(pages, web)
    marketdata.add_routes(pages, web)
    strategies.add_routes(pages, web)
    traffic.add_routes(pages, web)
    settingspage.add_routes(pages, web)
    return pages


def _theme_route(pages: Blueprint) -> None:
    @pages.post("/theme")
    def theme() -> Response:
        """Light, dark or as the system says; also without a script."""
        wanted = request.form.get("theme", "")
        answer = to("web.dashboard")
        back = request.form.get("back", "")
        if re.fullmatch(r"/[a-z-]*", back):
            answer.headers["Location"] = back
        if wanted in THEMES:
            answer.set_cookie(THEME_COOKIE, wanted, max_age=A_YEAR_S, samesite="Lax", path="/")
        return answer


def _owner_routes(pages: Blueprint, web: Web) -> None:
    @pages.get("/setup")
    def setup() -> Response:
        if web.code.current() is None:
            return to("web.sign_in")
        return _setup_page(web)

    @pages.post("/setup")
    def make_owner() -> Response:
        if web.code.current() is None:
            return to("web.sign_in")
        form = request.form
        username, password = form.get("username", "").strip(), form.get("password", "")
        problem = check_account(username, password, form.get("repeat", ""))
        if problem is None and not web.code.matches(form.get("code", "")):
            problem = WRONG_CODE.format(name=web.parts.settings.name)
        if problem is not None:
            return _setup_page(web, 400, problem=problem, username=username)
        code = web.code.current()
        if not web.code.spend(form.get("code", "")):
            return to("web.sign_in")
        try:
            user = web.parts.users.create(username, password)
        except InvalidRequest as exc:
            web.code.give_back(code or "")
            return _setup_page(web, 400, problem=str(exc), username=username)
        log.info("owner account made", extra={"user_id": user.id})
        web.csrf.renew()
        web.sessions.sign_in(user.id)
        return to("web.start")


def _session_routes(pages: Blueprint, web: Web) -> None:
    @pages.get("/sign-in")
    def sign_in() -> Response:
        if web.code.current() is not None:
            return to("web.setup")
        if web.sessions.user_id() is not None:
            return to("web.dashboard")
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
        return to("web.dashboard")

    @pages.post("/sign-out")
    def sign_out() -> Response:
        if request.form.get("everywhere") == "yes" and web.sessions.user_id() is not None:
            for sid in web.sessions.sign_out_everywhere():
                web.live.disconnect(sid)
        web.live.disconnect(web.sessions.sid)
        web.sessions.sign_out()
        web.csrf.renew()
        return to("web.sign_in")


def _setup_page(web: Web, status: int = 200, **values: Any) -> Response:
    return show(web, "setup.html", status, shortest_password=SHORTEST_PASSWORD, **values)
