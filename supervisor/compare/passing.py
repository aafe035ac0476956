"""``algo compare``: what the orders of a day tell that were sent anyway; nothing is sent for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np

from brokers.clock import IST
from brokers.errors import InvalidRequest
from gateway.settings import Settings
from supervisor.compare import figures
from supervisor.compare.collect import NOTHING, STAGE_OF, Day, day_of_instance
from supervisor.compare.figures import Measure, Report, Share
from supervisor.compare.stats import Rate, rate

SEED = 20_260_101
MEANINGS = {
    "place": "place: bytes sent to the broker's answer read",
    "modify": "modify: bytes sent to the broker's answer read",
    "cancel": "cancel: bytes sent to the broker's answer read",
    "fill": "MARKET order sent to completely filled",
}
SHARES = {
    "refused": "rejected",
    "no answer": "lost",
    "too fast (429)": "limited",
    "unknown to the caller": "unknown",
}
NOTES = (
    "Orders of normal traffic are not the same orders at every broker: a broker that got the busy minutes "
    "looks slower. `algo compare --orders` sends the same ones to all.",
)


def of_day(fleet: Sequence[Settings], day: str = "") -> Report:
    """Today's traffic (IST), or another day's.

    Raises:
        InvalidRequest: Not a date.
    """
    on = _date(day)
    begin = int(datetime.combine(on, time(0), IST).timestamp() * 1e9)
    until = int(datetime.combine(on + timedelta(days=1), time(0), IST).timestamp() * 1e9)
    text = on.isoformat()
    with ThreadPoolExecutor(max(1, len(fleet))) as pool:
        days = list(pool.map(lambda one: day_of_instance(one, text, text, begin, until), fleet))
    return summarise({one.name: found for one, found in zip(fleet, days, strict=True)}, fleet, text)


def _date(day: str) -> date:
    try:
        return date.fromisoformat(day) if day else datetime.now(IST).date()
    except ValueError as exc:
        raise InvalidRequest(f"{day} is no date such as 2026-11-20") from exc


def summarise(days: Mapping[str, Day], fleet: Sequence[Settings], text: str) -> Report:
    rng = np.random.default_rng(SEED)
    measures = []
    for name in STAGE_OF:
        samples = {instance: found.samples.get(name, (NOTHING, NOTHING)) for instance, found in days.items()}
        if any(len(values) for values, _ in samples.values()):
            measures.append(figures.measure_apart(name, MEANINGS[name], samples, rng))
    return Report(
        title="Broker comparison",
        made_at=f"{datetime.now(IST):%Y-%m-%d %H:%M} IST",
        venue=fleet[0].venue.value,
        instances=tuple(days),
        brokers={one.name: one.broker for one in fleet},
        source=(f"orders of {text}, those of probes included",),
        measures=tuple(measures),
        shares=tuple(_share(name, key, days) for name, key in SHARES.items()),
        counts={instance: _counts(found.figures) for instance, found in days.items()},
        notes=NOTES + tuple(_absent(days, measures)),
    )


def _share(name: str, key: str, days: Mapping[str, Day]) -> Share:
    return Share(name, tuple((instance, _rate(found.figures, key)) for instance, found in days.items()))


def _rate(found: Mapping[str, Any], key: str) -> Rate | None:
    requests = found.get("requests", {}).values()
    return rate(sum(row[key] for row in requests), sum(row["sent"] for row in requests))


def _counts(found: Mapping[str, Any]) -> dict[str, str]:
    if not found:
        return {}
    reads, open_h = found["reads"], found["open_s"] / 3600
    errors = ", ".join(f"{code} {n:,}" for code, n in found["errors"].items()) or "none"
    return {
        "API errors by kind": errors,
        "failed reads": f"{reads['errors']:,} of {reads['calls']:,}",
        "reconnects per hour": f"{found['reconnects'] / open_h:.2f}" if open_h else "–",
        "up": _part(found["up_s"], found["span_s"]),
        "broker session": _part(found["session_s"], found["open_s"]),
        "feed": _part(found["feed_s"], found["open_s"]),
    }


def _part(of: float, whole: float) -> str:
    span = f"{whole / 3600:.1f} h" if whole >= 3600 else f"{whole / 60:.0f} min"
    return f"{min(1.0, of / whole):.1%} of {span}" if whole else "–"


def _absent(days: Mapping[str, Day], measures: Sequence[Measure]) -> list[str]:
    found = [f"{instance}: no figures ({day.missing})" for instance, day in days.items() if day.missing]
    if not measures:
        found.append("No order was sent on this day: there is nothing to compare yet.")
    return found
