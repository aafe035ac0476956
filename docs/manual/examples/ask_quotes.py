"""The newest quote whenever it is wanted: from the stream while it is fresh, else from REST."""

import os
import time

from gateway.client import Client

stream = os.environ.get("ALGO_ZMQ", "tcp://127.0.0.1:5556")
rest = os.environ.get("ALGO_WEB", "http://127.0.0.1:5001")
with Client(stream, rest=rest, api_key=os.environ["ALGO_KEY"]) as dhan:
    dhan.subscribe("NSE:SBIN", "NSE_INDEX:NIFTY")
    for _ in range(3):
        quote = dhan.quote("NSE:SBIN")
        print(quote.ltp, quote.bid, quote.ask, quote.source, quote.last_update)
        time.sleep(0.5)
