"""The order path: journal first, then the broker, then what became of it."""
