"""The market-data store in the env file: where it is, who fills it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from brokers.errors import SettingsError
from brokers.model import Venue
from gateway.settings import Settings, load
from gateway.settings.store import EXAMPLE, StoreRules
from tests.gateway.settings.test_instance import GOOD, write


def read(home: Path, *lines: str, venue: Venue = Venue.LIVE) -> Settings:
    write(home, "dhan", GOOD + "\n".join(lines) + "\n")
    return load(home, "dhan", venue)


def test_without_a_word_it_is_the_file_all_instances_share(tmp_path: Path) -> None:
    one = read(tmp_path)
    assert one.store == StoreRules(str(tmp_path / "db" / "historify.duckdb"))
    assert one.databases.historify == tmp_path / "db" / "historify.duckdb"
    assert one.store.url == str(tmp_path / "db" / "historify.duckdb")


def test_the_example_is_what_holds_anyway(tmp_path: Path) -> None:
    lines = [re.split(r"\s+#", line)[0] for line in re.findall(r"^# ([A-Z_]+=.*)$", EXAMPLE, re.MULTILINE)]
    assert len(lines) == 6
    assert read(tmp_path, *lines).store == read(tmp_path).store


@pytest.mark.parametrize("name", ["HISTORIFY_DATABASE_URL", "HISTORIFY_DATABASE_PATH"])
@pytest.mark.parametrize("form", ["{}", "'{}'", '"{}"', "duckdb:///{}", "'duckdb:///{}'"])
def test_both_names_and_every_way_people_write_them(tmp_path: Path, name: str, form: str) -> None:
    one = read(tmp_path, f"{name}={form.format('data/mine.duckdb')}")
    assert one.databases.historify == tmp_path / "data" / "mine.duckdb"


def test_two_names_that_disagree_are_refused_with_both_lines(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"line 7: .*line 6"):
        read(tmp_path, "HISTORIFY_DATABASE_URL=db/a.duckdb", "HISTORIFY_DATABASE_PATH=db/b.duckdb")
    same = read(tmp_path, "HISTORIFY_DATABASE_URL=db/a.duckdb", "HISTORIFY_DATABASE_PATH=db/a.duckdb")
    assert same.databases.historify == tmp_path / "db" / "a.duckdb"


def test_a_server_keeps_its_password_out_of_what_is_printed(tmp_path: Path) -> None:
    one = read(tmp_path, "HISTORIFY_DATABASE_URL=postgresql://me:hush@db/bars")
    assert one.store.url == "postgresql://me:hush@db/bars"
    assert one.databases.historify == tmp_path / "db" / "historify.duckdb"
    assert "hush" not in repr(one)


def test_a_simulated_run_stays_below_its_own_folder(tmp_path: Path) -> None:
    for text in ("postgresql://me:hush@db/bars", "/elsewhere/live.duckdb", "db/historify.duckdb"):
        one = read(tmp_path, f"HISTORIFY_DATABASE_URL={text}", venue=Venue.SIM)
        assert one.store.url == str(tmp_path / "db" / "sim" / "historify.duckdb")


def test_who_fills_it(tmp_path: Path) -> None:
    one = read(tmp_path, "HISTORIFY_PULLER=dhan, kotak", "HISTORIFY_ROLE=reader", "HISTORIFY_PORT=6051")
    assert (one.store.pullers, one.store.role, one.store.port) == (("dhan", "kotak"), "reader", 6051)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("HISTORIFY_PULLER=Dhan!", "line 6: HISTORIFY_PULLER names 'Dhan!'"),
        ("HISTORIFY_ROLE=both", "line 6: HISTORIFY_ROLE is both, expected one of auto, puller, reader"),
        ("HISTORIFY_PUBLISH_SECONDS=0", "line 6: HISTORIFY_PUBLISH_SECONDS is 0"),
        ("HISTORIFY_DATABASE_URL=mysql://h/db", "line 6: HISTORIFY_DATABASE_URL is mysql://"),
        ("HISTORIFY_PORT=x", "line 6: HISTORIFY_PORT is x"),
        ("CONSOLE_PORT=0", "line 6: CONSOLE_PORT is 0"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        read(tmp_path, line)
