"""The market-data store: one puller writes, every instance reads."""
