"""A strategy in front of one running instance, and the truth behind it: simulated broker and journal."""

from __future__ import annotations

import http.client
import json
import sqlite3
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.e2e.fleet import Fleet

PLACE_PATHS = {"dhan": "/v2/orders$", "kotak": "/quick/order/rule/ms/place$"}
OUR_WORDS = {
    "transit": "open",
    "open": "open",
    "partial": "open",
    "trigger pending": "trigger pending",
    "filled": "complete",
    "cancelled": "cancelled",
    "expired": "cancelled",
    "rejected": "rejected",
}
"""The simulated exchange's status -> OpenAlgo's."""
Answer = tuple[int, dict[str, Any]]
NO_ANSWER = 0


@dataclass
class Trader:
    """Places through the instance ``name`` and looks behind it."""

    fleet: Fleet
    name: str
    key: str

    # -- what a strategy sees

    @property
    def url(self) -> str:
        return self.fleet.url(self.name)

    def post(self, path: str, timeout_s: float = 30.0, **fields: Any) -> Answer:
        """HTTP status and body; status 0 when the connection broke before an answer."""
        data = json.dumps({"apikey": self.key, **fields}).encode()
        url = f"{self.url}/api/v1/{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as exc:
            return exc.code, json.loads(exc.read())
        except (OSError, http.client.HTTPException) as exc:
            return NO_ANSWER, {"message": repr(exc)}

    def place(self, client_order_id: str, price: float, **change: Any) -> Answer:
        """A small limit order far below the market: it rests."""
        order = {
            "strategy": "bad day",
            "symbol": "SBIN",
            "exchange": "NSE",
            "action": "BUY",
            "quantity": 1,
            "product": "MIS",
            "pricetype": "LIMIT",
            "price": f"{price:.2f}",
            "client_order_id": client_order_id,
        }
        return self.post("placeorder", **{**order, **change})

    def status_of(self, order_id: str) -> str:
        status, body = self.post("orderstatus", orderid=order_id, strategy="bad day")
        assert status == 200, body
        return str(body["data"]["order_status"])

    def book(self) -> dict[str, str]:
        """Order id -> status, of the order book; every id stands there once."""
        status, body = self.post("orderbook")
        assert status == 200, body
        rows = [(row["orderid"], row["order_status"]) for row in body["data"]["orders"]]
        assert len(rows) == len(dict(rows)), "an order stands twice in the book"
        return dict(rows)

    def ready(self) -> dict[str, Any]:
        """``/health/ready``; empty while the process does not answer."""
        try:
            with urllib.request.urlopen(f"{self.fleet.url(self.name)}/health/ready", timeout=5) as answer:
                found = json.loads(answer.read())
        except urllib.error.HTTPError as exc:
            found = json.loads(exc.read())
        except (OSError, http.client.HTTPException):
            return {}
        assert isinstance(found, dict)
        return found

    # -- what is true

    def sim(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.fleet.ports[self.name]['SIM_PORT']}/_sim/{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def fault(self, kind: str, **rule: Any) -> None:
        """One fault, once, on the next order that is placed."""
        match = {"path": PLACE_PATHS[self.name], "method": "POST"}
        self.sim("POST", "faults", {"kind": kind, "match": match, "count": 1, **rule})

    def at_broker(self) -> list[dict[str, Any]]:
        found = self.sim("GET", "orders")
        assert isinstance(found, list)
        return found

    def price(self) -> float:
        """3 % below the market, on tick."""
        ltp = self.sim("GET", "snapshot?exchange=NSE&symbol=SBIN")["ltp"]
        return round(round(ltp * 0.97 / 0.05) * 0.05, 2)

    def journal(self) -> dict[str, dict[str, Any]]:
        """client_order_id -> journal row, read beside the process that writes it."""
        path = self.fleet.home / "db" / "sim" / f"openalgo_{self.name}.db"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            connection.row_factory = sqlite3.Row
            found = connection.execute("select * from orders where client_order_id is not null")
            return {row["client_order_id"]: dict(row) for row in found}
        finally:
            connection.close()

    def behind(self, tag: str) -> list[dict[str, Any]]:
        """The broker's orders with a tag; a change may have appended to it."""
        return [order for order in self.at_broker() if order["tag"].startswith(tag)]
