"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from brokers.clock import IST

COLOURS = {
    "ready": "green",
    "starting": "yellow",
    "planned": "yellow",
    "degraded": "yellow",
    "login-needed": "bold yellow",
    "closed-for-session": "cyan",
    "wedged": "bold red",
    "unsupervised": "yellow",
    "backoff": "red",
    "failed": "bold red",
}


def duration(seconds: float | None) -> str:
    """``12 s``, ``4 m 05 s``, ``3 h 20 m``, ``2 d 4 h``."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def status_table(status: Mapping[str, Any], width: int = 120) -> Table:
    """One row per instance; below a row that is not ready, what it waits for.

    Args:
        width: Columns of the terminal; below 110 pids, uptime and restarts are left to ``--json``.
    """
    sim = ": simulated brokers, no real orders" if status["venue"] == "sim" else ""
    table = Table(
        title=f"algo{sim}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
    )
    wide = width >= 110
    columns = ["instance", "state", "web/ws/zmq", *(("pids", "up", "restarts") if wide else ())]
    for name in (*columns, "session", "feed", "tick age", "ticks/s"):
        numeric = name in ("up", "restarts", "tick age", "ticks/s")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=True)
    waits: list[str] = []
    alarms: list[str] = []
    for row in status["instances"]:
        table.add_row(*_cells(row, wide))
        alarms += _alarms(row)
        waits += [str(w) for w in row.get("waiting_for") or []]
    for row in status.get("services") or []:
        table.add_row(*_service_cells(row, wide))
        waits += [str(w) for w in row.get("waiting_for") or []]
    if waits or alarms:
        table.caption = Text("\n".join(alarms), style="bold red")
        table.caption.append("\n" if waits and alarms else "")
        table.caption.append("\n".join(waits), style="not bold yellow")
        table.caption_justify = "left"
    if not status["instances"]:
        table.add_row("-", "none running")
    return table


def _cells(row: Mapping[str, Any], wide: bool) -> list[Text]:
    ports = row.get("ports") or {}
    pids = row.get("pids") or {}
    session = row.get("broker_session") or {}
    age = row.get("last_tick_age_s")
    rate = row.get("ticks_per_s")
    state = str(row["state"])
    cells = [
        Text(str(row["name"]), style="bold"),
        Text(state, style=COLOURS.get(state, "")),
        Text("/".join(str(ports.get(k, "-")) for k in ("web", "websocket", "zeromq"))),
    ]
    if wide:
        cells += [
            Text(" ".join(f"{role}:{pid}" for role, pid in pids.items() if pid) or "-"),
            Text(duration(row.get("uptime_s"))),
            Text(str(row.get("restarts", "-"))),
        ]
    return [
        *cells,
        Text(_session(session) if wide else str(session.get("state", "-"))),
        Text(str(row.get("feed_state") or "-")),
        Text("-" if age is None else f"{age:.1f} s"),
        Text("-" if rate is None else f"{rate:.1f}"),
    ]


def _session(session: Mapping[str, Any]) -> str:
    """``valid to 00:00``, the time in IST; the state alone when it has no end."""
    state, ends = str(session.get("state", "-")), session.get("expires_at")
    if state != "valid" or not ends:
        return state
    return f"valid to {datetime.fromisoformat(str(ends)).astimezone(IST):%H:%M}"


def _alarms(row: Mapping[str, Any]) -> list[str]:
    """What a person should do something about now, one line each."""
    told = dict((row.get("broker_day") or {}).get("alarms") or {})
    if row.get("late"):
        told["not-ready-before-open"] = row["late"]
    return [f"{row['name']}: {name}: {reason}" for name, reason in told.items()]


def _service_cells(row: Mapping[str, Any], wide: bool) -> list[Text]:
    """A process all instances share, in the same columns: its puller stands where sessions stand."""
    state, puller, epoch = str(row["state"]), row.get("puller"), row.get("epoch")
    cells = [
        Text(str(row["name"]), style="bold"),
        Text(state, style=COLOURS.get(state, "")),
        Text(str(row.get("port") or "-")),
    ]
    if wide:
        pid = row.get("pid")
        cells += [
            Text(f"pid:{pid}" if pid else "-"),
            Text(duration(row.get("uptime_s"))),
            Text(str(row.get("restarts", "-"))),
        ]
    return [
        *cells,
        Text(f"{puller} #{epoch}" if puller else "-"),
        Text(str(row.get("work") or "-").partition(" ")[0]),
        Text("-"),
        Text("-"),
    ]
