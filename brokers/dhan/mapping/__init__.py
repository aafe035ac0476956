"""Dhan's words <-> ours. Pure: no socket, clock, file or logger.

``words`` tables and number forms, ``orders`` what is sent and what order rows say, ``books`` positions,
holdings and limits, ``market`` quotes and candles, ``history`` candle answers as bytes, ``margin`` the margin
calculator, ``errors`` refusals.
"""

from brokers.dhan.mapping import books, errors, margin, market, orders, words

__all__ = ["books", "errors", "margin", "market", "orders", "words"]
