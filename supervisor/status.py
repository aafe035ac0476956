"""Pure: what a person wants to know of an instance, from its children and their last health answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.settings import Settings
from supervisor.children.policy import Child, Need, State
from supervisor.children.usage import Usage
from supervisor.plan import ChildSpec
from supervisor.state import Record

_WORST_FIRST = (
    State.FAILED,
    State.BACKOFF,
    State.WEDGED,
    State.STOPPING,
    State.LOGIN_NEEDED,
    State.DEGRADED,
    State.CLOSED,
    State.STARTING,
    State.PLANNED,
    State.STOPPED,
    State.READY,
)


_PHASES = {
    # the session ended as planned: nothing is wrong until somebody should have logged in
    "rolling-over": Need.OPEN_MARKET,
    "rolled-over": Need.OPEN_MARKET,
    "login-overdue": Need.LOGIN,
}


def instance_row(
    one: Settings,
    specs: Sequence[ChildSpec],
    children: Mapping[str, Child],
    bodies: Mapping[str, Mapping[str, Any]],
    now: float,
    usages: Mapping[str, Usage] | None = None,
) -> dict[str, Any]:
    """One instance as JSON-ready data.

    Args:
        specs: The children this instance needs, a shared simulated broker included.
        bodies: Child key -> its last health answer.
        now: Monotonic seconds.
        usages: Child key -> what it uses.
    """
    used = usages or {}
    rows = [
        _child_row(spec, children.get(spec.key, Child()), used.get(spec.key, Usage()), now) for spec in specs
    ]
    states = [State(row["state"]) for row in rows]
    state = next((s for s in _WORST_FIRST if s in states), State.STOPPED)
    api = bodies.get(f"{one.name}.api", {})
    feed = bodies.get(f"{one.name}.feed", {})
    own = [row for row in rows if row["role"] != "sim"]
    return {
        "name": one.name,
        "broker": one.broker,
        "venue": one.venue.value,
        "state": state.value,
        "waiting_for": [f"{row['key']}: {row['reason'] or row['state']}" for row in rows if _waits(row)],
        "url": one.url,
        "pids": {row["role"]: row["pid"] for row in rows},
        "ports": {"web": one.port, "websocket": one.ws_port, "zeromq": one.zmq_port}
        | ({"sim": one.sim_port} if one.venue.value == "sim" else {}),
        "uptime_s": min((row["uptime_s"] for row in own if row["uptime_s"] is not None), default=None),
        "restarts": sum(row["restarts"] for row in own),
        "broker_session": api.get("broker_session"),
        "instruments": api.get("instruments"),
        "broker_day": api.get("broker_day"),
        "egress": api.get("egress"),
        "roles": sorted(one.roles),
        "feed_state": _feed_state(feed) if "feed" in one.roles else "off",
        "last_tick_age_s": feed.get("last_tick_age_s"),
        "ticks_per_s": feed.get("ticks_per_s"),
        "subscribed": feed.get("subscribed"),
        "children": rows,
    }


def service_row(
    spec: ChildSpec, child: Child, body: Mapping[str, Any], usage: Usage, now: float
) -> dict[str, Any]:
    """What all instances share (the market-data store's puller …), as JSON-ready data.

    ``work``, ``puller``, ``epoch`` and ``jobs`` are what its health page says; None where it does not.
    """
    row = _child_row(spec, child, usage, now)
    waiting = body.get("waiting_for")
    work = str(body.get("state") or "")
    why = f"{spec.key}: {work}" if work.startswith("waiting") else spec.key
    said = [f"{why}: {text}" for text in waiting] if isinstance(waiting, list) else []
    if _waits(row):
        said = said or [f"{spec.key}: {row['reason'] or row['state']}"]
    return {
        "name": spec.key,
        "state": row["state"],
        "port": spec.ports[0].port if spec.ports else None,
        **{name: row[name] for name in ("pid", "uptime_s", "restarts")},
        "work": body.get("state"),
        **{name: body.get(name) for name in ("puller", "epoch", "jobs")},
        "waiting_for": said,
        "children": [row],
    }


def unsupervised(name: str, venue: str, records: Sequence[Record]) -> dict[str, Any]:
    """A running instance whose settings cannot be read any more, as JSON-ready data."""
    return {
        "name": name,
        "venue": venue,
        "state": "unsupervised",
        "pids": {r.key.rpartition(".")[2]: r.identity.pid for r in records if r.instance == name},
        "waiting_for": [
            f"{name}: its settings cannot be read; see `algo doctor {name}`, then `algo up {name}`"
        ],
        "children": [],
    }


def health_of(ready: bool, reason: str, body: Mapping[str, Any]) -> tuple[bool, str, Need]:
    """What an answer says of a child: a feed that serves its clients and hears nothing is not well."""
    feed = body.get("feed")
    trouble = str(feed.get("trouble") or "") if isinstance(feed, Mapping) else ""
    if ready and trouble:
        return False, f"the broker feed: {trouble}", Need.OTHER
    return ready, reason, need_of(body)


def need_of(body: Mapping[str, Any]) -> Need:
    """What a child that is not ready waits for, as far as it changes its state."""
    session = body.get("broker_session")
    if isinstance(session, Mapping) and session.get("state") == "refused":
        return Need.LOGIN
    day = body.get("broker_day")
    phase = day.get("phase") if isinstance(day, Mapping) else None
    if phase in _PHASES:
        return _PHASES[phase]
    return Need.OPEN_MARKET if body.get("market_open") is False else Need.OTHER


def _feed_state(body: Mapping[str, Any]) -> str | None:
    feed = body.get("feed")
    return str(feed.get("state")) if isinstance(feed, Mapping) else None


def _waits(row: Mapping[str, Any]) -> bool:
    return row["state"] not in (State.READY.value, State.STOPPED.value)


def _child_row(spec: ChildSpec, child: Child, usage: Usage, now: float) -> dict[str, Any]:
    running = child.state.is_running and child.started_at is not None
    return {
        "key": spec.key,
        "role": spec.role,
        "state": child.state.value,
        "pid": child.pid,
        "uptime_s": round(now - child.started_at, 1) if running and child.started_at is not None else None,
        "restarts": child.restarts,
        "exit_code": child.exit_code,
        "reason": child.reason,
        "usage": usage.to_plain(),
        "strain": usage.strain,
        "log": str(spec.log_path),
    }
