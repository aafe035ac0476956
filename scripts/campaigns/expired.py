"""An ended broker session: every order answers AUTH_EXPIRED at once, none is unknown, and a login is enough.

The instance is kept from renewing by itself (the broker refuses its logins), as when only a person's code
helps.

    scripts/campaign expired [--orders 50]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.fleet import until
from tests.e2e.station import Station

PROMISED_S = 0.2
LOGINS = {"dhan": "generateAccessToken|RenewToken", "kotak": "tradeApiLogin|tradeApiValidate"}


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds of the answers while there was no session."""

    orders: int
    first_s: float
    median_s: float
    longest_s: float
    back_after_s: float


def run(station: Station, orders: int) -> Figures:
    """Raises ``AssertionError``; how fast it was answered is a figure, not asserted."""
    trader = station.open()
    price = trader.price()
    assert trader.place("before", price)[0] == 200
    account = trader.ready()["broker_session"]["account"]
    refused = {"kind": "status", "code": 503, "match": {"path": LOGINS[station.name]}}
    [rule] = trader.sim("POST", "faults", refused)
    trader.sim("POST", "expire", {"account": account})
    spent: list[float] = []
    for number in range(orders):
        began = time.monotonic()
        status, body = trader.place(f"expired-{number}", price)
        spent.append(time.monotonic() - began)
        assert (status, body.get("code")) == (403, "AUTH_EXPIRED"), body
    rows = station.rows()
    assert not [row for row in rows if row["state"] in ("sending", "unknown")], "an order is unknown"
    assert len(trader.at_broker()) == 1
    assert state(trader.ready()) != "valid"
    life = station.lives
    trader.sim("DELETE", f"faults?id={rule['id']}")
    began = time.monotonic()
    station.login()
    status, body = until(
        lambda: taken(trader.place(f"after-{time.monotonic_ns()}", price)), 30, "orders again"
    )
    back_s = time.monotonic() - began
    assert station.lives == life
    assert state(station.ready()) == "valid"
    return Figures(orders, spent[0], statistics.median(spent), max(spent), back_s)


def state(ready: dict[str, Any]) -> str:
    return str(ready.get("broker_session", {}).get("state"))


def taken(answer: tuple[int, dict[str, Any]]) -> tuple[int, dict[str, Any]] | None:
    return answer if answer[0] == 200 else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign expired", description=__doc__)
    parser.add_argument("--orders", type=int, default=50)
    options = parser.parse_args()
    late = False
    for name in LOGINS:
        with tempfile.TemporaryDirectory() as home:
            station = Station(Path(home), name)
            try:
                found = run(station, options.orders)
            finally:
                station.close()
        late = late or found.longest_s > PROMISED_S
        first, median, longest, back = (
            f"{seconds * 1e3:.0f} ms"
            for seconds in (found.first_s, found.median_s, found.longest_s, found.back_after_s)
        )
        print(
            f"expired {name}: {found.orders} orders answered AUTH_EXPIRED, the first in {first}, "
            f"median {median}, longest {longest}; none unknown; "
            f"after the login an order is taken in {back}, without a restart"
        )
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
