"""Prices and order events over one WebSocket, without the SDK."""

import json
import os

from websockets.sync.client import connect

with connect(os.environ.get("ALGO_WS", "ws://127.0.0.1:8766")) as socket:

    def ask(message):
        socket.send(json.dumps(message))

    ask({"action": "authenticate", "api_key": os.environ["ALGO_KEY"]})
    ask({"action": "subscribe", "mode": 2, "symbols": [{"exchange": "NSE", "symbol": "SBIN"}]})
    ask({"action": "subscribe", "channel": "orders"})

    ticks = 0
    while ticks < 5:
        message = json.loads(socket.recv(timeout=30))
        if message["type"] == "market_data":
            data = message["data"]
            print(message["symbol"], data["ltp"], "volume", data["volume"], "number", data["seq"])
            ticks += 1
        else:
            print(message["type"], message.get("status", ""))
