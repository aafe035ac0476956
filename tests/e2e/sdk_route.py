"""A strategy's orders over the route through the unmodified ``openalgo`` SDK, ticks by the same key.

They come from the instance whose data the route uses. Run inside the SDK's own environment:

    sdk_route.py HOST KEY WS_PORT

Prints one JSON object with what it saw.
"""

import json
import sys
import time

from openalgo import api

ITC = {"strategy": "e2e", "symbol": "ITC", "exchange": "NSE", "action": "BUY", "product": "MIS"}
LT = {**ITC, "symbol": "LT"}


def wait(read, good, seconds=15):
    end = time.monotonic() + seconds
    while True:
        value = read()
        if good(value) or time.monotonic() > end:
            return value
        time.sleep(0.1)


def main():
    host, key, ws_port = sys.argv[1:4]
    client = api(api_key=key, host=host, ws_port=int(ws_port), timeout=30.0)
    seen = {}
    seen["quote"] = quote = client.quotes(symbol="ITC", exchange="NSE")
    low = float(round(quote["data"]["ltp"] * 0.97))
    seen["placed"] = placed = client.placeorder(**ITC, price_type="LIMIT", quantity=5, price=low)
    order = placed.get("orderid", "")

    def status():
        return client.orderstatus(order_id=order, strategy="e2e")

    seen["open"] = wait(status, lambda s: s.get("data", {}).get("order_status") == "open")
    seen["modified"] = client.modifyorder(
        **ITC, order_id=order, price_type="LIMIT", quantity=7, price=low - 1
    )
    seen["after_modify"] = wait(status, lambda s: int(s.get("data", {}).get("quantity", 0)) == 7)
    seen["in_book"] = [o for o in client.orderbook()["data"]["orders"] if o["orderid"] == order]
    seen["cancelled"] = client.cancelorder(order_id=order, strategy="e2e")
    seen["after_cancel"] = wait(status, lambda s: s.get("data", {}).get("order_status") == "cancelled")
    smart = {**LT, "price_type": "MARKET", "quantity": 2}
    seen["smart"] = client.placesmartorder(**smart, position_size=2)
    held = {"strategy": "e2e", "symbol": "LT", "exchange": "NSE", "product": "MIS"}
    seen["held"] = wait(lambda: client.openposition(**held), lambda s: int(s.get("quantity") or 0) == 2)
    seen["matched"] = client.placesmartorder(**smart, position_size=2)
    seen["positions"] = [p for p in client.positionbook()["data"] if p["symbol"] == "LT"]
    seen["tradebook"] = [t for t in client.tradebook()["data"] if t["symbol"] == "LT"]
    seen["out"] = client.placeorder(**{**LT, "action": "SELL"}, price_type="MARKET", quantity=2)
    seen["flat"] = wait(lambda: client.openposition(**held), lambda s: int(s.get("quantity") or 0) == 0)
    seen["cancel_all"] = client.cancelallorder(strategy="e2e")
    seen["basket"] = client.basketorder(orders=[{**ITC, "pricetype": "MARKET", "quantity": 1}])
    seen["funds"] = client.funds()
    wanted = [{"exchange": "NSE", "symbol": "ITC"}]
    seen["connected"] = client.connect()
    client.subscribe_ltp(wanted, on_data_received=lambda data: None)
    seen["ticks"] = wait(lambda: len(client.get_ltp()["ltp"].get("NSE", {})), lambda n: n == 1)
    client.disconnect()
    print("RESULT " + json.dumps(seen, default=str))


main()
