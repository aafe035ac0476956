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
from supervisor import archive
from supervisor.archive import ArchiveError

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
