"""Backups: whole while written to, refused when torn, and nothing is lost by a restore."""

from __future__ import annotations

import io
import sqlite3
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

from brokers.secret import Secret
from historify.control import Control
from supervisor.operations import archive
from supervisor.operations.archive import ArchiveError

WORD = Secret("correct horse")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two files and a database of 3,000 rows that must sum to their count."""
    one = tmp_path / "home"
    (one / "instances").mkdir(parents=True)
    (one / "db" / "run").mkdir(parents=True)
    (one / "instances" / "dhan.env").write_text("APP_KEY=x\n")
    (one / "db" / "run" / "panic.json").write_text("{}")
    with closing(sqlite3.connect(one / "db" / "openalgo_dhan.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("create table pairs (a integer, b integer, filler text)")
        connection.executemany(
            "insert into pairs values (?, ?, ?)", [(i, -i, "x" * 500) for i in range(3000)]
        )
        connection.commit()
    return one


def sums(path: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as connection:
        count, total = connection.execute("select count(*), sum(a + b) from pairs").fetchone()
    return int(count), int(total)


@pytest.mark.parametrize("word", [None, WORD], ids=["plain", "encrypted"])
def test_there_and_back(home: Path, tmp_path: Path, word: Secret | None) -> None:
    target = tmp_path / "b"
    entries = archive.write(home, [], target, word)
    names = ["db/openalgo_dhan.db", "db/run/panic.json", "instances/dhan.env"]
    assert [e.name for e in entries] == names
    assert target.stat().st_mode & 0o777 == 0o600
    assert (b"APP_KEY" in target.read_bytes()) is False
    fresh = tmp_path / "fresh"
    restored, aside = archive.restore(target, fresh, word)
    assert (restored, aside) == (names, None)
    assert (fresh / "instances" / "dhan.env").read_text() == "APP_KEY=x\n"
    assert (fresh / "instances" / "dhan.env").stat().st_mode & 0o777 == 0o600
    assert sums(fresh / "db" / "openalgo_dhan.db") == (3000, 0)


def test_a_copy_made_while_rows_are_written_is_whole(home: Path, tmp_path: Path) -> None:
    path, stop = home / "db" / "openalgo_dhan.db", threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            number = 10_000
            while not stop.is_set():
                number += 1
                connection.execute("insert into pairs values (?, ?, '')", (number, 0))
                connection.execute("insert into pairs values (0, ?, '')", (-number,))
                connection.commit()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        archive.write(home, [], tmp_path / "b", None)
    finally:
        stop.set()
        thread.join()
    archive.restore(tmp_path / "b", tmp_path / "fresh", None)
    count, total = sums(tmp_path / "fresh" / "db" / "openalgo_dhan.db")
    assert total == 0, "half of a pair is in the copy"
    assert count >= 3000


def test_what_was_there_is_kept_aside(home: Path, tmp_path: Path) -> None:
    archive.write(home, [], tmp_path / "b", None)
    (home / "instances" / "dhan.env").write_text("APP_KEY=newer\n")
    Path(f"{home}/db/openalgo_dhan.db-wal").write_bytes(b"committed orders")
    _, aside = archive.restore(tmp_path / "b", home, None)
    assert aside is not None
    assert (aside / "instances" / "dhan.env").read_text() == "APP_KEY=newer\n"
    assert (aside / "db" / "openalgo_dhan.db-wal").read_bytes() == b"committed orders"
    assert (home / "instances" / "dhan.env").read_text() == "APP_KEY=x\n"
    assert not Path(f"{home}/db/openalgo_dhan.db-wal").exists()


def test_a_database_elsewhere_goes_back_to_its_place(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "other disk" / "orders.db"
    elsewhere.parent.mkdir()
    (home / "db" / "openalgo_dhan.db").rename(elsewhere)
    archive.write(home, [elsewhere], tmp_path / "b", None)
    elsewhere.unlink()
    archive.restore(tmp_path / "b", home, None)
    assert sums(elsewhere) == (3000, 0)


@pytest.mark.parametrize("word", [None, WORD], ids=["plain", "encrypted"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_file_restores_nothing(home: Path, tmp_path: Path, word: Secret | None, share: float) -> None:
    archive.write(home, [], tmp_path / "b", word)
    raw = (tmp_path / "b").read_bytes()
    (tmp_path / "b").write_bytes(raw[: int(len(raw) * share)])
    before = {p: p.read_bytes() for p in home.rglob("*") if p.is_file()}
    with pytest.raises(ArchiveError):
        archive.restore(tmp_path / "b", home, word)
    assert {p: p.read_bytes() for p in home.rglob("*") if p.is_file()} == before


def test_a_wrong_passphrase_opens_nothing(home: Path, tmp_path: Path) -> None:
    archive.write(home, [], tmp_path / "b", WORD)
    with pytest.raises(ArchiveError, match="passphrase"):
        archive.restore(tmp_path / "b", tmp_path / "fresh", Secret("wrong"))
    with pytest.raises(ArchiveError, match="encrypted"):
        archive.restore(tmp_path / "b", tmp_path / "fresh", None)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "elsewhere/root/.profile"])
def test_a_file_that_would_leave_the_home_is_refused(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "b", "w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(ArchiveError, match="refused"):
        archive.restore(tmp_path / "b", tmp_path / "fresh", None)


def test_a_changed_file_restores_nothing(home: Path, tmp_path: Path) -> None:
    """The archive itself is valid; only the manifest's sum does not fit."""
    archive.write(home, [], tmp_path / "b", None)
    with tarfile.open(tmp_path / "b") as source, tarfile.open(tmp_path / "c", "w:gz") as goal:
        for member in source:
            raw = source.extractfile(member).read()  # type: ignore[union-attr]
            raw = b"APP_KEY=y\n" if member.name.endswith(".env") else raw
            member.size = len(raw)
            goal.addfile(member, io.BytesIO(raw))
    with pytest.raises(ArchiveError, match="torn or was changed"):
        archive.restore(tmp_path / "c", tmp_path / "fresh", None)
    assert not (tmp_path / "fresh" / "instances").exists()


