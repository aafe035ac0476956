"""Pure: what the fleet page shows of one look at everything, and how bad each of it is.

Levels: ``good``, ``warn`` (amber), ``bad`` (red), empty for what is neither. A card is as bad as the worst of
it. A fact is ``{"id", "label", "text", "level", "hint"}``, ready to be shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.pagekit.hues import FIXED_HUES, hue_of
from supervisor.console.gather import Heard, Seen
from supervisor.console.words import milliseconds, moment, signed, size, span

Fact = dict[str, str]
WORST = ("bad", "warn", "good", "")
STATES = {
    "ready": "good",
    "planned": "warn",
    "starting": "warn",
    "stopping": "warn",
    "degraded": "warn",
    "login-needed": "warn",
    "closed-for-session": "",
    "stopped": "",
    "wedged": "bad",
    "backoff": "bad",
    "failed": "bad",
    "unsupervised": "bad",
}
SESSIONS = {"valid": "good", "none": "bad", "expired": "bad", "refused": "bad"}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Amber and red.

    Attributes:
        tick_s: Age of the last tick while the feed is live and has subscriptions.
        token_s: What is left of the broker session.
        trip_ms: The last order, from its sending to the broker's acknowledgement.
        of_limit: Share of what a process may use (``LIMIT_…``).
        disk_mb: Free space.
    """

    tick_s: tuple[float, float] = (3.0, 10.0)
    token_s: tuple[float, float] = (3600.0, 600.0)
    trip_ms: tuple[float, float] = (500.0, 2000.0)
    of_limit: tuple[float, float] = (0.8, 1.0)
    disk_mb: tuple[float, float] = (5000.0, 1000.0)
    restarts: tuple[float, float] = (1, 5)


USUAL = Thresholds()


def above(value: float | None, pair: tuple[float, float], else_: str = "") -> str:
    """Amber from the first number, red from the second."""
    if value is None:
        return ""
    return "bad" if value >= pair[1] else "warn" if value >= pair[0] else else_


def below(value: float, pair: tuple[float, float]) -> str:
    return "bad" if value <= pair[1] else "warn" if value <= pair[0] else ""


def worst(levels: Iterable[str]) -> str:
    found = set(levels)
    return next((level for level in WORST if level in found), "")


def fleet(seen: Seen, now: datetime, rules: Thresholds = USUAL) -> dict[str, Any]:
    """Everything but the books."""
    cards = [
        card(row, seen.heard.get(row["name"], Heard(error="its settings cannot be read")), seen, now, rules)
        for row in seen.status["instances"]
    ]
    cards += [_stopped(name, broker) for name, broker in seen.stopped.items()]
    # a card stays in its place when its instance is stopped: no button moves under somebody's finger
    cards.sort(key=lambda one: (FIXED_HUES.get(one["name"], len(FIXED_HUES)), one["name"]))
    return {
        "now_ms": int(now.timestamp() * 1000),
        "error": seen.error,
        "venue": seen.status.get("venue", ""),
        "cards": cards,
        "services": [service(row) for row in seen.status.get("services", [])],
        "machine": machine(seen, now, rules),
        "panic": seen.panic,
        "events": [
            one | {"level": "good" if one["name"] in ("ready", "recovered") else "warn"}
            for one in reversed(seen.events)
        ],
    }


def card(
    row: Mapping[str, Any], heard: Heard, seen: Seen, now: datetime, rules: Thresholds = USUAL
) -> dict[str, Any]:
    """One running instance."""
    name = str(row["name"])
    settings = seen.settings.get(name)
    state = str(row["state"])
    status = heard.status
    facts = [
        *_session(row, status, now, rules),
        *_feed(row, rules),
        *_orders(heard, now, rules),
        *_process(row, seen, rules),
    ]
    notes = [str(text) for text in row.get("waiting_for") or []]
    desk = status.get("desk") or {}
    if row.get("late"):
        notes.append(str(row["late"]))
    if desk.get("unknown"):
        notes.append(f"{desk['unknown']} orders whose outcome is not known: do not send them again")
    notes += [f"position drift: {text}" for text in desk.get("drift") or []]
    if heard.error and state not in ("starting", "planned", "stopping"):
        notes.append(heard.error)
    levels = [STATES.get(state, "warn"), *(fact["level"] for fact in facts), "warn" if notes else ""]
    level = "bad" if desk.get("unknown") or (heard.error and state == "ready") else worst(levels)
    return {
        "name": name,
        "broker": str(row.get("broker") or ""),
        "title": settings.spec.title if settings is not None else str(row.get("broker") or ""),
        "hue": hue_of(name),
        "state": state,
        "state_level": STATES.get(state, "warn"),
        "level": level,
        "running": True,
        "mode": str(status.get("mode") or ""),
        "url": str(row.get("url") or ""),
        "blocked": str(desk.get("blocked") or ""),
        "needs_code": settings is not None and not _seeded(settings.credentials),
        "facts": facts,
        "notes": notes,
    }


