"""One module per command, loaded when it is used: `algo status` must not wait for what `algo ticks` needs."""
