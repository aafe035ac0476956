"""Two simulated desks with something on them, as a newcomer shall see them: for the pictures."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.sync_api import Page

from tests.e2e.fleet import Fleet, until

WATCHED = ("SBIN", "RELIANCE", "TCS", "INFY", "HDFCBANK", "ICICIBANK", "ITC", "LT", "AXISBANK", "KOTAKBANK")
STORED = ("RELIANCE", "SBIN", "TCS")
RANGE, PULLBACK = "opening range", "vwap pullback"
BEHIND = "-4%"
"""How far a resting order of the scene is from the last price."""


@dataclass
class Desk:
    """One instance: a page of it that is signed in, and a key."""

    fleet: Fleet
    name: str
    page: Page
    key: str

    def asked(self, path: str, **body: Any) -> Any:
        """``/api/v1`` as a strategy asks. A refusal is part of the scene: its words come back."""
        request = urllib.request.Request(
            f"{self.fleet.url(self.name)}/api/v1/{path}",
            data=json.dumps({"apikey": self.key, **body}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as exc:
            return json.load(exc)

    def sent(self, method: str, path: str, body: Any) -> Any:
        """``/web/api`` as a page asks; anything but a success fails."""
        found = self.page.evaluate(
            """async ([method, path, body]) => {
                const token = document.querySelector("meta[name=csrf-token]").content;
                const answer = await fetch(`/web/api/${path}`,
                    {method, body: body && JSON.stringify(body), headers: {"X-CSRF-Token": token}});
                return [answer.status, await answer.text()];
            }""",
            [method, path, body],
        )
        assert found[0] < 300, found
        return json.loads(found[1] or "null")

    def order(self, strategy: str, symbol: str, action: str, quantity: int, **more: Any) -> Any:
        """An order at the market, or with a ``price`` that is a share of the last one (``"-4%"``)."""
        body = {"exchange": "NSE", "symbol": symbol, "action": action, "product": "MIS", **more}
        if str(body.get("price", "")).endswith("%"):
            last = self.asked("quotes", exchange="NSE", symbol=symbol)["data"]["ltp"]
            body["price"] = f"{round(last * (1 + float(body['price'][:-1]) / 100)):.2f}"
            body["pricetype"] = "LIMIT"
        return self.asked(
            "placeorder", strategy=strategy, quantity=str(quantity), **{"pricetype": "MARKET", **body}
        )


def furnish(desk: Desk) -> None:
    """Lists, strategies, orders of every state, positions, and orders that wait for a person."""
    lists = [
        {"name": "Nifty heavyweights", "symbols": [{"exchange": "NSE", "symbol": one} for one in WATCHED]},
        {
            "name": "Banks",
            "symbols": [{"exchange": "NSE", "symbol": one} for one in WATCHED if "BANK" in one],
        },
    ]
    desk.sent("PUT", "lists", {"lists": lists})
    for name, platform in ((RANGE, "tradingview"), (PULLBACK, "chartink")):
        symbols = [
            {"exchange": "NSE", "symbol": one, "quantity": 10, "product": "MIS"} for one in WATCHED[:3]
        ]
        desk.sent(
            "POST", "strategies", {"name": name, "platform": platform, "mode": "LONG", "symbols": symbols}
        )
    desk.order(RANGE, "SBIN", "BUY", 150)
    desk.order(RANGE, "RELIANCE", "BUY", 60)
    desk.order(PULLBACK, "TCS", "SELL", 25)
    desk.order(PULLBACK, "ITC", "BUY", 400)
    desk.order(PULLBACK, "ITC", "SELL", 400)
    desk.order(RANGE, "INFY", "BUY", 80, price=BEHIND)
    desk.order(RANGE, "HDFCBANK", "BUY", 40, price=BEHIND)
    gone = desk.order(PULLBACK, "LT", "BUY", 30, price=BEHIND)
    desk.asked("cancelorder", strategy=PULLBACK, orderid=gone["orderid"])
    desk.order(PULLBACK, "AXISBANK", "BUY", 5_000, product="CNC")  # more than the account has: rejected
    desk.sent("POST", "order-mode", {"mode": "semi_auto"})
    desk.order(PULLBACK, "KOTAKBANK", "BUY", 20)
    desk.order(RANGE, "ICICIBANK", "BUY", 50)
    desk.sent("POST", "order-mode", {"mode": "auto"})


def store(desk: Desk) -> None:
    """Downloaded bars, a list and a schedule; until the downloads are done."""
    keys = [{"exchange": "NSE", "symbol": one} for one in STORED]
    today = datetime.now(UTC).date()
    desk.sent("POST", "call/historify/watchlists", {"name": "heavyweights", "add": keys, "remove": []})
    desk.sent(
        "POST",
        "call/historify/schedules",
        {"name": "after the close", "watchlist": "heavyweights", "intervals": ["1m", "D"], "at": "16:15"},
    )
    days = {"start_date": str(today - timedelta(days=75)), "end_date": str(today)}
    desk.sent("POST", "call/historify/jobs", {"symbols": keys, "intervals": ["D", "1m"], **days})

    def over() -> bool:
        jobs = desk.sent("GET", "call/historify/jobs?limit=5", None)["data"]
        return all(job["state"] in ("done", "failed") for job in jobs)

    until(over, 90, "the downloads are done")
