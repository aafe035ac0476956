"""What the page tests ask of an instance behind the page's back: API, simulated broker, journal."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import urllib.request
from typing import Any

from tests.e2e.fleet import Fleet

SCRIPT = "<img src=x onerror=alert(1)>"
KEYS: dict[str, str] = {}
"""Of each instance, made once: making one is a process of its own."""


def key_of(fleet: Fleet, name: str) -> str:
    if name not in KEYS:
        KEYS[name] = fleet.key(name)
    return KEYS[name]


def last_price(fleet: Fleet, name: str) -> float:
    return float(asked(fleet, name, "quotes", {"exchange": "NSE", "symbol": "SBIN"})["data"]["ltp"])


def place(fleet: Fleet, name: str, **changes: str) -> str:
    """An order of a strategy whose name is an attack."""
    body = {
        "strategy": SCRIPT,
        "exchange": "NSE",
        "symbol": "SBIN",
        "action": "BUY",
        "pricetype": "MARKET",
        "product": "MIS",
        "quantity": "3",
        **changes,
    }
    return str(asked(fleet, name, "placeorder", body)["orderid"])


def asked(fleet: Fleet, name: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{fleet.url(name)}/api/v1/{path}",
        data=json.dumps({"apikey": key_of(fleet, name), **body}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def fault(fleet: Fleet, name: str, method: str = "POST", **rule: Any) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{fleet.ports[name]['SIM_PORT']}/_sim/faults",
        data=json.dumps(rule).encode() if rule else None,
        headers={"Content-Type": "application/json"},
        method=method,
    )
    urllib.request.urlopen(request, timeout=10).close()


def of_yesterday(fleet: Fleet, name: str) -> None:
    """Let a day pass for the orders whose outcome is not known."""
    path = fleet.home / "db" / "sim" / f"openalgo_{name}.db"
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        changed = connection.execute(
            "update orders set created_ns = created_ns - 172800000000000 where state = 'unknown'"
        )
        assert changed.rowcount == 1
