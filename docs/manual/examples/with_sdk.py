"""Buy one share a little below the market, look at the order, cancel it, then watch five prices."""

import os
import threading

from openalgo import api

client = api(
    api_key=os.environ["ALGO_KEY"],  # algo key create dhan --quiet
    host=os.environ.get("ALGO_WEB", "http://127.0.0.1:5001"),  # kotak: 5000
    ws_url=os.environ.get("ALGO_WS", "ws://127.0.0.1:8766"),  # kotak: 8765
)
ltp = client.quotes(symbol="SBIN", exchange="NSE")["data"]["ltp"]
below = round(round(ltp * 0.99 / 0.05) * 0.05, 2)  # a price is a multiple of the tick

placed = client.placeorder(
    strategy="first",
    symbol="SBIN",
    exchange="NSE",
    action="BUY",
    product="MIS",
    price_type="LIMIT",
    quantity=1,
    price=below,
)
if placed["status"] != "success":
    raise SystemExit(f"{placed.get('code')}: {placed['message']}")
number = placed["orderid"]
state = client.orderstatus(order_id=number, strategy="first")["data"]["order_status"]
print("order", number, "is", state)
print(client.cancelorder(order_id=number, strategy="first"))

heard, enough = [], threading.Event()


def on_price(message):
    heard.append(message)
    print(message["symbol"], message["data"]["ltp"])
    if len(heard) >= 5:
        enough.set()


client.connect()
client.subscribe_ltp([{"exchange": "NSE", "symbol": "SBIN"}], on_data_received=on_price)
enough.wait(30)
client.disconnect()