def _stopped(name: str, broker: str) -> dict[str, Any]:
    return {
        "name": name,
        "broker": broker,
        "title": broker.capitalize(),
        "hue": hue_of(name),
        "state": "stopped",
        "state_level": "",
        "level": "",
        "running": False,
        "mode": "",
        "url": "",
        "blocked": "",
        "needs_code": False,
        "facts": [],
        "notes": [],
    }


def _seeded(credentials: Iterable[str]) -> bool:
    """Whether a login needs no code from a person (as ``algo login`` decides it)."""
    return any(key.endswith(("TOTP_SECRET", "ACCESS_TOKEN")) for key in credentials)


def _session(
    row: Mapping[str, Any], status: Mapping[str, Any], now: datetime, rules: Thresholds
) -> list[Fact]:
    session = row.get("broker_session") or {}
    state = str(session.get("state") or "not known")
    issued, ends = status.get("token_issued_at"), session.get("expires_at")
    age = (now - datetime.fromisoformat(issued)).total_seconds() if issued else None
    facts = [
        _fact("session", "Broker session", state, SESSIONS.get(state, ""), str(session.get("account") or ""))
    ]
    if ends:
        at = datetime.fromisoformat(str(ends))
        left = (at - now).total_seconds()
        text = f"{span(age)} old, {span(left)} left" if left > 0 else f"ended {span(-left)} ago"
        facts.append(_fact("token", "Token", text, below(left, rules.token_s), f"until {moment(at)}"))
    return facts


def _feed(row: Mapping[str, Any], rules: Thresholds) -> list[Fact]:
    state = str(row.get("feed_state") or "not running")
    age, rate, subscribed = row.get("last_tick_age_s"), row.get("ticks_per_s"), row.get("subscribed")
    live = state == "live"
    kind = "good" if live else "" if state in ("off", "closed") else "warn"
    facts = [_fact("feed", "Feed", state.replace("_", " "), kind, f"{subscribed or 0} symbols subscribed")]
    if state != "off":
        late = above(age, rules.tick_s) if live and subscribed else ""
        facts += [
            _fact("tick", "Last tick", f"{span(age)} ago" if age is not None else "none yet", late),
            _fact("rate", "Ticks/s", "–" if rate is None else f"{rate:.1f}", ""),
        ]
    return facts


def _orders(heard: Heard, now: datetime, rules: Thresholds) -> list[Fact]:
    trip = heard.status.get("round_trip")
    facts = [_fact("trip", "Last order", "none yet", "")]
    if trip:
        ago = now.timestamp() - trip["at_ms"] / 1000
        text = f"{milliseconds(trip['ms'])}, {span(ago)} ago"
        level = above(trip["ms"], rules.trip_ms)
        facts = [_fact("trip", "Last order", text, level, "from its sending to the broker's acknowledgement")]
    orders, positions = heard.books.get("orders", {}), heard.books.get("positions", {})
    for book in (orders, positions):
        if book.get("error"):
            facts.append(_fact("books", "Books", "not readable", "bad", str(book["error"])))
            return facts
    working = sum(is_working(one) for one in orders.get("rows", ()))
    held = [one for one in positions.get("rows", ()) if one["quantity"]]
    facts.append(_fact("open", "Open", f"{working} orders, {len(held)} positions", ""))
    known = [one["pnl"] for one in positions.get("rows", ()) if one.get("pnl") is not None]
    if known:
        facts.append(_fact("pnl", "P&L of the day", f"₹ {signed(sum(known))}", ""))
    return facts


def is_working(order: Mapping[str, Any]) -> bool:
    return order["order_status"] in ("open", "trigger pending", "transit", "unknown")


def _process(row: Mapping[str, Any], seen: Seen, rules: Thresholds) -> list[Fact]:
    children = [one for one in row.get("children") or [] if one["role"] != "sim"]
    restarts = row.get("restarts")
    facts = [_fact("up", "Up", span(row.get("uptime_s")), "")]
    if restarts is not None:
        facts.append(_fact("restarts", "Restarts", str(restarts), above(restarts, rules.restarts)))
    for name, label, unit in (
        ("cpu_percent", "CPU", " %"),
        ("memory_mb", "Memory", " MB"),
        ("descriptors", "Descriptors", ""),
    ):
        facts += _usage(name, label, unit, children, seen, str(row["name"]), rules)
    pids = {role: pid for role, pid in (row.get("pids") or {}).items() if pid}
    facts.append(_fact("pids", "Pids", ", ".join(f"{role} {pid}" for role, pid in pids.items()) or "–", ""))
    if row.get("ports"):
        text = ", ".join(f"{name} {port}" for name, port in row["ports"].items())
        facts.append(_fact("ports", "Ports", text, ""))
    version = seen.heard.get(str(row["name"]), Heard()).status.get("version")
    if version:
        facts.append(_fact("version", "Version", str(version), ""))
    return facts


