"""Zenith's words <-> ours. Pure: no socket, clock, file or logger.

``words`` tables and number forms, ``orders`` what is sent and what order rows say, ``books`` positions,
holdings, limits and margins, ``market`` quotes, ``history`` candle answers as bytes, ``errors`` refusals.
"""

from brokers.zenith.mapping import books, errors, market, orders, words

__all__ = ["books", "errors", "market", "orders", "words"]
