"""The official client against a server that claims to be Kotak Neo; runs inside ``.venv-kotakneoapi``.

Nothing of this repository is imported, and of the client only the hosts are changed. Usage::

    kotakneoapi_client.py PORT UCC MOBILE MPIN TOTP ACCESS_TOKEN

Prints one line ``RESULT {json}``: what each call of the client returned. The test beside it judges.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from neo_api_client import NeoAPI
from neo_api_client.utils import neo_utility
from neo_api_client.utils.positions_pnl import compute_position_metrics
from neo_api_client.websocket.feed import WsToken

PATIENCE_S = 20.0
IST = timezone(timedelta(hours=5, minutes=30))
SBIN, INFY = "3045", "1594"


def redirect(port: int) -> None:
    """Point the client's three hosts here; the MPIN reply and the config service name the others."""
    base = f"http://127.0.0.1:{port}"
    neo_utility.SESSION_PROD_BASE_URL = base
    neo_utility.PROD_BASE_URL = base
    neo_utility.CONFIG_SERVICE_URL_PROD = f"{base}/5config/config"


def wait_for(true: Callable[[], Any]) -> Any:
    """Poll until something is true or patience ends; what it was at the end."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := true()) and time.monotonic() < deadline:
        time.sleep(0.15)  # the broker allows 25 reads a second
    return found


def log_in(client: NeoAPI, ucc: str, mobile: str, mpin: str, totp: str) -> dict[str, Any]:
    wrong = client.totp_login(mobile_number=mobile, ucc=ucc, totp="000000" if totp != "000000" else "111111")
    without_country = client.totp_login(mobile_number=mobile.removeprefix("+91"), ucc=ucc, totp=totp)
    early = client.order_report()
    view = client.totp_login(mobile_number=mobile, ucc=ucc, totp=totp)
    wrong_pin = client.totp_validate(mpin="999999")
    trade = client.totp_validate(mpin=mpin)
    settings = client.configuration
    return {
        "wrong": wrong,
        "without_country": without_country,
        "early": early,
        "view": view,
        "wrong_pin": wrong_pin,
        "trade": trade,
        "urls": [settings.base_url, settings.sfeed_websocket_url, settings.order_feed_url],
        "ip": client.whatsmyip(),
    }


def instruments(client: NeoAPI) -> dict[str, Any]:
    options = client.search_scrip(exchange_segment="nse_fo", symbol="nifty", option_type="CE")
    nifty = [row for row in options if row["pSymbolName"] == "NIFTY"]
    first = nifty[0]["pExpiryDate"].upper()
    strike = str(int(nifty[0]["dStrikePrice;"]) // 100)
    return {
        "files": client.scrip_master(),
        "nse_cm": client.scrip_master(exchange_segment="nse_cm"),
        "sbin": [r for r in client.search_scrip("nse_cm", "sbin") if r["pTrdSymbol"] == "SBIN-EQ"],
        "option": client.search_scrip("nse_fo", "nifty", first, "CE", strike),
        "futures": client.search_scrip("nse_fo", "sbin", option_type="FUT"),
        "bse_options": len(client.search_scrip("bse_fo", "sensex", option_type="PE")),
        "expiries": client.expiries("nse_fo", "NIFTY"),
        "chain": client.option_chain("nse_fo", "NIFTY", count=10),
    }


def quotes(client: NeoAPI) -> dict[str, Any]:
    wanted = [
        {"exchange_segment": "nse_cm", "instrument_token": SBIN},
        {"exchange_segment": "bse_cm", "instrument_token": "500112"},
        {"exchange_segment": "nse_cm", "instrument_token": "Nifty 50"},
    ]
    return {
        "all": client.quotes(wanted, "all"),
        "ltp": client.quotes(wanted[:1], "ltp"),
        "unknown": client.quotes([{"exchange_segment": "nse_cm", "instrument_token": "999999999"}], "all"),
        "too_many": client.quotes(wanted[:1] * 51, "ltp"),
    }


def history(client: NeoAPI) -> dict[str, Any]:
    today = datetime.now(IST).date()
    days = (today - timedelta(days=2)).isoformat(), today.isoformat()
    long_ago = (today - timedelta(days=60)).isoformat()
    return {
        "today": today.isoformat(),
        "minutes": client.historical_data(f"nse_cm|{SBIN}", "5min", *days),
        "days": client.historical_data("nse_cm|Nifty 50", "D", *days),
        "weeks": client.historical_data(f"nse_cm|{SBIN}", "W", long_ago, days[1]),
        "too_long": client.historical_data(f"nse_cm|{SBIN}", "1min", long_ago, days[1]),
        "bad_interval": client.historical_data(f"nse_cm|{SBIN}", "7min", *days),
    }


class Trader:
    """Orders in one share through the client."""

    def __init__(self, client: NeoAPI) -> None:
        self.client = client

    def ltp(self) -> float:
        return float(
            self.client.quotes([{"exchange_segment": "nse_cm", "instrument_token": SBIN}], "ltp")[0]["ltp"]
        )

    def away(self, share: float) -> str:
        return f"{round(self.ltp() * share * 20) / 20:.2f}"

    def place(
        self, kind: str, side: str = "B", quantity: str = "1", price: str = "0", **more: str
    ) -> dict[str, Any]:
        return self.client.place_order(
            exchange_segment="nse_cm",
            product="MIS",
            price=price,
            order_type=kind,
            quantity=quantity,
            validity="DAY",
            trading_symbol="SBIN-EQ",
            transaction_type=side,
            **more,
        )

    def row(self, order_id: str) -> dict[str, Any]:
        found = self.client.order_report(order_id=order_id)
        return dict(found["data"][0]) if found.get("data") else {}

    def until(self, order_id: str, *statuses: str) -> dict[str, Any]:
        return wait_for(lambda: (row := self.row(order_id)) and row["ordSt"] in statuses and row) or self.row(
            order_id
        )


def empty_books(client: NeoAPI) -> dict[str, Any]:
    return {
        "orders": client.order_report(),
        "trades": client.trade_report(),
        "positions": client.positions(),
    }


def orders(trader: Trader) -> dict[str, Any]:
    client = trader.client
    price, lower = trader.away(0.985), trader.away(0.98)
    placed = trader.place("L", quantity="2", price=price, tag="judge 1")
    order_id = placed["nOrdNo"]
    opened = trader.until(order_id, "open")
    change = {"order_id": order_id, "price": lower, "order_type": "L", "quantity": "3", "validity": "DAY"}
    modified = client.modify_order(**change)
    changed = wait_for(lambda: (row := trader.row(order_id)) and row["prc"] == lower and row)
    cancelled = client.cancel_order(order_id=order_id)
    gone = trader.until(order_id, "cancelled")
    stop = trader.place("SL", price=trader.away(1.015), trigger_price=trader.away(1.01))
    return {
        "price": price,
        "lower": lower,
        "placed": placed,
        "opened": opened,
        "modified": modified,
        "changed": changed,
        "cancelled": cancelled,
        "gone": gone,
        "cancelled_again": client.cancel_order(order_id=order_id),
        "history": client.order_history(order_id=order_id),
        "book": client.order_report(),
        "stop": trader.until(stop["nOrdNo"], "trigger pending"),
        "stop_market": trader.place("SL-M", trigger_price=trader.away(1.01)),
        "unknown_symbol": client.place_order(
            exchange_segment="nse_cm", product="MIS", price="1", order_type="L", quantity="1", validity="DAY",
            trading_symbol="NOSUCH-EQ", transaction_type="B",
        ),
    }  # fmt: skip


def money(trader: Trader) -> dict[str, Any]:
    client = trader.client
    ltp = trader.ltp()
    bought = trader.place("MKT", quantity="5")
    filled = trader.until(bought["nOrdNo"], "complete", "rejected")
    positions = client.positions()
    position = next(p for p in positions["data"] if p["trdSym"] == "SBIN-EQ")
    return {
        "ltp": ltp,
        "filled": filled,
        "trades": client.trade_report(),
        "positions": positions,
        "sdk_view": compute_position_metrics(position, None, float(position["ltp"])),
        "modify_filled": client.modify_order(
            order_id=bought["nOrdNo"], price="1", order_type="L", quantity="1", validity="DAY"
        ),
        "limits": client.limits(),
        "holdings": client.holdings(),
        "margin": client.margin_required(
            exchange_segment="nse_cm", price="900", order_type="L", product="CNC", quantity="10",
            instrument_token=SBIN, transaction_type="B",
        ),
    }  # fmt: skip


async def market_feed(client: NeoAPI) -> dict[str, Any]:
    """Two shares, an index, an option's depth and the market status, until each has moved."""
    option = next(
        r for r in client.search_scrip("nse_fo", "nifty", option_type="CE") if r["pSymbolName"] == "NIFTY"
    )
    seen: dict[str, list[dict[str, Any]]] = defaultdict(list)
    shares = [WsToken("nse_cm", SBIN), WsToken("nse_cm", INFY)]
    async with client.create_websocket() as feed:
        await feed.subscribe_scrips(shares)
        await feed.subscribe_index([WsToken("nse_cm", "Nifty 50")])
        await feed.subscribe_depth([WsToken("nse_cm", SBIN), WsToken("nse_fo", str(option["pSymbol"]))])
        await feed.subscribe_scrips_lite([WsToken("nse_cm", INFY)])
        await feed.subscribe_exchange()
        deadline = time.monotonic() + PATIENCE_S
        async for message in feed:
            body = message.model_dump()
            where = f"{body['exchange_segment']}|{body.get('name') or body.get('instrument_token', '')}"
            seen[f"{body['type']} {body.get('level', '')} {where}"].append(body)
            prices = [
                [row["last_traded_price"] for row in rows]
                for key, rows in seen.items()
                if key.startswith(("scrip 4", "index"))
            ]
            moved = [p for p in prices if len(p) >= 4 and len(set(p)) > 1]
            if len(moved) == 3 or time.monotonic() > deadline:
                break
        await feed.unsubscribe_scrips(shares)
        dividers = feed.dividers
    return {
        "option": str(option["pSymbol"]),
        "option_symbol": option["pTrdSymbol"],
        "dividers": dividers,
        "first": {key: rows[0] for key, rows in seen.items()},
        "counts": {key: len(rows) for key, rows in seen.items()},
        "prices": {key: [r.get("last_traded_price") for r in rows] for key, rows in seen.items()},
    }


