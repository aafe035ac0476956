"""``algo history`` while nothing runs: reading, importing under the lock, clear words for what is bad."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

from brokers.calendar import FileCalendar
from brokers.clock import IST, SystemClock
from brokers.errors import AlgoError
from historify import lease
from historify.control import Control
from historify.model import BarRequest
from historify.portable.tasks import Tasks, work
from historify.segments import safety
from historify.store import SegmentStore, store_paths
from supervisor.cli import algo

OPENS = int(datetime(2024, 1, 2, 9, 15, tzinfo=IST).timestamp())


def rows(count: int) -> str:
    lines = [f"{OPENS + 60 * n},100,101,99,100.5,{n}" for n in range(count)]
    return "\n".join(["timestamp,open,high,low,close,volume", *lines]) + "\n"


class Home:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.face = folder / "db" / "historify.duckdb"
        (folder / "instances").mkdir()
        self.csv = folder / "bars.csv"
        self.csv.write_text(rows(375))

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(algo, ["--home", str(self.folder), "history", *words], prog_name="algo")

    def plain(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout)

    def refused(self, *words: str) -> str:
        """The one line a person sees; every error is of ours or click's."""
        done = self.run(*words)
        assert done.exit_code != 0
        if isinstance(done.exception, SystemExit):
            return done.output
        assert isinstance(done.exception, AlgoError), done.exception
        return f"{done.exception.code}: {done.exception}"

    def take(self, *more: str) -> Any:
        return self.plain(
            "import", str(self.csv), "--exchange", "NSE", "--symbol", "M&M", "--interval", "1m", *more
        )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_file_becomes_a_chart_and_a_file_again(home: Home) -> None:
    dry = home.take("--dry-run")
    assert (dry["rows"], dry["bad"], dry["imported"]) == (375, 0, False)
    assert home.plain("catalog") == []
    assert home.take()["added"] == 375
    # no puller runs, perhaps none ever does: the file people open shows it all the same
    with duckdb.connect(str(home.face), read_only=True) as face:
        assert face.execute("SELECT count(*) FROM market_data").fetchall() == [(375,)]
    assert home.take()["added"] == 0
    (row,) = home.plain("catalog", "--exchange", "nse")
    assert (row["symbol"], row["rows"], row["first_date"], row["source"]) == (
        "M&M",
        375,
        "2024-01-02",
        "import",
    )
    out = home.folder / "out.csv"
    assert home.plain("export", str(out), "--symbols", "M&M", "--interval", "15m")["rows"] == 25
    assert out.read_text().splitlines()[1].startswith("M&M,NSE,15m,")
    status = home.plain("status")
    assert (status["store"]["rows"], status["puller"]["running"]) == (375, False)
    assert status["lease"]["state"] == "released"
    assert home.plain("coverage", "M&M", "--from", "2024-01-02", "--to", "2024-01-03")["gaps"] == [
        {"start_date": "2024-01-03", "end_date": "2024-01-03"}
    ]
    named = home.plain("coverage", "nse:M&M", "--from", "2024-01-02", "--to", "2024-01-02")
    assert named["gaps"] == []
    assert home.run("coverage", "M&M,SBIN", "--from", "2024-01-02").exit_code == 2
    assert home.plain("delete", "--symbols", "M&M", "--yes")["rows_done"] == 375
    assert home.plain("catalog") == []


def test_sql_and_pack(home: Home) -> None:
    home.take()
    found = home.plain("sql", "SELECT symbol, count(*) AS n FROM market_data GROUP BY symbol")
    assert found["rows"] == [{"symbol": "M&M", "n": 375}]
    assert home.run("sql", "--csv", "SELECT close FROM bars_1m LIMIT 1").stdout == "close\n100.5\n"
    target = home.folder / "packed.duckdb"
    assert home.plain("pack", str(target))["rows"] == 375
    with duckdb.connect(str(target), read_only=True) as packed:
        assert packed.execute("SELECT count(*) FROM market_data").fetchall() == [(375,)]
    assert "SQL_REFUSED" in home.refused("sql", "COPY market_data TO 'x.csv'")
    wide = ", ".join(f"{1234567890123 + n} AS column_{n}" for n in range(12))
    assert home.run("sql", f"SELECT {wide}").stdout.split().count("1234567890134") == 1, (
        "no figure is cut off"
    )
    assert "exists" in home.refused("pack", str(target))


