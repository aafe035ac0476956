"""The way in and out: the owner account with its one-time code, sign-in, sign-out."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from flask import Blueprint, Response, request

from brokers.errors import InvalidRequest
from gateway.pagekit.access import LONGEST_PASSWORD, SHORTEST_PASSWORD, check_account
from gateway.pagekit.frame import Site, show, to

log = logging.getLogger(__name__)

WRONG = "The user name or password is not right."
LONGEST_NAME = 64


class House(Site, Protocol):
    """A site with an owner."""

    def make_owner(self, username: str, password: str) -> int:
        """The new account's id. Raises ``InvalidRequest`` or ``OSError`` when it cannot be made."""

    def owner_id(self, username: str, password: str) -> int | None:
        """Whose name and password these are; None: nobody's. Takes the same time either way."""

    def leave(self, *, everywhere: bool) -> None:
        """Sign the present session out, and whatever connection of it is open; or all sessions."""


def add_setup(pages: Blueprint, house: House, *, then: str, wrong_code: str) -> None:
    """``/setup``, as long as there is no owner.

    Args:
        then: Endpoint to lead the new owner to.
        wrong_code: Said when the one-time code is not right.
    """

    def page(status: int = 200, **values: Any) -> Response:
        return show(house, "setup.html", status, shortest_password=SHORTEST_PASSWORD, **values)

    @pages.get("/setup")
    def setup() -> Response:
        return to("web.sign_in") if house.code.current() is None else page()

    @pages.post("/setup")
    def make_owner() -> Response:
        code = house.code.current()
        if code is None:
            return to("web.sign_in")
        form = request.form
        username, password = form.get("username", "").strip(), form.get("password", "")
        problem = check_account(username, password, form.get("repeat", ""))
        if problem is None and not house.code.matches(form.get("code", "")):
            problem = wrong_code
        if problem is not None:
            return page(400, problem=problem, username=username)
        if not house.code.spend(form.get("code", "")):
            return to("web.sign_in")
        try:
            user_id = house.make_owner(username, password)
        except (InvalidRequest, OSError) as exc:
            house.code.give_back(code)
            return page(400, problem=str(exc), username=username)
        log.info("owner account made", extra={"user_id": user_id})
        return _entered(house, user_id, then)


def add_sign_in(pages: Blueprint, house: House) -> None:
    """``/sign-in`` and ``/sign-out``."""

    @pages.get("/sign-in")
    def sign_in() -> Response:
        if house.code.current() is not None:
            return to("web.setup")
        if house.sessions.user_id() is not None:
            return to("web.dashboard")
        return show(house, "sign_in.html")

    @pages.post("/sign-in")
    def check() -> Response:
        username, password = request.form.get("username", ""), request.form.get("password", "")
        user_id = None
        if len(username) <= LONGEST_NAME and len(password) <= LONGEST_PASSWORD:
            user_id = house.owner_id(username.strip(), password)
        if user_id is None:
            log.warning("sign-in refused", extra={"from": request.remote_addr})
            return show(house, "sign_in.html", 401, problem=WRONG)
        return _entered(house, user_id, "web.dashboard")

    @pages.post("/sign-out")
    def sign_out() -> Response:
        house.leave(everywhere=request.form.get("everywhere") == "yes")
        house.csrf.renew()
        return to("web.sign_in")


def _entered(house: House, user_id: int, then: str) -> Response:
    house.csrf.renew()
    house.sessions.sign_in(user_id)
    return to(then)
