"""The official client against a server that claims to be Dhan; runs inside ``.venv-dhanhq``.

Nothing of this repository is imported, and of the client only the hosts are changed. Usage::

    dhanhq_client.py PORT CLIENT_ID PIN TOTP

Prints one JSON object: what each call of the client returned. The test beside it judges.
"""

from __future__ import annotations

import csv
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from dhanhq import DhanContext, DhanHTTP, DhanLogin, FullDepth, MarketFeed, OrderUpdate, Security, dhanhq

SBIN, TCS, NIFTY = "3045", "11536", "13"
QUOTE_GAP_S = 1.1
PATIENCE_S = 20.0


def redirect(port: int) -> None:
    """Point the client's hosts here; the paths stay, except where one port has to serve two hosts."""
    rest, sockets = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
    DhanHTTP.API_BASE_URL = f"{rest}/v2"
    DhanLogin.API_BASE_URL = f"{rest}/v2"
    DhanLogin.AUTH_BASE_URL = rest
    MarketFeed.market_feed_wss = sockets
    FullDepth.depth_20_feed_wss = f"{sockets}/twentydepth"
    Security.COMPACT_CSV_URL = f"{rest}/api-data/api-scrip-master.csv"
    Security.DETAILED_CSV_URL = f"{rest}/api-data/api-scrip-master-detailed.csv"


def wait_for(true: Callable[[], Any]) -> Any:
    """Poll until something is true or patience ends; what it was at the end."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := true()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


class Updates:
    """The client's order-update socket in a thread."""

    def __init__(self, context: DhanContext, port: int) -> None:
        self.seen: list[dict[str, Any]] = []
        client = OrderUpdate(context)
        client.order_feed_wss = f"ws://127.0.0.1:{port}/order-update"
        client.on_update = self.seen.append
        threading.Thread(target=client.connect_to_dhan_websocket_sync, daemon=True).start()

    def statuses(self, order_id: str) -> list[str]:
        return [u["Data"]["status"] for u in self.seen if u["Data"].get("orderNo") == order_id]


def orders(client: dhanhq, updates: Updates) -> dict[str, Any]:
    """A limit order's life, then a market order's traces."""
    found: dict[str, Any] = {}
    time.sleep(QUOTE_GAP_S)
    quote = client.ticker_data({"NSE_EQ": [int(SBIN)]})
    ltp = quote["data"]["data"]["NSE_EQ"][SBIN]["last_price"]
    low = round(round(ltp * 0.95 / 0.05) * 0.05, 2)
    same = (SBIN, client.NSE, client.BUY)
    found["placed"] = client.place_order(*same, 2, client.LIMIT, client.CNC, low, tag="judge-1")
    limit_id = found["placed"]["data"]["orderId"]

    def status(order_id: str) -> str:
        return str(client.get_order_by_id(order_id)["data"][0]["orderStatus"])

    found["pending"] = wait_for(lambda: status(limit_id) == "PENDING")
    found["list"] = client.get_order_list()
    found["by_id"] = client.get_order_by_id(limit_id)
    found["by_correlation"] = client.get_order_by_correlationID("judge-1")
    higher = round(low + 0.5, 2)
    found["higher"] = higher
    found["modified"] = client.modify_order(limit_id, client.LIMIT, "ENTRY_LEG", 3, higher, 0, 0, client.DAY)
    wait_for(lambda: client.get_order_by_id(limit_id)["data"][0]["price"] == higher)
    found["after_modify"] = client.get_order_by_id(limit_id)
    found["cancelled"] = client.cancel_order(limit_id)
    found["is_cancelled"] = wait_for(lambda: status(limit_id) == "CANCELLED")
    found["cancelled_again"] = client.cancel_order(limit_id)

    found["market"] = client.place_order(*same, 5, client.MARKET, client.INTRA, 0)
    market_id = found["market"]["data"]["orderId"]
    found["filled"] = wait_for(lambda: status(market_id) == "TRADED")
    found["trades"] = client.get_trade_book()
    found["trades_of_order"] = client.get_trade_book(market_id)
    found["positions"] = client.get_positions()
    wait_for(lambda: "Traded" in updates.statuses(market_id))
    found["updates"] = {"limit": updates.statuses(limit_id), "market": updates.statuses(market_id)}
    found["update_keys"] = sorted(updates.seen[0]["Data"]) if updates.seen else []
    return found


def forever(client: dhanhq) -> dict[str, Any]:
    """A single and an OCO: placed, listed, changed, cancelled; then one that the next ticks fire."""
    time.sleep(QUOTE_GAP_S)
    quote = client.ticker_data({"NSE_EQ": [int(SBIN)]})
    ltp = quote["data"]["data"]["NSE_EQ"][SBIN]["last_price"]

    def near(percent: float) -> float:
        return round(round(ltp * (100 + percent) / 100 / 0.05) * 0.05, 2)

    low, high, tick = near(-8), near(8), 0.05
    same = (SBIN, client.NSE, client.BUY, client.CNC, client.LIMIT)
    found: dict[str, Any] = {"empty": client.get_forever(), "low": low, "high": high}
    found["single"] = client.place_forever(*same, 1, low, low, tag="forever-1")
    found["oco"] = client.place_forever(
        *same, 2, low, low, order_flag="OCO", price1=high, trigger_Price1=high, quantity1=2, tag="forever-2"
    )
    found["list"] = client.get_forever()
    single, oco = (found[name]["data"]["orderId"] for name in ("single", "oco"))
    lower = round(low - 1, 2)
    leg = (client.LIMIT, "STOP_LOSS_LEG", 3, lower, lower, 0, client.DAY)
    found["lower"] = lower
    found["modified"] = client.modify_forever(oco, "OCO", *leg)
    found["after"] = client.get_forever()
    found["cancelled"] = client.cancel_forever(oco)
    found["again"] = client.cancel_forever(oco)
    # one tick above and below the price: whichever way it goes, one of them fires
    time.sleep(QUOTE_GAP_S)
    quote = client.ticker_data({"NSE_EQ": [int(SBIN)]})
    ltp = quote["data"]["data"]["NSE_EQ"][SBIN]["last_price"]
    above, below = round(ltp + tick, 2), round(ltp - tick, 2)
    pair = {"order_flag": "OCO", "price1": near(2), "trigger_Price1": above, "quantity1": 1}
    found["near"] = client.place_forever(*same, 1, near(2), below, **pair, tag="forever-3")

    def fired() -> list[str]:
        rows = client.get_forever()["data"]
        near_id = found["near"]["data"]["orderId"]
        return [row["orderStatus"] for row in rows if row["orderId"] == near_id]

    wait_for(lambda: "TRADED" in fired())
    found["fired"] = fired()
    found["child"] = wait_for(
        lambda: [o for o in client.get_order_list()["data"] if o["correlationId"] == "forever-3"]
    )
    client.cancel_forever(single)
    return found


