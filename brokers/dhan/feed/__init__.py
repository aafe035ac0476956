"""Dhan's feeds: a pool of market sockets, deep books, and the order feed."""

from brokers.dhan.feed.feed import DhanFeed

__all__ = ["DhanFeed"]
