"""Trading the past on paper: stored candles played into a throw-away instance in analyze mode."""