async def order_feed(trader: Trader) -> dict[str, Any]:
    """The frames of one market order, as the client's models give them back."""
    frames: list[Any] = []
    async with trader.client.create_order_feed() as feed:
        raw: list[str] = []
        feed.on_raw = raw.append
        deadline = time.monotonic() + PATIENCE_S
        order_id = ""
        while time.monotonic() < deadline:
            if raw and not order_id:  # the acknowledgement came
                order_id = (await asyncio.to_thread(trader.place, "MKT"))["nOrdNo"]
            try:
                message = await asyncio.wait_for(anext(feed), 1.0)
            except TimeoutError:
                continue
            frames.append(message.model_dump(by_alias=True))
            if order_id and frames[-1]["type"] == "position":
                break
    mine = [f["data"] for f in frames if f["type"] == "order" and f["data"]["nOrdNo"] == order_id]
    known = sorted({f["data"]["nOrdNo"] for f in frames if f["type"] == "order"} - {order_id})
    positions = [f["data"] for f in frames if f["type"] == "position"]
    return {"ack": json.loads(raw[0]), "mine": mine, "known": known, "positions": positions}


def main() -> None:
    port, ucc, mobile, mpin, totp, access_token = sys.argv[1:]
    redirect(int(port))
    client = NeoAPI(consumer_key=access_token, environment="prod", http2=False)
    trader = Trader(client)
    found: dict[str, Any] = {"login": log_in(client, ucc, mobile, mpin, totp)}
    found["empty"] = empty_books(client)
    found["instruments"] = instruments(client)
    found["quotes"] = quotes(client)
    found["history"] = history(client)
    found["orders"] = orders(trader)
    time.sleep(1.0)  # ten orders a second
    found["money"] = money(trader)
    found["feed"] = asyncio.run(market_feed(client))
    found["order_feed"] = asyncio.run(order_feed(trader))
    print("RESULT " + json.dumps(found, default=str))


if __name__ == "__main__":
    main()
