"""Live quotes for programs on the same machine, over an instance's ZeroMQ stream.

    from gateway.client import Client

    with Client("tcp://127.0.0.1:5556", rest="http://127.0.0.1:5001", api_key=KEY) as dhan:
        dhan.subscribe("NSE:SBIN", "NSE_INDEX:NIFTY")
        dhan.ltp("NSE:SBIN")                  # 812.35
        quote = dhan.quote("NSE:SBIN")        # bid, ask, quantities, volume, OI, last update
        quote.source                          # "stream", or "rest" when the stream had nothing fresh

``AsyncClient`` is the same with ``async with`` and ``await``.
"""

from gateway.client.aio import AsyncClient
from gateway.client.book import LiveQuote, NoQuote
from gateway.client.sync import Client

__all__ = ["AsyncClient", "Client", "LiveQuote", "NoQuote"]
