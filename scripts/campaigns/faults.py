"""Every fault on changing and cancelling an order, at both brokers (on placing: tests/e2e/test_bad_day.py).

Success is only said of what the broker carried out, a refusal only of what it did not; after the fault the
journal ends as the broker has it.

    scripts/campaign faults
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.e2e.fleet import until
from tests.e2e.station import Station
from tests.e2e.trader import Answer, Trader

PATHS = {
    ("dhan", "modify"): ("PUT", "/v2/orders/"),
    ("dhan", "cancel"): ("DELETE", "/v2/orders/"),
    ("kotak", "modify"): ("POST", "/quick/order/vr/modify"),
    ("kotak", "cancel"): ("POST", "/quick/order/cancel"),
}
LATE_S = 3.5
SETTLE_S = 40.0
REFUSED = "connection_refused"
"""The last one: nobody listens at the broker's address, then the broker is back with its orders."""
OK, LOST = (200, None), (504, "OUTCOME_UNKNOWN")
# fault -> rule, the answers it may have, whether the broker carries the change out (None: either)
FAULTS: dict[str, tuple[dict[str, Any], tuple[tuple[int, str | None], ...], bool | None]] = {
    "none": ({}, (OK,), True),
    "drop_before": ({}, (LOST,), False),
    "drop_after": ({}, (OK, LOST), True),
    "500": ({"kind": "status", "code": 500}, (LOST,), False),
    "502": ({"kind": "status", "code": 502}, (LOST,), False),
    "503": ({"kind": "status", "code": 503}, (LOST,), False),
    "delay": ({"delay_s": LATE_S}, (LOST,), True),
    "garbage": ({}, (OK, LOST), True),
    "truncate": ({}, (OK, LOST), True),
    "429": ({"kind": "status", "code": 429, "retry_after_s": 1}, ((429, "RATE_LIMITED"),), False),
    "refuse_ip": ({"match": {}}, ((403, "IP_NOT_ALLOWED"),), False),
    "expire_token": ({"match": {}}, ((403, "AUTH_EXPIRED"), OK), None),
    # neither carries a tag; a broker that says "duplicate" may have done it, and is looked at
    "repeated": ({}, (OK, LOST), True),
    "duplicate": ({}, (LOST,), False),
    REFUSED: ({}, ((503, "BROKER_DISCONNECTED"),), False),
}


def run(station: Station) -> dict[str, str]:
    """What was answered, by change and fault; raises ``AssertionError``."""
    trader = station.open()
    price = trader.price()
    told: dict[str, str] = {}
    ids: dict[str, str] = {}
    for kind in ("modify", "cancel"):
        for fault, (rule, allowed, _) in FAULTS.items():
            what = f"{kind} {fault}"
            placed = until(
                lambda what=what: taken(trader.place(what, price)), 30, f"{what}: an order to change"
            )
            order_id = ids[what] = str(placed[1]["orderid"])
            # at the broker, not here: here an order on its way to the exchange is open already
            until(lambda i=order_id: is_at(trader, i, "open"), 10, f"{what}: it rests")
            method, path = PATHS[station.name, kind]
            if fault == REFUSED:
                station.kill_broker()
            elif fault != "none":
                match = {"method": method, "path": path}
                trader.sim("POST", "faults", {"kind": fault, "match": match, "count": 1, **rule})
            status, body = change(station, kind, order_id, price)
            told[what] = str(body.get("code") or status)
            assert (status, body.get("code")) in allowed, (what, status, body)
            if fault == REFUSED:
                station.start_broker()
            elif fault == "delay":  # or it meets a session that has ended since
                until(lambda i=order_id, k=kind: is_done(trader, i, k), 10, f"{what}: it arrives")
            trader.sim("DELETE", "faults")
    until(station.settled, SETTLE_S, "every change is settled")
    books = {order["id"]: order for order in trader.at_broker()}
    rows = {row["client_order_id"]: row for row in station.rows()}
    for what, order_id in ids.items():
        kind, _, fault = what.partition(" ")
        order, row = books[order_id], rows[what]
        done = is_done(trader, order_id, kind)
        carried = FAULTS[fault][2]
        assert carried is None or done is carried, f"{what}: the broker has {order}"
        if told[what] == "200":
            assert done, f"{what}: success was said, the broker has {order}"
        elif told[what] != "OUTCOME_UNKNOWN":
            assert not done, f"{what}: {told[what]} was said, the broker has {order}"
        assert row["quantity"] == order["quantity"], f"{what}: {row} {order}"
    station.check_truth()
    return told


def change(station: Station, kind: str, order_id: str, price: float) -> Answer:
    trader = station.trader
    if kind == "cancel":
        return trader.post("cancelorder", orderid=order_id, strategy="bad day")
    terms = {
        "symbol": "SBIN", "exchange": "NSE", "action": "BUY", "product": "MIS", "pricetype": "LIMIT",
        "price": f"{price:.2f}", "quantity": "2", "disclosed_quantity": "0", "trigger_price": "0",
    }  # fmt: skip
    return trader.post("modifyorder", orderid=order_id, strategy="bad day", **terms)


def at_broker(trader: Trader, order_id: str) -> dict[str, Any]:
    return next(order for order in trader.at_broker() if order["id"] == order_id)


def is_at(trader: Trader, order_id: str, status: str) -> bool:
    return bool(at_broker(trader, order_id)["status"] == status)


def is_done(trader: Trader, order_id: str, kind: str) -> bool:
    order = at_broker(trader, order_id)
    return bool(order["status"] == "cancelled" if kind == "cancel" else order["quantity"] == 2)


def taken(answer: Answer) -> Answer | None:
    return answer if answer[0] == 200 else None


def main() -> int:
    argparse.ArgumentParser(prog="scripts/campaign faults", description=__doc__).parse_args()
    for name in ("dhan", "kotak"):
        with tempfile.TemporaryDirectory() as home:
            station = Station(Path(home), name)
            try:
                told = run(station)
            finally:
                station.close()
        print(f"faults {name}: {len(told)} changes, none misreported: {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
