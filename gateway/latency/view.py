"""What the page "Latency" shows, from the database of one instance."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from brokers.clock import IST
from gateway.latency import reader
from gateway.latency.histograms import merged
from gateway.latency.model import CLOCK_SET, ENDPOINTS, STAGES
from gateway.latency.passive import by_stage

BIN_S = 300
SLOWEST = 50
MOST = 200_000


def overview(path: Path, day: str) -> dict[str, Any]:
    """Every stage of an IST day, and the ``days`` there are. Raises ``StoreError``.

    ``stages`` are rows (endpoint, stage, n, p50_ms, p90_ms, p99_ms, max_ms) as an order passes them.
    """
    order = {endpoint: at for at, endpoint in enumerate((*ENDPOINTS, "browser"))}
    within = {stage: at for at, stage in enumerate(STAGES)}
    rows = []
    for endpoint, found in by_stage(reader.histograms(path, day, day)).items():
        for stage, histogram in found.items():
            if (figures := histogram.figures()) is not None:
                rows.append({"endpoint": endpoint, "stage": stage, **asdict(figures)})
    rows.sort(key=lambda row: (order.get(row["endpoint"], 9), row["endpoint"], within.get(row["stage"], 9)))
    return {"day": day, "days": reader.days(path), "stages": rows}


def one_stage(path: Path, day: str, endpoint: str, stage: str) -> dict[str, Any]:
    """One stage of an IST day.

    ``histogram``: bars (low_ms, high_ms, count); ``series``: five minutes each (at_ms, n, p50_ms, p99_ms,
    max_ms; of the orders still kept); and the ``slowest`` requests.

    Raises ``StoreError``; ``KeyError`` for a stage that is none.
    """
    begin, end = STAGES[stage]
    since_ns, until_ns = span_ns(day)
    stored = reader.histograms(path, day, day)
    bars = merged(h.data for h in stored if (h.endpoint, h.stage) == (endpoint, stage)).bars()
    length = f"{end} - {begin}" if begin else end
    market = " AND price_type = 'MARKET'" if stage == "fill" else ""
    where = (
        f"endpoint = ? AND at_ns >= ? AND at_ns < ? AND {length} IS NOT NULL "
        f"AND flags & {CLOCK_SET} = 0{market}"
    )
    parameters = (endpoint, since_ns, until_ns)
    points = reader.durations(path, length, where, parameters, MOST)
    slowest = reader.rows(path, f"{where} ORDER BY {length} DESC LIMIT {SLOWEST}", parameters)
    return {
        "day": day,
        "endpoint": endpoint,
        "stage": stage,
        "histogram": [asdict(bar) for bar in bars],
        "series": series(points),
        "slowest": [{**shown(row), "took_ms": _took(row, begin, end)} for row in slowest],
    }


def of_order(path: Path, order_id: str) -> list[dict[str, Any]]:
    """The requests of one order by the broker's order id, oldest first. Raises ``StoreError``."""
    where = (
        "journal_id IN (SELECT journal_id FROM requests WHERE order_id = ? ORDER BY id DESC LIMIT 1) "
        "ORDER BY id DESC LIMIT 100"
    )
    return [shown(row) for row in reversed(reader.rows(path, where, (order_id,)))]


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A request for a page: every stage in milliseconds, None where it did not pass or cannot be known."""
    stages = {stage: _took(row, *ends) for stage, ends in STAGES.items()}
    if row["flags"] & CLOCK_SET:
        stages = dict.fromkeys(STAGES)
    names = ("order_id", "endpoint", "exchange", "symbol", "price_type", "strategy", "outcome", "code")
    beside = {"at_ms": row["at_ns"] // 1_000_000, "flags": row["flags"]}
    return {**{name: row[name] for name in names}, **beside, "stages": stages}


def _took(row: dict[str, Any], begin: str, end: str) -> float | None:
    since = row[begin] if begin else 0
    return None if row[end] is None or since is None else (row[end] - since) / 1e6


def series(points: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Figures of five minutes each from (wall ns, duration ns) in the order of time."""
    bins: dict[int, list[int]] = {}
    for at_ns, took_ns in points:
        bins.setdefault(at_ns // (BIN_S * 1_000_000_000), []).append(took_ns)
    found = []
    for number, took in sorted(bins.items()):
        took.sort()
        found.append(
            {
                "at_ms": number * BIN_S * 1000,
                "n": len(took),
                "p50_ms": _rank(took, 0.5),
                "p99_ms": _rank(took, 0.99),
                "max_ms": took[-1] / 1e6,
            }
        )
    return found


def _rank(ordered: list[int], q: float) -> float:
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)] / 1e6


def span_ns(day: str) -> tuple[int, int]:
    """Wall nanoseconds from the beginning of an IST day to its end."""
    begin = datetime.fromisoformat(day).replace(tzinfo=IST)
    return int(begin.timestamp()) * 10**9, int((begin + timedelta(days=1)).timestamp()) * 10**9
