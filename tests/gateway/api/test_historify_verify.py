"""``/api/v1/historify/verify`` over a real store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from gateway.api import historify_verify
from gateway.marketdata.history import History
from historify import lease
from historify.model import Bars, Provenance, Series
from historify.portable.tasks import work
from tests.gateway.api.rig import Rig, running
from tests.historify.contract.rig import bar, daily

MONDAY = date(2025, 6, 2)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Two daily series of a week, the Wednesday of one missing."""
    with running(tmp_path_factory.mktemp("home"), reconciled=False, logged_in=False) as one:
        history = one.parts.history
        assert isinstance(history, History)
        with lease.writing(history.control, history.paths.lock, "test", history.clock) as fence:
            for symbol, days in (("SBIN", (0, 1, 3, 4)), ("M&M", (0, 1, 2, 3, 4))):
                bars = Bars.of(bar(daily(MONDAY + timedelta(days=n)), 100.0 + n) for n in days)
                pulled = Provenance("dhan", at_s=1)
                history.store.put(Series("NSE", symbol, "D"), bars, fence=fence, provenance=pulled)
        yield one


def get(rig: Rig, **query: str) -> Any:
    client = rig.app.test_client()
    return client.get("/api/v1/historify/verify", query_string=query, headers={"X-API-KEY": rig.key})


def test_a_gap_is_told_and_nothing_is_queued(rig: Rig) -> None:
    found = get(rig).json["data"]
    assert (found["sound"], found["series"], found["bars"]) == (False, 2, 9)
    [one] = found["findings"]
    assert (one["symbol"], one["kind"], one["first"], one["severity"]) == (
        "SBIN", "missing_day", "2025-06-04", "error",
    )  # fmt: skip
    assert "jobs" not in found
    assert rig.parts.history.queue.listing() == []


def test_a_repair_queues_the_pull(rig: Rig) -> None:
    answer = rig.post("historify/verify", exchange="NSE", symbol="SBIN")
    [job] = answer.json["data"]["jobs"]
    made = rig.parts.history.queue.show(job)
    assert (made.first_keys, made.start, made.end) == (
        (("NSE", "SBIN"),), date(2025, 6, 4), date(2025, 6, 4),
    )  # fmt: skip
    assert made.requested_by == "api dhan verify"


def test_only_what_is_named_is_looked_at(rig: Rig) -> None:
    found = get(rig, exchange="NSE", symbol="M&M").json["data"]
    assert (found["sound"], found["series"]) == (True, 1)
    assert get(rig, end_date="2025-06-03").json["data"]["sound"] is True
    assert get(rig, start_date="2025-06-05", end_date="2025-06-03").status_code == 400


def test_too_many_series_are_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(historify_verify, "MOST_SERIES", 1)
    answer = get(rig)
    assert answer.status_code == 400
    assert "2 series" in answer.json["message"]


def test_damage_is_taken_out_by_the_one_who_writes_and_then_pulled_again(rig: Rig) -> None:
    """Last: the store has one series less afterwards."""
    history = rig.parts.history
    assert isinstance(history, History)
    [segment] = history.paths.folder("NSE", "M&M", "D").iterdir()
    segment.chmod(0o600)
    segment.write_bytes(segment.read_bytes()[:50])
    found = rig.post("historify/verify", exchange="NSE", symbol="M&M").json["data"]
    assert (found["counts"], found["jobs"]) == ({"damaged": 1}, [])
    assert rig.post("history", symbol="M&M", exchange="NSE", interval="D", start_date=str(MONDAY),
                    end_date=str(MONDAY), source="db").json["code"] == "STORE_DAMAGED"  # fmt: skip
    with lease.writing(history.control, history.paths.lock, "test", history.clock) as fence:
        work(history.tasks, history.store, fence=fence, calendar=history.calendar, clock=history.clock)
    task = rig.parts.history.tasks.show(found["mend_task"])
    assert (task.kind, str(task.state)) == ("mend", "done")
    [job] = task.report["jobs"]
    made = history.queue.show(job)
    assert (made.first_keys, made.start, made.end, made.requested_by) == (
        (("NSE", "M&M"),), MONDAY, MONDAY + timedelta(days=4), "mend 1",
    )  # fmt: skip
    assert get(rig, exchange="NSE", symbol="M&M").json["data"]["sound"] is True
    assert history.store.catalog("NSE", "M&M") == []
