"""Kotak's feeds: SFeed and HSM for market data behind one interface, and the order feed."""

from brokers.kotak.feed.feed import FeedRules, KotakFeed

__all__ = ["FeedRules", "KotakFeed"]
