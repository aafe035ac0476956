"""Paper trading on live prices. Not built yet."""
