"""``/api/v1/historify/*`` over a real store: what it answers, what it queues, what it refuses."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow.parquet as pq
import pytest

from brokers.clock import IST
from gateway.marketdata.history import History
from historify import lease
from historify.portable.tasks import work
from historify.segments import safety
from tests.gateway.api.optionrig import options
from tests.gateway.api.rig import Rig, running

OPENS = int(datetime(2024, 1, 2, 9, 15, tzinfo=IST).timestamp())
JANUARY = {"start_date": "2024-01-01", "end_date": "2024-01-31"}
SBIN = {"exchange": "NSE", "symbol": "SBIN"}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home"), reconciled=False, logged_in=False) as one:
        yield one


def text(count: int = 375) -> str:
    lines = [f"{OPENS + 60 * n},100,101,99,100.5,{n}" for n in range(count)]
    return "\n".join(["timestamp,open,high,low,close,volume", *lines]) + "\n"


def get(rig: Rig, path: str, **query: Any) -> Any:
    headers = {"X-API-KEY": rig.key}
    return rig.app.test_client().get(f"/api/v1/historify/{path}", query_string=query, headers=headers)


def post(rig: Rig, path: str, **body: Any) -> Any:
    return rig.post(f"historify/{path}", **body)


def data(answer: Any) -> Any:
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.json["status"] == "success"
    return answer.json["data"]


def refused(answer: Any) -> tuple[int, str]:
    assert answer.json["status"] == "error"
    return answer.status_code, answer.json["code"]


def puller(rig: Rig) -> None:
    """What the puller does when it finds tasks."""
    history = rig.parts.history
    assert isinstance(history, History)
    with lease.writing(history.control, history.paths.lock, "test", history.clock) as fence:
        work(history.tasks, history.store, fence=fence, calendar=history.calendar, clock=history.clock)


def bring(rig: Rig, symbol: str = "SBIN", **more: Any) -> Any:
    asked = data(post(rig, "import", csv=text(), exchange="NSE", symbol=symbol, interval="1m", **more))
    puller(rig)
    return data(get(rig, "task", task=asked["id"]))


def test_a_file_is_looked_at_imported_and_listed(rig):
    dry = data(post(rig, "import", csv=text(), **SBIN, interval="1m", dry_run=True))
    assert (dry["rows"], dry["bad"], dry["imported"]) == (375, 0, False)
    assert data(get(rig, "catalog")) == []
    done = bring(rig)
    assert (done["state"], done["report"]["added"], done["requested_by"]) == ("done", 375, "api dhan")
    assert "path" not in json.dumps(done)
    (row,) = data(get(rig, "catalog", exchange="NSE", symbol="SBIN"))
    assert (row["rows"], row["interval"], row["last_timestamp"]) == (375, "1m", OPENS + 374 * 60)
    found = data(get(rig, "coverage", **SBIN, interval="1m", start_date="2024-01-01", end_date="2024-01-03"))
    assert (found["days"]["missing"], len(found["gaps"])) == (3, 1)
    assert data(get(rig, "status"))["store"]["rows"] == 375
    assert data(get(rig, "intervals"))["stored"] == ["1m", "D"]
    assert get(rig, "tasks").json["data"][0]["id"] == done["id"]
    assert rig.post("history", **SBIN, interval="15m", source="db", **JANUARY).status_code == 200


def test_bad_rows_are_listed_and_nothing_is_imported(rig):
    bad = text(2) + "soon,1,1,1,1,1\n"
    dry = data(post(rig, "import", csv=bad, exchange="NSE", symbol="TCS", interval="1m", dry_run=True))
    assert dry["errors"] == [
        {"line": 4, "column": "timestamp", "why": "'soon' is no date; expected YYYY-MM-DD or DD-MM-YYYY"}
    ]
    asked = data(post(rig, "import", csv=bad, exchange="NSE", symbol="TCS", interval="1m"))
    puller(rig)
    found = data(get(rig, "task", task=asked["id"]))
    assert (found["state"], found["code"], found["report"]["bad"]) == ("failed", "IMPORT_REFUSED", 1)
    assert data(get(rig, "catalog", symbol="TCS")) == []


def test_a_large_file_comes_in_parts(rig):
    whole = text().encode()
    made = data(post(rig, "upload", base64=base64.b64encode(whole[:5000]).decode()))["upload"]
    assert data(post(rig, "upload", upload=made, text=whole[5000:].decode()))["bytes"] == len(whole)
    options = {"upload": made, "exchange": "NSE", "symbol": "M&M", "interval": "1m"}
    assert data(post(rig, "import", **options, dry_run=True))["rows"] == 375
    done = data(post(rig, "import", **options))
    puller(rig)
    assert data(get(rig, "task", task=done["id"]))["state"] == "done"
    assert refused(post(rig, "import", **options)) == (404, "NOT_FOUND")
    assert refused(post(rig, "upload", upload="../../etc/passwd", text="x")) == (400, "INVALID_REQUEST")
    assert refused(post(rig, "upload", base64="***")) == (400, "INVALID_REQUEST")


def test_exports_are_streamed_in_every_format(rig):
    bring(rig, "INFY")
    query = {"exchange": "NSE", "symbols": "INFY", "interval": "15m", **JANUARY}
    answer = get(rig, "export", **query)
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="NSE_INFY_15m.csv"'
    assert len(answer.get_data(as_text=True).splitlines()) == 26
    table = pq.read_table(io.BytesIO(get(rig, "export", **query, format="parquet").get_data()))
    assert table.num_rows == 25
    assert get(rig, "export", **query, format="zip").get_data()[:2] == b"PK"
    assert refused(get(rig, "export", **query | {"symbols": "INFY,NOPE"})) == (404, "NO_STORED_DATA")
    assert refused(get(rig, "export", **query | {"interval": "7m"})) == (400, "INVALID_REQUEST")
    reversed_dates = {"start_date": "2024-02-01", "end_date": "2024-01-01"}
    assert refused(get(rig, "export", **query | reversed_dates)) == (400, "INVALID_REQUEST")


def test_jobs_live_their_lives(rig):
    asked = post(
        rig, "jobs", symbols=[SBIN, {"exchange": "NSE", "symbol": "sbin"}], intervals=["D"], **JANUARY
    )
    job = data(asked)
    assert (job["state"], job["series"], asked.json["new"]) == ("queued", 1, True)
    again = post(rig, "jobs", symbols=[SBIN], intervals=["D"], **JANUARY)
    assert (again.json["data"]["id"], again.json["new"]) == (job["id"], False)
    for word, state in (
        ("pause", "paused"),
        ("resume", "queued"),
        ("cancel", "cancelled"),
        ("retry", "queued"),
    ):
        assert data(post(rig, f"jobs/{word}", job=job["id"]))["state"] == state
    assert refused(post(rig, "jobs/retry", job=job["id"])) == (409, "CONFLICT")
    assert refused(post(rig, "jobs/pause", job=99)) == (404, "NOT_FOUND")
    assert [item["symbol"] for item in data(get(rig, "job", job=job["id"]))["items"]] == ["SBIN"]
    assert [each["id"] for each in data(get(rig, "jobs", state="queued"))] == [job["id"]]


def test_what_cannot_be_pulled_is_refused_before_it_is_queued(rig):
    unknown = post(rig, "jobs", symbols=[{"exchange": "NSE", "symbol": "SBINN"}], **JANUARY)
    assert refused(unknown) == (400, "SYMBOL_NOT_FOUND")
    assert "Did you mean SBIN" in unknown.json["message"]
    assert refused(post(rig, "jobs", symbols=[SBIN], intervals=["5m"], **JANUARY)) == (400, "INVALID_REQUEST")
    backwards = {"start_date": "2024-02-01", "end_date": "2024-01-01"}
    assert refused(post(rig, "jobs", symbols=[SBIN], **backwards)) == (400, "INVALID_REQUEST")
    assert refused(post(rig, "jobs", **JANUARY)) == (400, "INVALID_REQUEST")
    assert refused(post(rig, "jobs", watchlist="none", **JANUARY)) == (404, "NOT_FOUND")


def test_watchlists_and_schedules(rig):
    changed = post(rig, "watchlists", name="two", add=[SBIN, {"exchange": "NSE", "symbol": "TCS"}])
    assert (data(changed)["symbols"], changed.json["added"]) == (2, 2)
    assert post(rig, "watchlists", name="two", remove=[SBIN]).json["removed"] == 1
    assert data(get(rig, "watchlist", name="two"))["keys"] == [{"exchange": "NSE", "symbol": "TCS"}]
    made = data(post(rig, "schedules", name="nightly", watchlist="two", at="18:30", intervals=["D"]))
    assert (made["at"], made["enabled"]) == ("18:30", True)
    assert refused(post(rig, "schedules", name="nightly", watchlist="two", at="18:30")) == (409, "CONFLICT")
    assert refused(post(rig, "schedules", name="x", watchlist="two", at="99:00")) == (400, "INVALID_REQUEST")
    job = data(post(rig, "schedules/run", name="nightly"))["job"]
    assert data(get(rig, "job", job=job))["first_symbols"] == [{"exchange": "NSE", "symbol": "TCS"}]
    assert data(post(rig, "schedules/pause", name="nightly"))["next_at"] is None
    assert data(post(rig, "schedules/resume", name="nightly"))["next_at"] is not None
    assert data(get(rig, "schedules/runs", name="nightly")) == []
    assert [row["name"] for row in data(get(rig, "schedules"))] == ["nightly"]
    assert refused(post(rig, "watchlists/delete", name="two")) == (409, "CONFLICT")
    assert post(rig, "schedules/delete", name="nightly").status_code == 200
    assert post(rig, "watchlists/delete", name="two").status_code == 200
    assert data(get(rig, "watchlists")) == []


def test_bars_are_deleted_by_the_puller_and_splits_are_kept(rig):
    assert bring(rig, symbol="TCS")["state"] == "done"
    asked = data(post(rig, "delete", symbols=[{"exchange": "NSE", "symbol": "TCS"}]))
    assert data(post(rig, "tasks/cancel", task=asked["id"]))["state"] == "cancelled"
    asked = data(post(rig, "delete", symbols=[{"exchange": "NSE", "symbol": "TCS"}]))
    puller(rig)
    assert data(get(rig, "task", task=asked["id"]))["rows_done"] == 375
    assert data(get(rig, "catalog", symbol="TCS")) == []
    none = post(rig, "delete", symbols=[{"exchange": "NSE", "symbol": "TCS"}])
    assert refused(none) == (404, "NO_STORED_DATA")
    good = "exchange,symbol,ex_date,kind,ratio\nNSE,SBIN,2024-01-02,split,10:1\n"
    assert data(post(rig, "actions", csv=good)) == {"actions": 1}
    bad = post(rig, "actions", csv=good + "NSE,SBIN,soon,split,10:1\n")
    assert (refused(bad), len(bad.json["errors"]["csv"])) == ((400, "IMPORT_REFUSED"), 1)


def test_the_command_line_asks_for_names_and_chains(rig, tmp_path):
    keys = [SBIN, {"exchange": "NSE", "symbol": "SBINN"}]
    found = rig.internal("POST", "choose", {"keys": keys}).json
    assert (len(found["keys"]), len(found["unknown"])) == (2, 1)
    assert "did you mean SBIN" in found["unknown"][0]
    none = rig.internal("POST", "choose", {"option_chain": {"underlying": "NIFTY", "expiry": "2026-11-26"}})
    assert refused(none) == (400, "SYMBOL_NOT_FOUND")
    with options(tmp_path) as some:
        chain = {"underlying": "NIFTY", "expiry": str(some.near), "exchange": "NSE_INDEX"}
        found = some.rig.internal("POST", "choose", {"option_chain": chain}).json["keys"]
        assert {"exchange": "NFO", "symbol": some.symbol(26200, "CE")} in found
        assert all(key["symbol"].endswith(("CE", "PE")) for key in found)
        later = some.rig.internal("POST", "choose", {"option_chain": chain | {"expiry": "2040-01-01"}})
        assert str(some.near) in later.json["message"]
        found = some.rig.internal("POST", "choose", {"futures": {"underlying": "nifty", "exchange": "NSE"}})
        assert found.status_code == 200, found.json
        assert [key["exchange"] for key in found.json["keys"]] == ["NFO"] * len(found.json["keys"])
        assert all(key["symbol"].endswith("FUT") for key in found.json["keys"])
        none = some.rig.internal("POST", "choose", {"futures": {"underlying": "NOPE"}})
        assert refused(none) == (400, "SYMBOL_NOT_FOUND")


def test_a_network_drive_is_refused_before_anything_is_written_there(tmp_path, monkeypatch):
    with running(tmp_path, reconciled=False, loaded=False) as one:
        history = one.parts.history
        assert history is not None
        share = str(history.paths.face.parent.parent)
        monkeypatch.setattr(safety, "_mounted", lambda: [("/", "ext4"), (share, "nfs4")])
        for answer in (
            get(one, "catalog"),
            get(one, "jobs"),
            one.post("history", **SBIN, interval="D", source="db", **JANUARY),
            post(one, "import", csv=text(1), exchange="NSE", symbol="SBIN", interval="1m"),
        ):
            assert refused(answer) == (500, "STORE_UNSAFE_FOLDER")
            assert "network drive (nfs4)" in answer.json["message"]
        assert not history.paths.control.exists()


def test_a_damaged_store_is_an_error_on_every_route(tmp_path):
    with running(tmp_path, reconciled=False, loaded=False) as one:
        history = one.parts.history
        assert history is not None
        history.paths.face.parent.mkdir(parents=True, exist_ok=True)
        history.paths.face.write_bytes(b"a letter to my aunt")
        assert refused(get(one, "catalog")) == (500, "STORE_FOREIGN")
        assert refused(one.post("history", **SBIN, interval="D", source="db", **JANUARY)) == (
            500,
            "STORE_FOREIGN",
        )
        history.paths.face.unlink()
        assert data(get(one, "catalog")) == []
