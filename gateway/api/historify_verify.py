"""``/api/v1/historify/verify``: what is missing or implausible in the store, and pulls that mend it."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from brokers.errors import InvalidRequest
from gateway.api.historify_schemas import InOrder, StoreCatalog, day
from gateway.api.parts import Call, Parts
from gateway.api.quotes import store_of
from historify.quality.findings import damaged, repairs
from historify.quality.verify import only, verify

MOST_SERIES = 100
"""In one request; a year of minutes takes about a tenth of a second."""


class StoreVerify(StoreCatalog, InOrder):
    """All of the store, an exchange or a symbol of it."""

    start_date = day()
    end_date = day()


class StoreRepair(StoreVerify):
    """As ``StoreVerify``; without ``repair`` it looks only."""

    repair = fields.Boolean(load_default=True)


def look(parts: Parts, call: Call) -> dict[str, Any]:
    """Gaps, spikes, splits, contradictions and damage; with ``repair`` also queue what mends it."""
    data, history = call.data, store_of(parts)
    wanted = only(data["exchange"], [data["symbol"]] if data["symbol"] else None)
    there = sum(wanted(row.series) for row in history.store.catalog())
    if there > MOST_SERIES:
        raise InvalidRequest(
            f"{there} series at once; at most {MOST_SERIES}: name an exchange or a symbol, or run "
            "algo history verify",
            fields={"symbol": [f"At most {MOST_SERIES} series in one request."]},
        )
    report = verify(
        history.store, history.calendar, wanted=wanted, start=data["start_date"], end=data["end_date"]
    )
    found = report.as_json()
    if data.get("repair"):
        jobs = repairs(report.findings, requested_by=f"api {parts.settings.name} verify")
        found["jobs"] = [history.queue.enqueue(job)[0].id for job in jobs]
        if broken := damaged(report.findings):
            made = history.tasks.add_mend(broken, requested_by=f"api {parts.settings.name} verify")
            # the writer takes the files out first, then queues the pulls: GET historify/task tells which
            found["mend_task"] = made.id
    return {"status": "success", "data": found}
