"""Prices, quotes and candles of one instance: from its own ticks, its broker, or the shared store."""
