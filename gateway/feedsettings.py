"""Settings of a feed process's watch over itself, and their lines in an env file. Light: the supervisor
imports it.
"""

from __future__ import annotations

THRESHOLDS = {
    "coverage": (90.0, 75.0),
    "parse_errors": (1.0, 5.0),
    "latency": (1000.0, 2000.0),
    "memory": (400.0, 600.0),
    "cpu": (30.0, 50.0),
}
"""Warning and critical: percent, percent, milliseconds, MB, percent of a core."""

EXAMPLE = """\
# The feed's watch over itself; the values shown are the defaults.
# MAX_SYMBOLS=                     # most instruments at a time; the default is what the broker's feed carries
# STALE_AFTER_SECONDS=60           # without a tick in session, from then on a subscription is stale
# HEARTBEAT_LOG_SECONDS=1          # one log line every so many seconds; 0: none
# FEED_COVERAGE_WARNING=90         # percent of the subscribed symbols in session that are live
# FEED_COVERAGE_CRITICAL=75
# FEED_PARSE_ERRORS_WARNING=1      # percent of all frames
# FEED_PARSE_ERRORS_CRITICAL=5
# FEED_LATENCY_WARNING=1000        # ms from a frame's arrival to every consumer, p99
# FEED_LATENCY_CRITICAL=2000
# FEED_MEMORY_WARNING=400          # MB
# FEED_MEMORY_CRITICAL=600
# FEED_CPU_WARNING=30              # percent of a core
# FEED_CPU_CRITICAL=50
"""