def _usage(
    name: str,
    label: str,
    unit: str,
    children: Sequence[Mapping[str, Any]],
    seen: Seen,
    instance: str,
    rules: Thresholds,
) -> list[Fact]:
    """The sum over an instance's processes; judged by the one nearest to its limit."""
    values = {
        one["role"]: float(value)
        for one in children
        if one.get("usage") and (value := one["usage"].get(name)) is not None
    }
    if not values:
        return []
    settings = seen.settings.get(instance)
    limit = float(getattr(settings.limits, name)) if settings is not None else 0.0
    level = above(max(values.values()) / limit, rules.of_limit) if limit else ""
    hint = ", ".join(f"{role} {value:.0f}{unit}" for role, value in values.items())
    if limit:
        hint += f"; each may use {limit:.0f}{unit}"
    return [_fact(name.partition("_")[0], label, f"{sum(values.values()):.0f}{unit}", level, hint)]


def service(row: Mapping[str, Any]) -> dict[str, Any]:
    """A process all instances share: the market-data store's puller, this page itself."""
    state = str(row["state"])
    facts = [_fact("up", "Up", span(row.get("uptime_s")), "")]
    if row.get("work"):
        facts.insert(0, _fact("work", "Doing", str(row["work"]), ""))
    if row["name"] == "historify":
        puller, epoch = row.get("puller"), row.get("epoch")
        lease = f"{puller}, epoch {epoch}" if puller else "nobody"
        facts.append(_fact("lease", "Pulls through", lease, ""))
        jobs = row.get("jobs")
        if isinstance(jobs, Mapping):
            text = ", ".join(f"{count} {name}" for name, count in jobs.items() if count) or "none"
            facts.append(_fact("jobs", "Jobs", text, "warn" if jobs.get("failed") else ""))
    facts += [
        _fact("restarts", "Restarts", str(row.get("restarts") or 0), above(row.get("restarts"), (1, 5))),
        _fact("pid", "Pid, port", f"{row.get('pid') or '–'}, {row.get('port') or '–'}", ""),
    ]
    usage = next((one["usage"] for one in row.get("children") or [] if one.get("usage")), None)
    if usage:
        facts.append(_fact("memory", "Memory", f"{usage['memory_mb']:.0f} MB", ""))
    return {
        "name": str(row["name"]),
        "title": {"historify": "Market-data store", "console": "This page"}.get(row["name"], row["name"]),
        "state": state,
        "state_level": STATES.get(state, "warn"),
        "level": worst([STATES.get(state, "warn"), *(fact["level"] for fact in facts)]),
        "facts": facts,
        # a puller without a login waits on purpose; it is no alarm of its own
        "notes": [str(text) for text in row.get("waiting_for") or []],
    }


def machine(seen: Seen, now: datetime, rules: Thresholds) -> list[Fact]:
    """The home itself."""
    facts = []
    if seen.disk is not None:
        total, free = seen.disk
        level = below(free / 1e6, rules.disk_mb)
        facts.append(_fact("disk", "Disk free", f"{size(free)} of {size(total)}", level))
    boss = seen.status.get("supervisor")
    if boss:
        up = (now - datetime.fromisoformat(boss["started_at"])).total_seconds()
        facts.append(_fact("supervisor", "Supervisor", f"pid {boss['pid']}, up {span(up)}", ""))
    else:
        facts.append(_fact("supervisor", "Supervisor", "does not answer", "bad", seen.error))
    return facts


def books(seen: Seen) -> dict[str, Any]:
    """Orders and positions of all instances in one list each, newest order first."""
    orders: list[dict[str, Any]] = []
    positions: list[dict[str, Any]] = []
    errors: list[str] = []
    for name, heard in seen.heard.items():
        mode = "sandbox" if heard.books.get("mode") == "analyze" else ""
        for rows, book in ((orders, "orders"), (positions, "positions")):
            found = heard.books.get(book, {})
            if heard.error or found.get("error"):
                errors.append(f"{name}: {found.get('error') or heard.error}")
            rows += [{"instance": name, "mode": mode, **row} for row in found.get("rows", ())]
    orders.sort(key=lambda row: str(row["timestamp"]), reverse=True)
    return {"orders": orders, "positions": positions, "errors": list(dict.fromkeys(errors))}


def _fact(id_: str, label: str, text: str, level: str, hint: str = "") -> Fact:
    return {"id": id_, "label": label, "text": text, "level": level, "hint": hint}


def utc_now() -> datetime:
    return datetime.now(UTC)
