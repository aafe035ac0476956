"""``algo compare --route``: what the route ``best`` would pick now, kept with its reason. Nothing is sent."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np

from brokers.errors import AlgoError, StoreError
from gateway.settings import Settings
from supervisor.children import probe as health
from supervisor.compare.collect import NOTHING, Instance, stage_samples, standing_of
from supervisor.compare.probe import unfit
from supervisor.compare.route import WINDOW_S, Candidate, Decision, pick
from supervisor.routing.journal import NAME as ROUTE_FILE
from supervisor.routing.journal import decisions
from supervisor.running import current_folder

NAME = "routes.jsonl"


SHOWN = 5


def tell(home: Path, fleet: Sequence[Settings], exchange: str, symbol: str, *, as_json: bool) -> None:
    """Decide, keep the decision, and print it with the last ones that the route has carried out."""
    now = time.time()
    candidates = [candidate(one, exchange, symbol.upper(), now) for one in fleet]
    found = pick(candidates, np.random.default_rng(int(now)))
    data = current_folder(home).path.parent
    row = keep(data / "compare" / NAME, f"{exchange}:{symbol.upper()}", found)
    done = decisions(data / ROUTE_FILE, SHOWN)
    if as_json:
        click.echo(json.dumps({**row, "routed": done}))
        return
    click.echo(f"{found.instance or 'none'}: {found.reason}")
    for name, median in found.medians_ms.items():
        click.echo(f"  {name}: " + (f"median {median:.2f} ms" if median is not None else "no orders"))
    for one in done:
        where = f"{one['instance'] or 'nowhere'} ({one['state']})"
        click.echo(f"  routed {one['at']} {one['contract']} to {where}: {one['reason']}")


def candidate(one: Settings, exchange: str, symbol: str, now: float) -> Candidate:
    """How an instance stands now; one that does not answer is unfit."""
    try:
        recent, _ = stage_samples(one, "place", int((now - WINDOW_S) * 1e9), int(now * 1e9))
    except StoreError:
        recent = NOTHING
    try:
        found = Instance(one, exchange, symbol).standing()
    except OSError as exc:
        return Candidate(one.name, False, recent, unfit=str(exc))
    standing = standing_of(one.name, found, 0, "")
    return Candidate(
        one.name,
        _feed(one),
        recent,
        holds=bool(standing.positions or any(not own for _, own in standing.orders)),
        unfit="; ".join(unfit(standing)),
    )


def _feed(one: Settings) -> bool:
    try:
        answer = health.call(
            f"http://{one.ws_host}:{one.ws_port}/health/ready", "GET", headers={}, timeout_s=3.0
        )
    except (OSError, AlgoError):
        return False
    status, body = answer
    return status == 200 and isinstance(body, dict) and body.get("feed", {}).get("state") == "live"


def keep(path: Path, contract: str, found: Decision) -> dict[str, Any]:
    """Append the decision to the journal of decisions; the row."""
    row = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "contract": contract,
        "instance": found.instance,
        "reason": found.reason,
        "medians_ms": dict(found.medians_ms),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
    return row