def test_where_a_puller_has_the_lock_it_is_handed_the_import(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = store_paths(home.face)
    held = lease.PullerLock(paths.lock)
    held.acquire()

    def puller(_: float) -> None:
        """What a running puller does while the command waits."""
        held.release()
        control = Control(paths.control)
        with lease.writing(control, paths.lock, "puller", SystemClock()) as fence:
            store = SegmentStore(paths, calendar=FileCalendar())
            tasks = Tasks(control, SystemClock())
            work(tasks, store, fence=fence, calendar=FileCalendar(), clock=SystemClock())
            store.close()
        control.close()

    monkeypatch.setattr("supervisor.commands.history.writing.time.sleep", puller)
    done = home.run("import", str(home.csv), "--exchange", "NSE", "--symbol", "X", "--interval", "1m")
    assert done.exit_code == 0, done.output
    assert "the running puller does it (import 1)" in done.output
    assert "375 added" in done.output


def test_jobs_lists_and_schedules(home: Home) -> None:
    assert home.plain("watchlist", "add", "bank", "SBIN,NSE_INDEX:NIFTY 50")["added"] == 2
    members = home.folder / "members.csv"
    members.write_text('Company Name,Symbol,ISIN\n"A Ltd",HDFCBANK,1\n"B Ltd",M&M,2\n')
    assert home.plain("watchlist", "import", "bank", str(members))["symbols"] == 4
    assert {"exchange": "NSE_INDEX", "symbol": "NIFTY 50"} in home.plain("watchlist", "list", "bank")["keys"]
    days = ("--from", "2024-01-01", "--to", "2024-01-31")
    job = home.plain("pull", "--watchlist", "bank", *days)
    assert (job["state"], job["series"]) == ("queued", 8)
    assert home.plain("pull", "--watchlist", "bank", *days)["id"] == job["id"]
    for word, state in (
        ("pause", "paused"),
        ("resume", "queued"),
        ("cancel", "cancelled"),
        ("retry", "queued"),
    ):
        assert home.plain("jobs", word, str(job["id"]))["state"] == state
    assert len(home.plain("jobs", "show", str(job["id"]))["items"]) == 8
    assert [each["id"] for each in home.plain("jobs")["jobs"]] == [job["id"]]
    made = home.plain("schedule", "add", "nightly", "--watchlist", "bank", "--at", "18:30")
    assert (made["at"], made["next_at"] is not None) == ("18:30", True)
    assert home.plain("schedule", "run", "nightly")["job"] != job["id"]
    assert "pulls watchlist bank" in home.refused("watchlist", "remove", "bank")
    home.plain("schedule", "remove", "nightly")
    assert home.plain("watchlist", "remove", "bank", "SBIN")["removed"] == 1
    assert home.plain("watchlist", "remove", "bank")["removed"] == 3


def test_splits_make_the_adjusted_view(home: Home) -> None:
    home.csv.write_text(rows(1) + rows(1).splitlines()[1].replace(str(OPENS), str(OPENS + 86_400)))
    home.take()
    file = home.folder / "splits.csv"
    file.write_text(
        "exchange,symbol,ex_date,kind,ratio\nNSE,M&M,2024-01-03,split,10:5\nNSE,M&M,soon,split,1\n"
    )
    assert "1 bad lines; nothing was imported" in home.refused("actions", str(file))
    file.write_text("exchange,symbol,ex_date,kind,ratio\nNSE,M&M,2024-01-03,bonus,1:1\n")
    assert home.plain("actions", str(file)) == {"actions": 1}
    day = date(2024, 1, 2)
    store = SegmentStore(store_paths(home.face), calendar=FileCalendar())
    assert store.get(BarRequest("NSE", "M&M", "1m", day, day, adjusted=True)).close[0] == 50.25
    store.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pull", "--symbols", "X", "--from", "2025-03-01", "--to", "2025-02-01"), "is before the start"),
        (
            ("pull", "--symbols", "X", "--interval", "5m"),
            "WRONG_INTERVAL: interval 5m is not pulled but computed",
        ),
        (("pull", "--symbols", "X", "--exchange", "LSE"), "Not an exchange: LSE"),
        (("pull",), "one of --symbols, --watchlist, --csv, --option-chain"),
        (("pull", "--watchlist", "none"), "no watchlist 'none'"),
        (("pull", "--csv", "none.csv"), "cannot be read"),
        (("pull", "--option-chain", "NIFTY", "2026-11-26"), "there is no instance to ask"),
        (("pull", "--futures", "NIFTY"), "there is no instance to ask for futures of NIFTY"),
        (("watchlist", "chain", "nov", "NIFTY", "soon"), "the expiry is 'soon'"),
        (("watchlist", "chain", "nov", "NIFTY"), "there is no instance to ask"),
        (("jobs", "show", "9"), "no job 9"),
        (("import", "none.csv"), "cannot be read"),
        (("import", "{csv}"), "no column exchange, symbol, interval"),
        (("import", "{csv}", "--exchange", "NSE", "--symbol", "X", "--interval", "5m"), "is not kept"),
        (("import", "{csv}", "--exchange", "LSE", "--symbol", "X", "--interval", "D"), "IMPORT_REFUSED"),
        (("export", "o.csv", "--symbols", "NOPE"), "not stored at 1m: NSE:NOPE"),
        (("export", "o.xlsx"), "expected a name that ends in"),
        (("export", "o.csv", "--from", "2024-02-01", "--to", "2024-01-01"), "--from 2024-02-01 is after"),
        (("delete", "--symbols", "NOPE", "--yes"), "none of these is stored"),
        (("schedule", "add", "x", "--watchlist", "none", "--at", "18:30"), "no watchlist"),
        (("schedule", "add", "x", "--symbols", "A", "--at", "25:00"), "wrong at"),
        (("schedule", "add", "x", "--symbols", "A", "--at", "18:30", "--days", "fun"), "--days names fun"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else None,
)
def test_bad_input_says_what_is_wrong(home: Home, words: tuple[str, ...], said: str) -> None:
    text = home.refused(*(word.format(csv=home.csv) for word in words))
    assert said in " ".join(text.split()).replace("│ ", "")


def test_a_damaged_segment_and_a_damaged_manifest_are_errors_everywhere(home: Home) -> None:
    home.take()
    paths = store_paths(home.face)
    (segment,) = paths.bars.rglob("*.parquet")
    whole = segment.read_bytes()
    segment.chmod(0o600)
    segment.write_bytes(whole[:100])
    out = home.folder / "out.csv"
    assert home.refused("export", str(out), "--symbols", "M&M").startswith("STORE_DAMAGED")
    assert home.refused("sql", "SELECT * FROM market_data").startswith("STORE_DAMAGED")
    assert home.refused("pack", str(home.folder / "p.duckdb")).startswith("STORE_DAMAGED")
    assert not out.exists()
    segment.write_bytes(whole)
    assert home.plain("export", str(out), "--symbols", "M&M")["rows"] == 375
    for left in paths.root.glob("control.db*"):
        left.unlink()
    paths.control.write_bytes(b"no database at all" * 100)
    assert home.refused("catalog").startswith("STORE_DAMAGED")
    assert home.refused("jobs").startswith("STORE_DAMAGED")


def test_somebody_elses_file_at_the_stores_path_is_named_and_left_alone(home: Home) -> None:
    home.face.parent.mkdir()
    for content, said in ((b"a letter to my aunt", "it is no DuckDB file"), (None, "it holds notes")):
        if content is not None:
            home.face.write_bytes(content)
        else:
            home.face.unlink()
            with duckdb.connect(str(home.face)) as other:
                other.execute("CREATE TABLE notes(text VARCHAR)")
        before = home.face.read_bytes()
        for words in (
            ("catalog",),
            ("import", str(home.csv), "--exchange", "NSE", "--symbol", "X", "--interval", "1m"),
        ):
            refused = home.refused(*words)
            assert refused.startswith("STORE_FOREIGN"), refused
            assert said in refused
        assert home.face.read_bytes() == before


def test_an_openalgo_file_is_taken_over_and_until_then_an_error(home: Home) -> None:
    home.face.parent.mkdir()
    with duckdb.connect(str(home.face)) as old:
        old.execute(
            "CREATE TABLE market_data(symbol VARCHAR, exchange VARCHAR, interval VARCHAR, timestamp BIGINT, "
            "open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume BIGINT, oi BIGINT)"
        )
        old.execute(f"INSERT INTO market_data VALUES ('SBIN', 'NSE', '1m', {OPENS}, 1, 2, 1, 2, 5, 0)")
    assert "algo history migrate" in home.refused("catalog")
    assert home.plain("migrate")["rows"] == 1
    assert [row["symbol"] for row in home.plain("catalog")] == ["SBIN"]
    assert home.plain("migrate") is None


def test_a_network_drive_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safety, "_mounted", lambda: [("/", "ext4"), (str(home.folder), "cifs")])
    taken = ("import", str(home.csv), "--exchange", "NSE", "--symbol", "X", "--interval", "1m")
    for words in (("catalog",), ("jobs",), ("pull", "--symbols", "SBIN"), ("sql", "SELECT 1"), taken):
        assert "STORE_UNSAFE_FOLDER" in home.refused(*words)
    assert not home.face.with_suffix(".d").exists()


