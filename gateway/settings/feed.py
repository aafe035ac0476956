"""The feed process: its limits, its watch over itself, and their lines in an env file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from brokers.contract import BrokerSpec
from gateway.settings.envfile import EnvFile

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


@dataclass(frozen=True, slots=True)
class StreamRules:
    """The feed process's limits."""

    auth_grace_s: float
    max_queue: int
    ping_interval_s: float
    ping_timeout_s: float
    max_symbols: int
    stale_after_s: float = 60.0
    heartbeat_log_s: int = 1
    thresholds: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(THRESHOLDS))


def read(env: EnvFile, spec: BrokerSpec) -> StreamRules:
    """Raises ``SettingsError``."""
    return StreamRules(
        auth_grace_s=env.number("WS_AUTH_GRACE_SECONDS", 15.0, 1.0, 600.0),
        max_queue=int(env.number("WS_MAX_QUEUE", 1024, 16, 1_000_000)),
        ping_interval_s=env.number("WS_PING_INTERVAL", 20.0, 1.0, 600.0),
        ping_timeout_s=env.number("WS_PING_TIMEOUT", 20.0, 1.0, 600.0),
        max_symbols=int(env.number("MAX_SYMBOLS", spec.capabilities.feed_instruments, 1, 1_000_000)),
        stale_after_s=env.number("STALE_AFTER_SECONDS", 60.0, 1.0, 86_400.0),
        heartbeat_log_s=int(env.number("HEARTBEAT_LOG_SECONDS", 1, 0, 3600)),
        thresholds={name: _threshold(env, name) for name in THRESHOLDS},
    )


def _threshold(env: EnvFile, name: str) -> tuple[float, float]:
    """``FEED_COVERAGE_WARNING`` and ``FEED_COVERAGE_CRITICAL``, and so on."""
    warning, critical = THRESHOLDS[name]
    stem = f"FEED_{name.upper()}"
    return (
        env.number(f"{stem}_WARNING", warning, 0.0, 1e9),
        env.number(f"{stem}_CRITICAL", critical, 0.0, 1e9),
    )
