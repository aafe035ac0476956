"""How long the stage times of single orders are kept; their histograms and daily counts stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Env(Protocol):
    """What is asked of an env file (``gateway.settings.EnvFile``)."""

    def number(self, name: str, default: float, low: float, high: float) -> float: ...


@dataclass(frozen=True, slots=True)
class LatencyRules:
    """``keep_days``: of single orders."""

    keep_days: int = 30


EXAMPLE = """\

# Stage times of orders (page Latency, algo compare); the value shown is the default.
# LATENCY_KEEP_DAYS=30             # of single orders; histograms and daily figures are kept for good
"""


def read(env: Env) -> LatencyRules:
    """Raises ``SettingsError``."""
    return LatencyRules(keep_days=int(env.number("LATENCY_KEEP_DAYS", 30, 1, 3650)))
