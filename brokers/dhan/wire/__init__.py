"""Dhan's codecs: bytes and texts on one side, values on the other. No socket, clock, file or logger here.

``market`` is the live feed (little-endian, stateless), ``depth`` the 20- and 200-level books, ``orders`` the
text feed of orders.
"""

from brokers.dhan.wire import depth, market, orders

__all__ = ["depth", "market", "orders"]
