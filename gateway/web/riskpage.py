"""The risk limits on the settings page: what holds, what the env file says, who changed it, and the form.

The form carries the number of the last change it was shown (``seen``), so a page that was left open changes
nothing. What allows more than the env file, or may close positions, is asked again, with the password.
A form that comes back is a page with status 200: browsers report others in the console.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, flash, request

from brokers.clock import IST
from brokers.errors import AlgoError
from gateway.pagekit.access import LONGEST_PASSWORD
from gateway.pagekit.frame import limited
from gateway.settings.risk import CHOICES, RiskRules, SquareOff
from gateway.store.users import User
from gateway.trading.risklimits import FIELD_OF, Plan, RiskLimits, texts
from gateway.web.shell import Web, signed_in, to

HINTS: Mapping[str, str] = {
    "RISK_MAX_ORDER_VALUE": "rupees",
    "RISK_DAY_LOSS": "rupees",
    "RISK_EXCHANGES": "NSE,NFO",
    "RISK_PRODUCTS": "MIS,CNC",
    "RISK_SQUARE_OFF": "15:15 or 15m",
    "RISK_SQUARE_OFF_PRODUCTS": "MIS",
}
CHANGES_SHOWN = 20
CHANGED = "Somebody changed the limits since this page was shown. Look at what holds now, then save again."
Render = Callable[..., Response]
"""The settings page for a user, with further values."""


@dataclass(frozen=True, slots=True)
class Line:
    """One limit as the page shows it. ``typed`` is what stands in its field."""

    setting: str
    name: str
    typed: str
    now: str
    env: str
    changed: str
    hint: str
    choices: tuple[str, ...]
    error: str


def add_routes(pages: Blueprint, web: Web, render: Render) -> None:
    @pages.post("/settings/risk")
    def change_risk() -> Response:
        return signed_in(web, lambda user: _change(web, user, render))

    @pages.post("/settings/risk/reset")
    def reset_risk() -> Response:
        def view(user: User) -> Response:
            setting = request.form.get("setting", "")
            try:
                done = web.parts.risk.reset(setting, user.username)
                said = (
                    f"{setting} is what the env file says again." if done else "That limit is the env file's."
                )
                flash(said, "good")
            except AlgoError as exc:
                flash(str(exc), "bad")
            return _back()

        return signed_in(web, view)


def _change(web: Web, user: User, render: Render) -> Response:
    limits = web.parts.risk
    seen = request.form.get("seen", "")
    given = {name: request.form[name] for name in FIELD_OF if name in request.form}
    plan = limits.plan(given, int(seen) if seen.isdigit() and len(seen) < 16 else -1)
    if plan.errors:
        problem = f"Nothing was saved: {len(plan.errors)} of the limits cannot be read."
        return render(user, risk=view(limits, given, plan.errors, problem=problem))
    if plan.stale:
        return render(user, risk=view(limits, given, problem=CHANGED))
    if not plan.values:
        flash("No limit was changed.", "good")
        return _back()
    if plan.words and (refusal := _confirmed(web, user, plan, given, render)) is not None:
        return refusal
    try:
        limits.apply(plan, user.username)
    except AlgoError as exc:
        return render(user, risk=view(limits, given, problem=str(exc)))
    flash(f"Saved: {', '.join(plan.values)}. It holds for the next order.", "good")
    return _back()


def _confirmed(web: Web, user: User, plan: Plan, given: Mapping[str, str], render: Render) -> Response | None:
    """None once the owner's password came with the form; else what asks for it."""
    password, problem = request.form.get("password", ""), ""
    if password:
        if (too_often := limited(web, "risk limits", guessing=True)) is not None:
            return too_often
        if len(password) <= LONGEST_PASSWORD and web.parts.users.verify(user.username, password):
            return None
        problem = "The password is not right. Nothing was saved."
    return render(user, risk=view(web.parts.risk, given, words=plan.words, problem=problem))


def _back() -> Response:
    answer = to("web.settings")
    answer.headers["Location"] += "#risk"
    return answer


def view(
    limits: RiskLimits,
    given: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    words: tuple[str, ...] = (),
    problem: str = "",
) -> dict[str, Any]:
    """What the template shows.

    Args:
        given: What was typed; else what holds now stands in the fields.
        words: What has to be confirmed with the password.
        problem: Why nothing was saved.
    """
    typed = {**texts(limits.now), **(given or {})}
    now, env = dict(_words(limits.now)), dict(_words(limits.env))
    lines = [
        Line(
            setting=name,
            name=_title(field),
            typed=typed[name],
            now=now[field],
            env=env[field],
            changed=_who(limits, name),
            hint=HINTS.get(name, "no limit"),
            choices=CHOICES.get(name, ()),
            error=(errors or {}).get(name, ""),
        )
        for name, field in FIELD_OF.items()
    ]
    history = [
        {
            "at": _ist(one.at),
            "who": one.who,
            "setting": one.setting,
            "before": one.before or "none",
            "after": "the env file's" if one.value is None else one.value or "none",
        }
        for one in limits.history(CHANGES_SHOWN)
    ]
    return {"lines": lines, "seen": limits.seen, "words": words, "problem": problem, "history": history}


def _who(limits: RiskLimits, setting: str) -> str:
    one = limits.override(setting)
    return "" if one is None else f"{one.who}, {_ist(one.at)}"


def _ist(at: datetime) -> str:
    return f"{at.astimezone(IST):%d %b %H:%M} IST"


def risk_lines(rules: RiskRules) -> list[tuple[str, str]]:
    """Each limit in words; those that are not set say so."""
    return [(_title(field), said) for field, said in _words(rules)]


def _title(field: str) -> str:
    name = field.replace("_", " ")
    return name[0].upper() + name[1:]


def _words(rules: RiskRules) -> list[tuple[str, str]]:
    """Field and its value as people say it."""
    found = []
    for field in FIELD_OF.values():
        value = getattr(rules, field)
        match value:
            case None | frozenset() if not value:
                text = "no limit"
            case bool():
                text = "yes" if value else "no"
            case Decimal():
                text = f"₹ {value:,f}"
            case frozenset():
                text = ", ".join(sorted(value))
            case SquareOff(at=None):
                text = f"{value.before_close_m} minutes before each close"
            case SquareOff():
                text = f"{value.at:%H:%M} IST"
            case _:
                text = str(value)
        found.append((field, text))
    return found
