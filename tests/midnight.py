"""For tests that run real processes on the real clock: their trading day must not end under them."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from brokers.clock import IST


def not_over_midnight(run_s: float) -> None:
    """Wait when a run of ``run_s`` seconds would cross 00:00 IST: books and sessions start anew there."""
    while (datetime.now(IST) + timedelta(seconds=run_s)).date() != datetime.now(IST).date():
        time.sleep(0.5)
