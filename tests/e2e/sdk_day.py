"""A strategy's day through the unmodified ``openalgo`` SDK. Run inside the SDK's own environment:

    sdk_day.py HOST KEY WS_PORT

Prints one JSON object with what it saw.
"""

import json
import sys
import time
from datetime import datetime, timedelta, timezone

from openalgo import api

IST = timezone(timedelta(hours=5, minutes=30))
SYMBOLS = [
    "RELIANCE",
    "SBIN",
    "TCS",
    "INFY",
    "HDFCBANK",
    "ICICIBANK",
    "ITC",
    "LT",
    "AXISBANK",
    "KOTAKBANK",
    "BHARTIARTL",
    "HINDUNILVR",
    "MARUTI",
    "SUNPHARMA",
    "TITAN",
    "WIPRO",
    "NTPC",
    "ONGC",
    "TATASTEEL",
    "POWERGRID",
]
SBIN = {"strategy": "e2e", "symbol": "SBIN", "exchange": "NSE", "action": "BUY", "product": "MIS"}
RELIANCE = {**SBIN, "symbol": "RELIANCE"}


def wait(read, good, seconds=15):
    end = time.monotonic() + seconds
    while True:
        value = read()
        if good(value) or time.monotonic() > end:
            return value
        time.sleep(0.2)


def trade(client, seen):
    quote = client.quotes(symbol="SBIN", exchange="NSE")
    seen["quote"] = quote
    low = round(round(quote["data"]["ltp"] * 0.97 / 0.05) * 0.05, 2)
    placed = client.placeorder(**SBIN, price_type="LIMIT", quantity=5, price=low)
    seen["placed"] = placed
    assert "orderid" in placed, placed
    order = placed["orderid"]

    def status():
        return client.orderstatus(order_id=order, strategy="e2e")

    seen["open"] = wait(status, lambda s: s.get("data", {}).get("order_status") == "open")
    seen["in_book"] = [o for o in client.orderbook()["data"]["orders"] if o["orderid"] == order]
    seen["modified"] = client.modifyorder(
        **SBIN, order_id=order, price_type="LIMIT", quantity=7, price=round(low - 1, 2)
    )
    seen["after_modify"] = wait(status, lambda s: int(s.get("data", {}).get("quantity", 0)) == 7)
    seen["cancelled"] = client.cancelorder(order_id=order, strategy="e2e")
    seen["after_cancel"] = wait(status, lambda s: s.get("data", {}).get("order_status") == "cancelled")
    market = client.placeorder(**RELIANCE, price_type="MARKET", quantity=2)
    seen["market"] = market
    assert "orderid" in market, market
    seen["filled"] = wait(
        lambda: client.orderstatus(order_id=market["orderid"], strategy="e2e"),
        lambda s: s.get("data", {}).get("order_status") == "complete",
    )


def read(client, seen):
    for name in ("orderbook", "tradebook", "positionbook", "holdings", "funds"):
        seen[name] = getattr(client, name)()
    seen["openposition"] = client.openposition(
        strategy="e2e", symbol="RELIANCE", exchange="NSE", product="MIS"
    )
    seen["multiquotes"] = client.multiquotes(symbols=[{"symbol": s, "exchange": "NSE"} for s in SYMBOLS[:5]])
    seen["depth"] = client.depth(symbol="SBIN", exchange="NSE")
    seen["symbol"] = client.symbol(symbol="SBIN", exchange="NSE")
    seen["search"] = client.search(query="NIFTY", exchange="NFO")
    seen["expiry"] = client.expiry(symbol="NIFTY", exchange="NFO", instrumenttype="options")
    seen["intervals"] = client.intervals()
    today = datetime.now(IST).date()
    first, last = str(today - timedelta(days=30)), str(today)
    frame = client.history(symbol="SBIN", exchange="NSE", interval="1m", start_date=first, end_date=last)
    seen["history"] = {
        "type": type(frame).__name__,
        "rows": len(frame),
        "columns": sorted(getattr(frame, "columns", [])),
        "zone": str(getattr(frame.index, "tz", None)) if hasattr(frame, "index") else str(frame)[:300],
        "days": len(set(frame.index.date)) if hasattr(frame, "index") else 0,
    }
    frame = client.instruments(exchange="NSE")
    seen["instruments"] = {"type": type(frame).__name__, "rows": len(frame)}


def stream(client, seen):
    wanted = [{"exchange": "NSE", "symbol": s} for s in SYMBOLS]
    calls = {"ltp": 0, "quote": 0, "depth": 0}

    def count(kind):
        def callback(data):
            calls[kind] += 1

        return callback

    seen["connected"] = client.connect()
    client.subscribe_ltp(wanted, on_data_received=count("ltp"))
    client.subscribe_quote(wanted, on_data_received=count("quote"))
    client.subscribe_depth(wanted, on_data_received=count("depth"))

    def full():
        return (
            len(client.get_ltp()["ltp"].get("NSE", {})),
            len(client.get_quotes()["quote"].get("NSE", {})),
            len(client.get_depth()["depth"].get("NSE", {})),
        )

    seen["streamed"] = wait(full, lambda n: min(n) == len(SYMBOLS), 30)
    seen["calls"] = calls
    seen["one_quote"] = client.get_quotes()["quote"]["NSE"].get("SBIN")
    seen["one_depth"] = client.get_depth()["depth"]["NSE"].get("SBIN")
    client.unsubscribe_ltp(wanted[:1])
    client.disconnect()


def main():
    host, key, ws_port = sys.argv[1:4]
    client = api(api_key=key, host=host, ws_port=int(ws_port), timeout=30.0)
    seen = {}
    trade(client, seen)
    read(client, seen)
    stream(client, seen)
    print("RESULT " + json.dumps(seen, default=str))


main()
