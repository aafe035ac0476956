"""The risk limits that hold now: what the env file says, and what the owner has put in its place since.

A change is planned without touching anything (``RiskLimits.plan``), carried out by ``apply``: on disk first,
then for the next order. What a person must say twice (``Plan.words``) is decided here, asked by the page.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import time
from decimal import Decimal
from typing import Any

from brokers.errors import AlgoError, SettingsError
from gateway.settings.risk import NO_RULES, READERS, RiskRules, SquareOff
from gateway.store.riskchanges import Change, RiskChanges

log = logging.getLogger(__name__)

FIELD_OF: Mapping[str, str] = {name: field for field, (name, _) in READERS.items()}
"""Setting -> field of ``RiskRules``."""
LONGEST = 200
AT_MOST = ("max_order_value", "max_quantity", "max_open_orders", "orders_per_minute", "data_per_minute")


class RiskBook:
    """The one place everybody reads the limits from. Thread-safe."""

    def __init__(self, rules: RiskRules = NO_RULES) -> None:
        self.now = rules
        self._listeners: list[Callable[[], None]] = []

    def listen(self, changed: Callable[[], None]) -> None:
        """``changed`` is called after every change, in the thread that made it."""
        self._listeners.append(changed)

    def put(self, rules: RiskRules) -> None:
        self.now = rules
        for changed in self._listeners:
            changed()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a set of wishes would do.

    Attributes:
        seen: The last change the wishes knew of.
        values: Setting -> its new text; None: the env file's again. Only what changes.
        errors: Setting -> what is wrong with its text.
        words: What a person has to confirm, as sentences.
        stale: Somebody changed a limit since ``seen``.
    """

    seen: int
    values: Mapping[str, str | None]
    errors: Mapping[str, str]
    words: tuple[str, ...]
    stale: bool


class Stale(AlgoError):
    """The limits were changed by somebody else since they were looked at."""

    code = "CONFLICT"


class RiskLimits:
    """The limits of one instance, its env file's and its owner's. Thread-safe."""

    def __init__(self, env: RiskRules, store: RiskChanges) -> None:
        self.env = env
        self._store = store
        self._lock = threading.Lock()
        self.standing: Mapping[str, Change] = store.standing()
        self.book = RiskBook(self._effective())

    @property
    def now(self) -> RiskRules:
        return self.book.now

    @property
    def seen(self) -> int:
        """Number of the last change; 0 before the first."""
        return max((one.id for one in self.standing.values()), default=0)

    def override(self, setting: str) -> Change | None:
        """The change by which a limit differs from the env file's."""
        one = self.standing.get(setting)
        return one if one is not None and one.value is not None else None

    def history(self, most: int) -> list[Change]:
        """Newest first."""
        return self._store.newest(most)

    def plan(self, given: Mapping[str, str], seen: int) -> Plan:
        """What these texts would change. Settings that are not among them stay."""
        errors: dict[str, str] = {}
        wanted: dict[str, Any] = {}
        for name, text in given.items():
            if name in FIELD_OF:
                try:
                    wanted[FIELD_OF[name]] = parsed(name, text.strip())
                except SettingsError as exc:
                    errors[name] = str(exc)
        now, after = self.now, replace(self.now, **wanted)
        # a limit that says what the env file says is the env file's
        values = {
            name: None if getattr(after, field) == getattr(self.env, field) else text_of(after, field)
            for name, field in FIELD_OF.items()
            if getattr(after, field) != getattr(now, field)
        }
        words = [*_looser(self.env, after, values), *_acts(now, after)]
        return Plan(seen, values, errors, tuple(words), seen != self.seen)

    def apply(self, plan: Plan, who: str) -> None:
        """Carry out a plan without errors, whose words were confirmed if it has some.

        Raises:
            Stale: Somebody was faster; nothing was changed.
            StoreError: It could not be written; nothing was changed.
        """
        with self._lock:
            if plan.seen != self.seen:
                raise Stale("The limits were changed meanwhile; look at them again. Nothing was changed.")
            before, env = texts(self.now), texts(self.env)
            self._store.add(who, plan.values, before, env)
            self.standing = self._store.standing()
            rules = self._effective()
            after = texts(rules)
        for name in plan.values:
            log.warning("%s: %s -> %s by %s", name, before[name] or "none", after[name] or "none", who)
        self.book.put(rules)

    def reset(self, setting: str, who: str) -> bool:
        """Give a limit back to the env file. False when it was there already."""
        if self.override(setting) is None:
            return False
        self.apply(Plan(self.seen, {setting: None}, {}, (), stale=False), who)
        return True

    def _effective(self) -> RiskRules:
        found: dict[str, Any] = {}
        for name, one in self.standing.items():
            if one.value is None or name not in FIELD_OF:
                continue
            try:
                found[FIELD_OF[name]] = parsed(name, one.value)
            except SettingsError as exc:
                log.error("a kept limit cannot be read, the env file's holds: %s", exc)
        return replace(self.env, **found)


