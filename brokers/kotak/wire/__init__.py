"""Kotak's codecs: bytes and texts on one side, values on the other. No socket, clock, file or logger here.

``hsm`` is the older binary market feed (big-endian, stateful), ``sfeed`` its successor (little-endian, whole
pictures), ``orders`` the text feed of orders and positions.
"""

from brokers.kotak.wire import hsm, orders, sfeed

__all__ = ["hsm", "orders", "sfeed"]
