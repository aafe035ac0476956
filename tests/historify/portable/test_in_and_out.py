"""Files into a real store and out again: nothing is lost, nothing half imported, the lock counts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from brokers.calendar import FileCalendar
from brokers.clock import IST, ManualClock
from brokers.errors import InvalidRequest, NotSupported
from historify import lease
from historify.errors import LeaseLost, PullerBusy, StoreFull, WrongInterval
from historify.jobs.model import Conflict, NoSuch
from historify.model import BarRequest, Bars, DayState, Series
from historify.portable import exporting, frames
from historify.portable.exporting import Format
from historify.portable.importing import ImportOptions, ImportRefused, run
from historify.portable.tasks import Task, Tasks, TaskState, perform, work
from historify.store import SegmentStore, store_paths

CALENDAR = FileCalendar()
NOW = datetime(2026, 11, 21, 12, tzinfo=IST)
SBIN = ImportOptions("NSE", "SBIN", "1m")
MINUTES = Series("NSE", "SBIN", "1m")
TUESDAY = date(2024, 1, 2)


@dataclass
class Place:
    store: SegmentStore
    tasks: Tasks
    clock: ManualClock
    folder: Path

    def file(self, text: str, name: str = "bars.csv") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def writing(self):
        return lease.writing(self.store.control, self.store.paths.lock, "test", self.clock)

    def bring(self, path: Path, options: ImportOptions = SBIN):
        with self.writing() as fence:
            return run(self.store, path, options, fence=fence, calendar=CALENDAR, now_s=int(NOW.timestamp()))

    def work(self) -> int:
        with self.writing() as fence:
            return work(self.tasks, self.store, fence=fence, calendar=CALENDAR, clock=self.clock)

    def rows(self, interval: str = "1m", symbol: str = "SBIN", exchange: str = "NSE") -> Bars:
        return self.store.get(BarRequest(exchange, symbol, interval, date(2000, 1, 1), date(2026, 12, 31)))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    clock = ManualClock(NOW)
    store = SegmentStore(store_paths(tmp_path / "db" / "historify.duckdb"), calendar=CALENDAR, clock=clock)
    yield Place(store, Tasks(store.control, clock), clock, tmp_path)
    store.close()


def session(day: date, *, first: int = 0, last: int = 375) -> list[str]:
    opens = int(datetime(day.year, day.month, day.day, 9, 15, tzinfo=IST).timestamp())
    return [f"{opens + 60 * n},{100 + n / 10},{101 + n / 10},{99 + n / 10},{100.5 + n / 10},{n},0"
            for n in range(first, last)]  # fmt: skip


def text(*lines: str) -> str:
    return "\n".join(["timestamp,open,high,low,close,volume,oi", *lines]) + "\n"


def test_an_import_is_what_is_read_and_twice_changes_nothing(place):
    path = place.file(text(*session(TUESDAY)))
    first, again = place.bring(path), place.bring(path)
    assert (first.imported, first.added, first.changed) == (True, 375, 0)
    assert (again.added, again.changed) == (0, 0)
    rows = place.rows()
    assert [f"{t},{o},{h},{lo},{c},{v},{oi}" for t, o, h, lo, c, v, oi in rows.rows()] == [
        ",".join(repr(float(x)) if n in (1, 2, 3, 4) else x for n, x in enumerate(line.split(",")))
        for line in session(TUESDAY)
    ]
    assert place.store.catalog()[0].source == "import"


def test_one_bad_row_refuses_the_file_unless_bad_ones_are_to_be_skipped(place):
    path = place.file(text(*session(TUESDAY), "x,1,1,1,1,1,0"))
    with pytest.raises(ImportRefused, match="1 of 376 rows") as caught:
        place.bring(path)
    assert caught.value.report.errors[0].line == 377
    assert place.store.catalog() == []
    skipped = place.bring(path, ImportOptions("NSE", "SBIN", "1m", skip_bad=True))
    assert (skipped.bad, skipped.added) == (1, 375)


def test_rows_out_of_order_and_of_many_series_find_their_places(place):
    lines = session(TUESDAY)
    mixed = [f"{name},{line}" for line in reversed(lines) for name in ("M&M", "NIFTY 50", "a/b")]
    later = f"M&M,{lines[0].split(',')[0]},500,600,400,550,9,0"
    path = place.file("symbol," + text(*mixed, later))
    found = place.bring(path, ImportOptions(exchange="NSE", interval="1m"))
    assert [(each.series.symbol, each.rows) for each in found.series] == [
        ("M&M", 376),
        ("NIFTY 50", 375),
        ("a/b", 375),
    ]
    assert len(place.rows(symbol="a/b")) == 375
    assert place.rows(symbol="M&M").open[0] == 500  # of two rows with one time the later one stays


def test_a_whole_day_is_covered_and_a_part_of_one_stays_a_gap(place):
    wednesday, thursday = date(2024, 1, 3), date(2024, 1, 4)
    half, late = session(wednesday, last=200), session(thursday, first=3, last=372)
    place.bring(place.file(text(*session(TUESDAY), *half, *late)))
    assert place.store.coverage(MINUTES, TUESDAY, thursday) == {
        TUESDAY: DayState.FULL,
        thursday: DayState.FULL,
    }
    place.bring(
        place.file("date,open,high,low,close\n2024-01-02,1,2,1,2\n"), ImportOptions("NSE", "TCS", "D")
    )
    daily = place.store.coverage(Series("NSE", "TCS", "D"), TUESDAY, thursday)
    assert daily == {TUESDAY: DayState.FULL}


def test_writing_needs_the_pullers_lock_and_its_epoch(place):
    path = place.file(text(*session(TUESDAY)))
    held = lease.PullerLock(place.store.paths.lock)
    held.acquire()
    with pytest.raises(PullerBusy):
        place.bring(path)
    held.release()
    with place.writing() as old:
        pass
    now_s = int(NOW.timestamp())
    with place.writing(), pytest.raises(LeaseLost):
        run(place.store, path, SBIN, fence=old, calendar=CALENDAR, now_s=now_s)
    assert place.store.catalog() == []


# --- tasks


def test_a_task_waits_for_whoever_writes_and_is_done_once(place):
    uploaded = place.file(text(*session(TUESDAY)), "upload.csv")
    made = place.tasks.add_import(uploaded, SBIN, name="mine.csv", owned=True, requested_by="test")
    assert (made.state, place.tasks.waits()) == (TaskState.QUEUED, True)
    assert (place.work(), place.work()) == (1, 0)
    done = place.tasks.show(made.id)
    assert (done.state, done.rows_done, done.error) == (TaskState.DONE, 375, "")
    assert done.report is not None
    assert (done.report["file"], done.report["added"]) == ("mine.csv", 375)
    assert not uploaded.exists()
    assert not place.tasks.waits()


def test_a_task_that_fails_says_why_and_the_next_one_is_done(place):
    refused = place.tasks.add_import(place.file(text("x,1,1,1,1,1,0"), "bad.csv"), SBIN)
    gone = place.tasks.add_import(place.folder / "none.csv", SBIN)
    good = place.tasks.add_import(place.file(text(*session(TUESDAY))), SBIN)
    assert place.work() == 3
    states = [place.tasks.show(each.id) for each in (refused, gone, good)]
    assert [(t.state, t.code) for t in states] == [
        (TaskState.FAILED, "IMPORT_REFUSED"),
        (TaskState.FAILED, "INVALID_REQUEST"),
        (TaskState.DONE, ""),
    ]
    assert states[0].report is not None
    assert states[0].report["errors"][0]["line"] == 2
    assert "cannot be read" in states[1].error
    with pytest.raises(Conflict):
        place.tasks.cancel(good.id)
    with pytest.raises(NoSuch):
        place.tasks.show(99)


def test_a_task_another_process_died_over_is_begun_again(place):
    made = place.tasks.add_import(place.file(text(*session(TUESDAY))), SBIN)
    with place.writing() as fence:
        assert place.tasks.claim(fence.epoch) is not None
        assert place.tasks.claim(fence.epoch) is None
    assert place.tasks.waits()
    assert place.work() == 1
    assert place.tasks.show(made.id).state is TaskState.DONE


def test_a_task_that_is_cancelled_while_it_runs_ends_there(place, monkeypatch):
    monkeypatch.setattr("historify.portable.importing.BATCH_ROWS", 1)
    lines = [line for day in (2, 3, 4) for line in session(date(2024, 1, day))] * 30
    made = place.tasks.add_import(place.file(text(*lines)), SBIN)
    beats = []

    def beat() -> None:
        beats.append(1)
        place.tasks.cancel(made.id)

    with place.writing() as fence:
        claimed = place.tasks.claim(fence.epoch)
        assert isinstance(claimed, Task)
        perform(
            claimed, place.tasks, place.store, fence=fence, calendar=CALENDAR, clock=place.clock, beat=beat
        )
    assert len(beats) == 1
    assert place.tasks.show(made.id).state is TaskState.CANCELLED


def test_days_and_whole_series_are_deleted(place):
    place.bring(place.file(text(*session(TUESDAY), *session(date(2024, 1, 3)))))
    place.tasks.add_delete([MINUTES], start=TUESDAY, end=TUESDAY)
    place.work()
    assert len(place.rows()) == 375
    assert place.store.coverage(MINUTES, TUESDAY, TUESDAY) == {}
    made = place.tasks.add_delete([MINUTES])
    place.work()
    assert place.store.catalog() == []
    assert place.tasks.show(made.id).rows_done == 375
    with pytest.raises(InvalidRequest, match="after end"):
        place.tasks.add_delete([MINUTES], start=date(2024, 1, 3), end=TUESDAY)
    with pytest.raises(InvalidRequest, match="nothing to delete"):
        place.tasks.add_delete([])


# --- out


def request(interval: str = "1m", symbol: str = "SBIN") -> BarRequest:
    return BarRequest("NSE", symbol, interval, date(2023, 12, 1), date(2024, 12, 31))


@pytest.mark.parametrize("form", [Format.CSV, Format.PARQUET])
def test_what_is_exported_can_be_imported_elsewhere(place, form):
    two_years = [*session(date(2023, 12, 29)), *session(TUESDAY)]
    place.bring(place.file(text(*two_years)))
    before = place.rows()
    path = place.folder / f"out.{form.suffix}"
    assert exporting.write(place.store, [request()], path, form) == 750
    place.tasks.add_delete([MINUTES])
    place.work()
    found = place.bring(path, ImportOptions())
    assert (found.added, found.bad) == (750, 0)
    assert place.rows() == before
    assert list(path.parent.glob(".*part")) == []


@pytest.mark.parametrize("form", list(Format))
def test_a_stream_has_the_bytes_of_the_file(place, form, monkeypatch):
    monkeypatch.setattr(exporting, "CHUNK_BYTES", 1000)
    place.bring(place.file(text(*session(date(2023, 12, 29)), *session(TUESDAY))))
    path = place.folder / "out"
    exporting.write(place.store, [request(), request("D"), request("15m")], path, form)
    parts = list(exporting.stream(place.store, [request(), request("D"), request("15m")], form))
    assert len(parts) > 1
    if form.suffix == "zip":
        ours, streamed = zipfile.ZipFile(path), zipfile.ZipFile(io.BytesIO(b"".join(parts)))
        assert (
            ours.namelist()
            == streamed.namelist()
            == [
                f"NSE_SBIN_{interval}.{'txt' if form is Format.ZIP_TXT else 'csv'}"
                for interval in ("1m", "D", "15m")
            ]
        )
        assert all(ours.read(name) == streamed.read(name) for name in ours.namelist())
    else:
        assert b"".join(parts) == path.read_bytes()


def test_computed_intervals_are_honoured_in_every_format(place):
    place.bring(place.file(text(*session(TUESDAY))))
    known = place.store.get(request("15m"))
    table, lines = place.folder / "out.parquet", place.folder / "out.txt"
    assert exporting.write(place.store, [request("15m")], table, Format.PARQUET) == 25
    found = pq.read_table(table)
    assert found.column("close").to_pylist() == list(known.close)
    assert set(found.column("interval").to_pylist()) == {"15m"}
    assert pq.ParquetFile(table).metadata.row_group(0).column(3).compression == "ZSTD"
    exporting.write(place.store, [request("15m")], lines, Format.TXT)
    first = lines.read_text().splitlines()[0]
    assert first == f"NSE:SBIN,2024-01-02,09:15:00,100.0,102.4,99.0,101.9,{sum(range(15))}"


def test_names_that_no_file_system_takes_are_encoded(place):
    names = {exporting.file_name(request(symbol=s), "csv") for s in ("A/B", "A%2FB", "M&M", "NIFTY 50")}
    assert names == {"NSE_A%2FB_1m.csv", "NSE_A%252FB_1m.csv", "NSE_M%26M_1m.csv", "NSE_NIFTY 50_1m.csv"}


def test_an_export_that_fails_leaves_no_file_and_the_old_one_alone(place):
    place.bring(place.file(text(*session(TUESDAY))))
    path = place.folder / "out.csv"
    path.write_text("mine")
    with pytest.raises(WrongInterval):
        exporting.write(place.store, [request(), request("7m")], path, Format.CSV)
    assert path.read_text() == "mine"
    with pytest.raises(StoreFull, match="cannot be written"):
        exporting.write(place.store, [request()], place.folder / "no" / "out.csv", Format.CSV)
    with pytest.raises(InvalidRequest, match="expected a name that ends in"):
        exporting.format_of(Path("out.xlsx"))


def test_a_table_for_notebooks(place):
    place.bring(place.file(text(*session(TUESDAY))))
    face = place.store.paths.face
    table = frames.frame(face, "NSE", "SBIN", "1h", "2024-01-01", "2024-01-31", kind="arrow")
    assert table.column_names == list(exporting.COLUMNS)
    assert table.column("open").to_pylist() == list(place.store.get(request("1h")).open)
    with pytest.raises(InvalidRequest, match="kind is 'excel'"):
        frames.frame(face, "NSE", "SBIN", "1h", "2024-01-01", "2024-01-31", kind="excel")
    with pytest.raises(InvalidRequest, match="is after end"):
        frames.frame(face, "NSE", "SBIN", "1h", "2024-02-01", "2024-01-31", kind="arrow")
    with pytest.raises(InvalidRequest, match="start is 'soon'"):
        frames.frame(face, "NSE", "SBIN", "1h", "soon", "2024-01-31", kind="arrow")


def test_a_library_that_is_missing_says_how_to_get_it(place, monkeypatch):
    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(frames.importlib, "import_module", missing)
    with pytest.raises(NotSupported, match="pip install polars"):
        frames.frame(place.store, "NSE", "SBIN", "1m", "2024-01-01", "2024-01-31", kind="polars")
