"""``algo history verify`` while nothing runs: what it says, what it queues, and how it ends."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from brokers.calendar import FileCalendar
from brokers.clock import SystemClock
from historify import lease
from historify.control import Control
from historify.jobs.model import Mode
from historify.jobs.queue import Queue
from historify.model import Bars, Provenance, Row, Series
from historify.store import SegmentStore, open_store
from supervisor.cli import algo
from supervisor.client import CommandFailed
from tests.historify.contract.rig import at, bar

MONDAY = date(2025, 6, 2)
SERIES = Series("NSE", "M&M", "1m")


class Home:
    """A folder with a store of one week, a day of it missing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.face = folder / "db" / "historify.duckdb"
        (folder / "instances").mkdir()
        days = [MONDAY + timedelta(days=n) for n in (0, 1, 3, 4)]
        self.fill(SERIES, [bar(at(day, 9, 15) + 60 * n, 100.0 + n) for day in days for n in range(375)])

    def fill(self, series: Series, rows: list[Row]) -> None:
        store = open_store(self.face, calendar=FileCalendar())
        assert isinstance(store, SegmentStore)
        with lease.writing(store.control, store.paths.lock, "test", SystemClock()) as held:
            store.put(series, Bars.of(rows), fence=held, provenance=Provenance("dhan", at_s=1))
        store.close()

    def verify(self, *words: str) -> Result:
        words = ("history", "verify", *words)
        return CliRunner().invoke(algo, ["--home", str(self.folder), *words], prog_name="algo")

    def jobs(self) -> list[tuple[object, ...]]:
        control = Control(self.folder / "db" / "historify.d" / "control.db")
        found = Queue(control, SystemClock()).listing()
        control.close()
        return [(job.first_keys[0], job.start, job.end, job.mode) for job in found]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_gap_is_told_and_ends_in_1(home: Home) -> None:
    done = home.verify()
    assert done.exit_code == 1
    assert "missing_day" in done.output
    assert "2025-06-04" in done.output
    assert isinstance(done.exception, CommandFailed | SystemExit)
    assert home.jobs() == []


def test_a_repair_queues_the_pull_that_mends_it(home: Home) -> None:
    wednesday = MONDAY + timedelta(days=2)
    done = home.verify("--repair", "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    told = json.loads(done.stdout)
    assert told["counts"]["missing_day"] == 1
    assert len(told["jobs"]) == 1
    [(key, start, end, mode)] = home.jobs()
    assert (key, mode) == (("NSE", "M&M"), Mode.ALL)
    assert start <= wednesday <= end  # type: ignore[operator]


def test_what_is_not_asked_for_is_not_looked_at(home: Home) -> None:
    for words in (["--exchange", "BSE"], ["--symbols", "SBIN"], ["--symbols", "BSE:M&M"]):
        done = home.verify(*words)
        assert (done.exit_code, done.output) == (0, "0 series, 0 bars: nothing found\n")
    done = home.verify("--symbols", "M&M", "--to", "2025-06-03", "--json")
    assert json.loads(done.stdout)["series"] == 1
    assert "missing_day" not in json.loads(done.stdout)["counts"]


def test_damage_goes_before_it_is_pulled_again(home: Home) -> None:
    folder = home.folder / "db" / "historify.d" / "bars"
    for file in folder.rglob("*.parquet"):
        file.write_bytes(file.read_bytes()[:64])
    told = json.loads(home.verify("--repair", "--json").stdout)
    assert (told["counts"], len(told["jobs"])) == ({"damaged": 1}, 1)
    assert home.jobs() == [(("NSE", "M&M"), MONDAY, MONDAY + timedelta(days=4), Mode.MISSING)]
    after = json.loads(home.verify("--json").stdout)
    assert (after["sound"], after["series"]) == (True, 0)