def publish(control: Control, number: int) -> None:
    """A new segment takes the place of the old one, whose file goes at once: harsher than the store is."""
    folder = control.path.parent
    path = f"bars/{number}.parquet"
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text(f"bars of {path}")
    row = ("SBIN", "NSE", "1m", 0, 9, "2026-11", path, 1, 1, 0, 1, number, 0)
    with control.transaction() as tx:
        gone = [str(found[0]) for found in tx.execute("SELECT path FROM segment")]
        tx.execute(f"INSERT OR REPLACE INTO segment VALUES ({','.join('?' * len(row))})", row)
    for old in gone:
        (folder / old).unlink(missing_ok=True)


def listed(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "control.db")) as connection:
        return [str(row[0]) for row in connection.execute("SELECT path FROM segment")]


def test_the_market_data_store_is_whole_while_it_is_filled(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment goes between the manifest's copy and its own, and later another after it was taken."""
    root = home / "db" / "historify.d"
    control, took = Control(root / "control.db"), archive._take
    publish(control, 0)
    moves = iter(("before", "after"))

    def take(path: Path, goal: Path) -> None:
        move = next(moves)
        if move == "before":
            publish(control, 1)
        took(path, goal)
        if move == "after":
            publish(control, 2)

    monkeypatch.setattr(archive, "_take", take)
    entries = archive.write(home, [], tmp_path / "b", None, [root, home / "db" / "sim" / "historify.d"])
    control.close()
    assert [e.name for e in entries if e.name.endswith(".parquet")] == ["db/historify.d/bars/1.parquet"]
    fresh = tmp_path / "fresh"
    archive.restore(tmp_path / "b", fresh, None)
    assert listed(fresh / "db" / "historify.d") == ["bars/1.parquet"]
    assert (fresh / "db" / "historify.d" / "bars" / "1.parquet").read_text() == "bars of bars/1.parquet"


def test_a_store_is_put_back_whole_and_the_present_one_kept(home: Path, tmp_path: Path) -> None:
    root, face = home / "db" / "historify.d", home / "db" / "historify.duckdb"
    control = Control(root / "control.db")
    publish(control, 1)
    archive.write(home, [], tmp_path / "b", None, [root])
    publish(control, 2)
    face.write_text("names 2.parquet")
    control.close()
    _, aside = archive.restore(tmp_path / "b", home, None)
    assert aside is not None
    assert [p.name for p in (root / "bars").iterdir()] == ["1.parquet"]
    assert listed(root) == ["bars/1.parquet"]
    assert not face.exists(), "it would show files that are not there"
    assert listed(aside / "db" / "historify.d") == ["bars/2.parquet"]
    assert (aside / "db" / "historify.duckdb").exists()


def test_a_segment_that_is_missing_is_said(home: Path, tmp_path: Path) -> None:
    root = home / "db" / "historify.d"
    publish(control := Control(root / "control.db"), 1)
    (root / "bars" / "1.parquet").unlink()
    control.close()
    with pytest.raises(ArchiveError, match=r"1\.parquet is missing; see: algo history verify"):
        archive.write(home, [], tmp_path / "b", None, [root])
    assert not (tmp_path / "b").exists()
