"""The passive comparison: how an instance did in its normal traffic, from what it counted where it happened.

Shares are not worked out here: whoever compares puts an interval around ``count`` of ``n``. Needs no running
instance, no SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.latency import reader
from gateway.latency.histograms import Histogram, merged
from gateway.latency.model import ENDPOINTS, FIRST, LAST, OUTCOMES
from gateway.latency.presence import FEED, OPEN, RECONNECTS, SESSION, UP
from gateway.latency.reader import Stored

Stages = dict[str, dict[str, Histogram]]


def comparison(path: Path, first_day: str, last_day: str) -> dict[str, Any]:
    """What a latency database knows of some IST days, both inclusive.

    Returns:
        - ``days``: those that have anything.
        - ``requests``: for ``place``, ``modify`` and ``cancel``: ``sent`` (the n of every share but that of
          ``not_sent``), how many ended in each of ``model.OUTCOMES``, ``unknown`` (answered as such: nothing
          was found out within the caller's patience); ``timeout`` is ``lost``, 429 is ``limited``.
        - ``stages``: by endpoint and stage ``n``, ``p50_ms``, ``p90_ms``, ``p99_ms``, ``max_ms`` and ``hdr``,
          the histogram to merge (``histograms.Histogram.decode``). Round trips are ``acknowledge``, fill
          times of MARKET orders ``place`` / ``fill``, reads of the broker ``read <name>`` / ``call`` with
          their pauses, figures of pages ``browser``.
        - ``errors``: by our code. ``reads``: ``calls`` and ``errors``.
        - ``reconnects`` of the feed and ``open_s``, the seconds in session they are of.
        - ``up_s`` of ``span_s`` (first to last look of each day; the time between runs counts as down), and
          ``session_s`` and ``feed_s`` of ``open_s``.

    Raises:
        StoreError: The file is not there, not ours, or cannot be read.
    """
    counts = reader.counts(path, first_day, last_day)
    total = _sum(counts.values())
    stages = by_stage(reader.histograms(path, first_day, last_day))
    return {
        "days": sorted(counts),
        "requests": {endpoint: _requests(endpoint, total) for endpoint in ENDPOINTS},
        "stages": {e: {s: _shown(h) for s, h in found.items() if h.n} for e, found in stages.items()},
        "errors": {name[6:]: n for name, n in sorted(total.items()) if name.startswith("error.")},
        "reads": {"calls": total.get("read.calls", 0), "errors": total.get("read.errors", 0)},
        "reconnects": total.get(RECONNECTS, 0),
        "span_s": sum(day[LAST] - day[FIRST] for day in counts.values() if FIRST in day and LAST in day)
        / 1000,
        **{f"{name[5:-3]}_s": total.get(name, 0) / 1000 for name in (UP, OPEN, SESSION, FEED)},
    }


def by_stage(stored: Iterable[Stored]) -> Stages:
    """Histograms of all days together, by endpoint and stage."""
    parts: dict[str, dict[str, list[bytes]]] = {}
    for one in stored:
        parts.setdefault(one.endpoint, {}).setdefault(one.stage, []).append(one.data)
    return {e: {s: merged(data) for s, data in found.items()} for e, found in parts.items()}


def _requests(endpoint: str, total: Mapping[str, int]) -> dict[str, int]:
    return {name: total.get(f"{endpoint}.{name}", 0) for name in ("sent", *OUTCOMES, "unknown")}


def _shown(histogram: Histogram) -> dict[str, Any]:
    figures = histogram.figures()
    assert figures is not None
    return {**asdict(figures), "hdr": histogram.encode().decode()}


def _sum(days: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for day in days:
        for name, value in day.items():
            total[name] = total.get(name, 0) + value
    return total