class _One:
    """One text, read as the env file's would be."""

    def __init__(self, text: str) -> None:
        self._text = text

    def text(self, name: str, default: str) -> str:
        return self._text or default

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        text = self.text(name, default)
        if text not in allowed:
            raise SettingsError(f"form: {name} is {text}, expected one of {', '.join(allowed)}")
        return text

    def where(self, name: str) -> str:
        return "form"


def parsed(setting: str, text: str) -> Any:
    """The value of one setting. Raises ``SettingsError`` with a sentence for who typed it."""
    if len(text) > LONGEST:
        raise SettingsError(f"{setting} has {len(text)} characters, at most {LONGEST}")
    try:
        return READERS[FIELD_OF[setting]][1](_One(text), setting)
    except SettingsError as exc:
        raise SettingsError(str(exc).partition(": ")[2]) from exc


def texts(rules: RiskRules) -> dict[str, str]:
    """Setting -> its text; empty is no limit."""
    return {name: text_of(rules, field) for name, field in FIELD_OF.items()}


def text_of(rules: RiskRules, field: str) -> str:
    """One limit as the env file would say it."""
    match getattr(rules, field):
        case None:
            return ""
        case bool(value):
            return "true" if value else "false"
        case Decimal() as value:
            return f"{value:f}"
        case frozenset() as value:
            return ",".join(sorted(value))
        case SquareOff(at=time() as at):
            return f"{at:%H:%M}"
        case SquareOff() as value:
            return f"{value.before_close_m}m"
        case value:
            return str(value)


def _looser(env: RiskRules, after: RiskRules, changed: Mapping[str, str | None]) -> list[str]:
    """A sentence for each changed limit that allows more than the env file does."""
    found = []
    for name in changed:
        field = FIELD_OF[name]
        if is_looser(field, getattr(env, field), getattr(after, field)):
            said = text_of(after, field) or "no limit"
            found.append(f"{name} = {said} allows more than the env file ({text_of(env, field)}).")
    return found


def is_looser(field: str, env: Any, after: Any) -> bool:
    """Whether ``after`` lets something pass that ``env`` does not; in doubt it does."""
    if after == env:
        return False
    if field in (*AT_MOST, "day_loss"):
        return env is not None and (after is None or after > env)
    if field in ("exchanges", "products"):
        return bool(env) and (not after or not after <= env)
    if field in ("day_loss_close", "check_margin"):
        return bool(env)
    if field == "margin_unknown":
        return bool(after == "allow")
    if field == "square_off_products":
        return not after >= env
    return env is not None and not _earlier(env, after)


def _earlier(env: SquareOff, after: SquareOff | None) -> bool:
    """Whether positions are surely closed no later than the env file says."""
    if after is None or (env.at is None) != (after.at is None):
        return False
    if env.at is not None and after.at is not None:
        return after.at <= env.at
    return after.before_close_m >= env.before_close_m


def _acts(now: RiskRules, after: RiskRules) -> list[str]:
    """A sentence for each change that may close positions by itself, perhaps at once."""
    found = []
    squares = (now.square_off, now.square_off_products) != (after.square_off, after.square_off_products)
    if squares and after.square_off is not None:
        at = text_of(after, "square_off")
        which = text_of(after, "square_off_products")
        found.append(f"Positions in {which} are closed at {at}; at once where that is past today.")
    losses = (now.day_loss, now.day_loss_close) != (after.day_loss, after.day_loss_close)
    if losses and after.day_loss is not None and after.day_loss_close:
        found.append("Every position is closed when the day's loss is reached; at once if it is already.")
    return found
