"""Settings and the first steps, as plain forms: they work without a script."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from flask import Blueprint, Response, flash, request

from brokers.clock import IST
from brokers.errors import AlgoError, InvalidRequest, NotFound, NotSupported
from gateway.api import semiauto
from gateway.pagekit.frame import limited
from gateway.sandbox.mode import TradingMode
from gateway.scopes import ALL, SAYS, parsed, shown
from gateway.store.queued import Step
from gateway.store.users import User
from gateway.web import riskpage
from gateway.web.shell import Web, show, signed_in, to

log = logging.getLogger(__name__)

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}")
SHOWN = 100


def add_routes(pages: Blueprint, web: Web) -> None:
    @pages.get("/start")
    def start() -> Response:
        """First steps: owner (done by now), broker login, API key."""
        return signed_in(web, lambda user: _start_page(web, user))

    @pages.get("/settings")
    def settings() -> Response:
        return signed_in(web, lambda user: _settings_page(web, user))

    _account_routes(pages, web)
    _order_routes(pages, web)
    riskpage.add_routes(pages, web, partial(_settings_page, web))


def _account_routes(pages: Blueprint, web: Web) -> None:
    parts = web.parts

    @pages.post("/settings/login")
    def broker_login() -> Response:
        def work() -> str:
            session = parts.session.login(request.form.get("totp", "").strip() or None)
            parts.desk.nudge()
            web.live.look_again()
            return f"Logged in to {parts.settings.spec.title}, account {session.account}."

        return limited(web, "broker login", guessing=True) or _done(web, "session", work)

    @pages.post("/settings/keys")
    def make_key() -> Response:
        """The key is in this one answer and nowhere else."""

        def view(user: User) -> Response:
            label = request.form.get("label", "").strip()
            back = _start_page if request.form.get("from") == "start" else _settings_page
            if not LABEL.fullmatch(label):
                flash("A key needs a name: letters, digits, spaces, dots, dashes; 64 at most.", "bad")
                return to("web.start" if back is _start_page else "web.settings")
            try:
                scopes = parsed(request.form.getlist("scope"))
            except InvalidRequest as exc:
                flash(str(exc), "bad")
                return back(web, user, key_label=label, key_scopes=frozenset())
            _, secret = parts.keys.create(label, scopes)
            log.info("API key made", extra={"label": label, "scopes": shown(scopes)})
            return back(web, user, new_key=secret.reveal(), new_label=label)

        return signed_in(web, view)

    @pages.post("/settings/keys/<int:key_id>/revoke")
    def revoke_key(key_id: int) -> Response:
        def work() -> str:
            if not parts.keys.revoke(key_id):
                raise NotFound(f"There is no unrevoked key {key_id}.")
            return f"Key {key_id} is revoked."

        return _done(web, "keys", work)

    @pages.post("/settings/instruments")
    def refresh_instruments() -> Response:
        def work() -> str:
            report, _ = parts.sync.sync()
            rows = asdict(report)
            return "Instruments: " + ", ".join(f"{count:,} {name}" for name, count in rows.items()) + "."

        return _done(web, "instruments", work)


def _order_routes(pages: Blueprint, web: Web) -> None:
    @pages.post("/settings/mode")
    def switch_mode() -> Response:
        def work() -> str:
            sandbox = _needed(web.parts.sandbox, "a sandbox")
            mode = TradingMode(request.form.get("mode", ""))
            sandbox.switch.set(mode)
            web.live.look_again()
            where = "to the sandbox" if mode is TradingMode.ANALYZE else "to the broker"
            return f"Orders go {where} from now on."

        return _done(web, "mode", work)

    @pages.post("/settings/sandbox/reset")
    def reset_sandbox() -> Response:
        def work() -> str:
            state = _needed(web.parts.sandbox, "a sandbox").reset()
            web.live.look_again()
            return f"The sandbox begins anew with ₹ {state.capital:,.2f}."

        return _done(web, "mode", work)

    @pages.post("/settings/order-mode")
    def order_mode() -> Response:
        def work() -> str:
            queue = _needed(web.parts.queue, "strategies")
            queue.set_mode(request.form.get("mode", ""))
            what = "wait for your approval" if queue.needs_approval else "leave at once"
            return f"Orders of programs {what}."

        return _done(web, "approvals", work)

    @pages.post("/settings/approvals/<int:queued_id>/<decision>")
    def decide(queued_id: int, decision: str) -> Response:
        def work() -> str:
            queue = _needed(web.parts.queue, "strategies")
            if decision not in ("approve", "reject"):
                raise NotFound(f"there is no decision {decision}")
            row = queue.approve(queued_id) if decision == "approve" else queue.reject(queued_id)
            answer = row.answer.get("message") or row.answer.get("orderid") or ""
            return f"Order {queued_id} is {row.step.value}. {answer}".strip()

        return _done(web, "approvals", work)

    @pages.post("/settings/strategies/<name>")
    def switch_strategy(name: str) -> Response:
        def work() -> str:
            active = request.form.get("active") == "yes"
            one = _needed(web.parts.queue, "strategies").strategies.switch(name, active)
            return f"{one.name} is {'on' if one.active else 'off'}."

        return _done(web, "strategies", work)


def _done(web: Web, anchor: str, work: Callable[[], str]) -> Response:
    """Do it for the owner, say what came of it on the page it was asked from."""

    def view(_user: User) -> Response:
        try:
            flash(work(), "good")
        except AlgoError as exc:
            flash(str(exc), "bad")
        except ValueError:
            flash("That is no choice.", "bad")
        back = to("web.start" if request.form.get("from") == "start" else "web.settings")
        back.headers["Location"] += f"#{anchor}"
        return back

    return signed_in(web, view)


def _start_page(web: Web, user: User, **values: Any) -> Response:
    session = web.parts.session.status()
    keys = [key for key in web.parts.keys.list() if key.revoked_at is None]
    return show(
        web,
        "start.html",
        user=user,
        module="pages/plain.js",
        session=session,
        keys=keys,
        rows=web.parts.instruments.count(),
        **{**_scopes(), **values},
    )


def _scopes() -> dict[str, Any]:
    """What the form for a new key offers; all of it is ticked."""
    return {"scopes": SAYS, "key_scopes": ALL, "shown_scopes": shown}


def _settings_page(web: Web, user: User, **values: Any) -> Response:
    parts = web.parts
    queue = parts.queue
    waiting: list[Any] = []
    synced_at = parts.instruments.synced_at()
    if queue is not None:
        queue.store.expire()
        waiting = queue.store.recent(steps=[Step.WAITING], most=SHOWN)
    return show(
        web,
        "settings.html",
        user=user,
        module="pages/plain.js",
        session=parts.session.status(),
        keys=parts.keys.list(),
        sandbox=parts.sandbox,
        semi_auto=queue is not None and queue.needs_approval,
        waiting=waiting,
        strategies=queue.strategies.all() if queue is not None else [],
        env_file=f"instances/{parts.settings.name}.env",
        rows=parts.instruments.count(),
        synced_at=datetime.fromisoformat(synced_at) if synced_at else None,
        sync_state=parts.sync.state,
        sync_error=parts.sync.error,
        browsers=_browsers(web),
        ist=_ist,
        kinds=semiauto.QUEUED,
        **{"risk": riskpage.view(parts.risk), **_scopes(), **values},
    )


def _ist(at: datetime) -> str:
    """A moment that may be long ago, as a trader reads it."""
    return f"{at.astimezone(IST):%d %b %Y %H:%M} IST"


def _browsers(web: Web) -> list[tuple[str, str, bool]]:
    """Who is signed in: what the browser said of itself, since when, whether it is this one."""
    return [
        (
            one.browser or "a browser",
            f"{datetime.fromtimestamp(one.at, IST):%d %b %H:%M} IST",
            sid == web.sessions.sid,
        )
        for sid, one in web.sessions.signed_in().items()
    ]


def _needed(value: Any, what: str) -> Any:
    if value is None:
        raise NotSupported(f"this instance has no {what}")
    return value