SMALL_DISK = """
import sys
from pathlib import Path
from click.testing import CliRunner
from supervisor.cli import algo

def run(*words):
    done = CliRunner().invoke(algo, ["--home", sys.argv[1], "history", *words], prog_name="algo")
    return done.exit_code, f"{getattr(done.exception, 'code', '')} {done.exception} {done.output}"

home = Path(sys.argv[1])
(home / "instances").mkdir()
take = ("import", sys.argv[2], "--exchange", "NSE", "--symbol", "M&M", "--interval", "1m")
assert run("catalog")[0] == 0
ballast = home / "ballast"
with ballast.open("wb", buffering=0) as full:
    try:
        while full.write(bytes(4096)):
            pass
    except OSError:
        pass
code, said = run(*take)
assert code != 0 and "STORE_FULL" in said, ("full", code, said)
ballast.unlink()
code, said = run(*take)
assert code == 0 and "375" in said, ("room", code, said)
import subprocess
subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
code, said = run(*take)
assert code != 0 and "STORE_FULL" in said, ("read-only", code, said)
subprocess.run(["mount", "-o", "remount,rw", str(home)], check=True)
code, said = run("export", sys.argv[3], "--symbols", "M&M")
assert code == 0 and "375 rows" in said, ("again", code, said)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mount")
def test_a_full_and_a_read_only_disk_are_named_and_lose_nothing(home: Home, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        f"mount -t tmpfs -o size=6m small {disk}"
        f' && exec {sys.executable} -c "$0" {disk} {home.csv} {tmp_path}/out.csv'
    )
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, SMALL_DISK], capture_output=True, text=True, timeout=60
    )
    if "unshare failed" in ran.stderr or "permission denied" in ran.stderr:
        pytest.skip("this container may not mount")
    assert ran.returncode == 0, ran.stderr
