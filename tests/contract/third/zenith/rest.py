"""Zenith's REST calls: plain JSON, ``brokers.plainrest``."""

from __future__ import annotations

from brokers.zenith import SPEC
from brokers.zenith.auth import DIALECT
from brokers.zenith.mapping import books, history, market, orders

from brokers.plainrest import Paths, PlainRest


class ZenithRest(PlainRest):
    """Implements ``contract.Rest`` and ``contract.RawHistory``."""

    spec = SPEC
    dialect = DIALECT
    paths = Paths(positions="/portfolio/positions", holdings="/portfolio/holdings")
    order_mapping = orders
    book_mapping = books
    market_mapping = market
    history_mapping = history
