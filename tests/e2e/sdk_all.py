"""Every public method of the unmodified ``openalgo`` SDK, once. Run inside the SDK's own environment:

    sdk_all.py HOST KEY WS_PORT WEBHOOK_ID

``WEBHOOK_ID`` is a strategy in BOTH mode that knows ``NSE:TCS``. Prints one JSON object: the methods the SDK
has, and what each one answered.
"""

import inspect
import json
import sys
import time

import openalgo

STOCK = {"symbol": "SBIN", "exchange": "NSE"}
ORDER = {**STOCK, "strategy": "all", "action": "BUY", "product": "MIS"}
HEARD = []


def public(kind):
    return sorted(n for n, _ in inspect.getmembers(kind, inspect.isfunction) if not n.startswith("_"))


def until(read, good, seconds=15):
    end = time.monotonic() + seconds
    while True:
        value = read()
        if good(value) or time.monotonic() > end:
            return value
        time.sleep(0.1)


class Seen(dict):
    """What each method answered; calling it makes the call."""

    def __init__(self, client):
        self.client = client

    def __call__(self, method, *given, **named):
        answer = getattr(self.client, method)(*given, **named)
        if hasattr(answer, "columns"):
            self[method] = {"rows": len(answer), "columns": sorted(answer.columns)}
        else:
            self[method] = answer
        return answer

    def settled(self, order_id, status):
        """The order's status once it is that one, else the last seen."""

        def read():
            return self("orderstatus", order_id=order_id, strategy="all")

        return until(read, lambda answer: answer.get("data", {}).get("order_status") == status)


def data(call):
    call("quotes", **STOCK)
    call("multiquotes", symbols=[STOCK, {"symbol": "TCS", "exchange": "NSE"}])
    call("depth", **STOCK)
    call("symbol", **STOCK)
    call("search", query="NIFTY", exchange="NFO")
    call("intervals")
    call("interval")
    today = time.strftime("%Y-%m-%d")
    yesterday = time.strftime("%Y-%m-%d", time.localtime(time.time() - 3 * 86_400))
    call("history", **STOCK, interval="15m", start_date=yesterday, end_date=today)
    call("instruments", exchange="NSE")
    call("holidays", year=2026)
    call("timings", date="2026-11-20")


def orders(call):
    price = round(call["quotes"]["data"]["ltp"] * 0.97, 1)
    placed = call("placeorder", **ORDER, price_type="LIMIT", quantity=5, price=price)
    order_id = placed.get("orderid")
    call.settled(order_id, "open")
    call("modifyorder", **ORDER, order_id=order_id, price_type="LIMIT", quantity=6, price=round(price - 1, 1))
    call("cancelorder", order_id=order_id, strategy="all")
    call.settled(order_id, "cancelled")
    call("placesmartorder", **ORDER, price_type="MARKET", quantity=1, position_size=3)
    item = {**STOCK, "action": "BUY", "quantity": 1, "pricetype": "MARKET", "product": "MIS"}
    call("basketorder", strategy="all", orders=[item, {**item, "symbol": "RELIANCE"}])
    call("splitorder", **{**ORDER, "symbol": "INFY"}, quantity=5, splitsize=2, price_type="MARKET")
    legs = [{**item, "product": "MIS", "quantity": "1"}]
    call("margin", positions=legs)


def options(call):
    expiry = call("expiry", symbol="NIFTY", exchange="NFO", instrumenttype="options")["data"][-1]
    about = {"underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": expiry.replace("-", "")}
    found = call("optionsymbol", **about, offset="OTM1", option_type="CE")
    call("optionchain", **about, strike_count=3)
    call("optiongreeks", symbol=found["symbol"], exchange="NFO")
    call("syntheticfuture", **about)
    lot = found["lotsize"]
    order = {"strategy": "all", "offset": "ATM", "option_type": "CE", "action": "BUY"}
    call("optionsorder", **about, **order, quantity=lot, product="NRML")
    leg = {"option_type": "CE", "quantity": lot, "product": "NRML"}
    legs = [{**leg, "offset": "ATM", "action": "SELL"}, {**leg, "offset": "OTM2", "action": "BUY"}]
    call("optionsmultiorder", **about, strategy="all", legs=legs)


def books(call):
    def traded():
        return call("openposition", strategy="all", **STOCK, product="MIS")

    until(traded, lambda answer: answer.get("quantity", 0) != 0)
    for name in ("orderbook", "tradebook", "positionbook", "holdings", "funds"):
        call(name)


def webhook(call, host, webhook_id):
    """The SDK's other class; its order stands in the book under the strategy's name."""
    strategy = openalgo.Strategy(host_url=host, webhook_id=webhook_id)
    call["Strategy.strategyorder"] = strategy.strategyorder("TCS", "buy", 2)

    def ours():
        rows = call("orderbook")["data"]["orders"]
        return [row for row in rows if row["strategy"] == "by webhook"]

    call["webhook_orders"] = until(ours, bool)


def leave(call):
    """After the books, for these empty them. Analyze mode is left as it was found."""
    price = round(call["quotes"]["data"]["ltp"] * 0.97, 1)
    resting = call.client.placeorder(**ORDER, price_type="LIMIT", quantity=5, price=price)
    call.settled(resting.get("orderid"), "open")
    call("cancelallorder", strategy="all")
    call("closeposition", strategy="all")
    call("analyzerstatus")
    call["analyzertoggle on"] = call.client.analyzertoggle(mode=True)
    call["analyzerstatus on"] = call.client.analyzerstatus()
    call("analyzertoggle", mode=False)
    call("telegram", username="owner", message="hello")


def feed(call):
    wanted = [STOCK]
    call("connect")
    for kind in ("ltp", "quote", "depth"):
        call(f"subscribe_{kind}", wanted, on_data_received=HEARD.append)
    for name, top in (("get_ltp", "ltp"), ("get_quotes", "quote"), ("get_depth", "depth")):
        until(lambda: call(name), lambda got: "SBIN" in got[top].get("NSE", {}))  # noqa: B023
    for kind in ("ltp", "quote", "depth"):
        call(f"unsubscribe_{kind}", wanted)
    call("disconnect")


def main():
    host, key, ws_port, webhook_id = sys.argv[1:5]
    client = openalgo.api(api_key=key, host=host, ws_port=int(ws_port), timeout=30.0)
    call = Seen(client)
    methods = public(openalgo.api) + [f"Strategy.{name}" for name in public(openalgo.Strategy)]
    trouble = []
    for step in (data, orders, options, books, lambda c: webhook(c, host, webhook_id), leave, feed):
        try:
            step(call)
        except Exception as exc:  # noqa: BLE001 (told, and judged by the test)
            trouble.append(f"{type(exc).__name__}: {exc}")
    found = {"methods": methods, "answers": call, "trouble": trouble, "ticks": len(HEARD)}
    print("RESULT " + json.dumps(found, default=str))


main()