def money(client: dhanhq) -> dict[str, Any]:
    found = {
        "funds": client.get_fund_limits(),
        "holdings": client.get_holdings(),
        "margin": client.margin_calculator(SBIN, client.NSE, client.BUY, 10, client.CNC, 900),
        "kill_status": client.status_kill_switch(),
        "exit_all": client.exit_all_positions(),
    }
    found["flat"] = wait_for(lambda: not any(p["netQty"] for p in client.get_positions()["data"]))
    return found


def data(client: dhanhq) -> dict[str, Any]:
    """Quotes, candles and the option chain."""
    found: dict[str, Any] = {}
    wanted = {"NSE_EQ": [int(SBIN), int(TCS)], "IDX_I": [int(NIFTY)]}
    for name in ("ticker_data", "ohlc_data", "quote_data"):
        time.sleep(QUOTE_GAP_S)
        found[name] = getattr(client, name)(wanted)
    found["too_fast"] = client.quote_data(wanted)
    today = datetime.now(timezone(timedelta(hours=5, minutes=30))).date()
    span = (str(today - timedelta(days=8)), str(today - timedelta(days=1)))
    found["daily"] = client.historical_daily_data(SBIN, client.NSE, "EQUITY", *span)
    found["intraday"] = client.intraday_minute_data(SBIN, client.NSE, "EQUITY", *span, interval=5)
    found["expiries"] = client.expiry_list(int(NIFTY), "IDX_I")
    first = found["expiries"]["data"]["data"][0]
    found["chain"] = client.option_chain(int(NIFTY), "IDX_I", first)
    found["instrument_rows"] = 0
    client.fetch_security_list("compact", filename="list.csv")
    with open("list.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    found["instrument_rows"] = len(rows)
    found["nifty_id"] = next(
        row["SEM_SMST_SECURITY_ID"]
        for row in rows
        if row["SEM_TRADING_SYMBOL"] == "NIFTY" and row["SEM_SEGMENT"] == "I"
    )
    return found


def feeds(context: DhanContext) -> dict[str, Any]:
    """Ticks of three modes and several instruments, then 20 levels of depth."""
    ticks: list[dict[str, Any]] = []
    wanted = [
        (MarketFeed.NSE, SBIN, MarketFeed.Ticker),
        (MarketFeed.NSE, TCS, MarketFeed.Quote),
        (MarketFeed.NSE, SBIN, MarketFeed.Full),
        (MarketFeed.IDX, NIFTY, MarketFeed.Ticker),
    ]
    feed = MarketFeed(context, wanted, on_message=lambda _, tick: ticks.append(tick))
    thread = feed.start()

    def counts() -> Counter[tuple[str, int]]:
        return Counter((t["type"], t["security_id"]) for t in list(ticks) if isinstance(t, dict))

    kinds = [("Ticker Data", SBIN), ("Quote Data", TCS), ("Full Data", SBIN), ("Ticker Data", NIFTY)]
    wait_for(lambda: all(counts()[kind, int(number)] >= 3 for kind, number in kinds))
    found: dict[str, Any] = {
        "counts": {f"{kind} {number}": n for (kind, number), n in counts().items()},
        "full": next((t for t in ticks if isinstance(t, dict) and t["type"] == "Full Data"), None),
        "index": next((t for t in ticks if isinstance(t, dict) and t["security_id"] == int(NIFTY)), None),
    }
    feed.close_connection()
    thread.join(5)

    books: list[dict[str, Any]] = []
    depth = FullDepth(context, [(1, SBIN)])
    depth.on_ticks = books.append
    depth.run_forever()
    depth.get_data()
    found["depth"] = books[0] if books else None
    depth.close_connection()
    return found


def main() -> None:
    port, client_id, pin, totp = int(sys.argv[1]), *sys.argv[2:5]
    redirect(port)
    login = DhanLogin(client_id)
    session = login.generate_token(pin, totp)
    token = session["accessToken"]
    found: dict[str, Any] = {"session": session, "profile": login.user_profile(token)}
    context = DhanContext(client_id, token)
    client = dhanhq(context)
    updates = Updates(context, port)
    for name, part in (
        ("data", lambda: data(client)),
        ("orders", lambda: orders(client, updates)),
        ("forever", lambda: forever(client)),
        ("money", lambda: money(client)),
        ("feeds", lambda: feeds(context)),
    ):
        found[name] = part()
    print("RESULT " + json.dumps(found))


if __name__ == "__main__":
    main()
