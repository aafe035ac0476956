"""One instance: an api process (orders, books, pages) and a feed process (ticks)."""
