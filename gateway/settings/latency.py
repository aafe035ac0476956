"""How long the stage times of single orders are kept; their histograms and daily counts stay."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings.envfile import EnvFile


@dataclass(frozen=True, slots=True)
class LatencyRules:
    """``keep_days``: of single orders."""

    keep_days: int = 30


EXAMPLE = """\

# Stage times of orders (page Latency, algo compare); the value shown is the default.
# LATENCY_KEEP_DAYS=30             # of single orders; histograms and daily figures are kept for good
"""


def read(env: EnvFile) -> LatencyRules:
    """Raises ``SettingsError``."""
    return LatencyRules(keep_days=int(env.number("LATENCY_KEEP_DAYS", 30, 1, 3650)))
