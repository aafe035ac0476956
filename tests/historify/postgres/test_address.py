from __future__ import annotations

import psycopg
import pytest

from brokers.errors import SettingsError
from historify.errors import StoreBusy, StoreDamaged, StoreError, StoreFull
from historify.postgres.address import parse
from historify.postgres.trouble import translated

URL = "postgresql://algo:p%2Fw%40rd@db.example:6432/candles"


def test_our_own_parameters_never_reach_the_driver():
    address = parse(f"{URL}?schema=bars&sslmode=require&retain_days=30&compress_after_days=7")
    assert (address.schema, address.retain_days, address.compress_after_days) == ("bars", 30, 7)
    assert address.conninfo == f"{URL}?sslmode=require"


def test_defaults_keep_everything():
    address = parse(URL)
    assert (address.schema, address.retain_days, address.compress_after_days) == ("historify", None, 90)


@pytest.mark.parametrize("said", ["bad p/w@rd!", "bad p%2Fw%40rd!", "line\n  two p/w@rd"])
def test_the_password_is_never_shown(said):
    address = parse(URL)
    shown = [address.redacted(said), address.shown, repr(address)]
    assert not any("w@rd" in text or "w%40rd" in text for text in shown)
    assert address.shown == "postgresql://algo:***@db.example:6432/candles"


def test_a_url_without_a_password_is_shown_as_it_is():
    assert parse("postgresql:///candles?host=/run/pg").shown == "postgresql:///run/pg/candles"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://algo:p/w@rd@host/db",
        "postgresql://algo:1/w@rd@host/db",
        "postgresql://algo:secret@host:port/db",
        "postgresql://algo:secret@host/db?nonsense=1",
        "postgresql://algo:secret@host/db?retain_days=soon",
        "postgresql://algo:secret@host/db?retain_days=0",
        'postgresql://algo:secret@host/db?schema=a"b',
        "postgresql://algo:secret@[::1/db",
    ],
)
def test_a_url_that_cannot_be_read_is_a_setting_that_is_wrong(url):
    with pytest.raises(SettingsError, match="HISTORIFY_DATABASE_URL") as caught:
        parse(url)
    assert "secret" not in str(caught.value)
    assert "w@rd" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "ours", "words"),
    [
        (psycopg.errors.DiskFull, StoreFull, "disk is full"),
        (psycopg.errors.InsufficientPrivilege, StoreFull, "no right"),
        (psycopg.errors.ReadOnlySqlTransaction, StoreFull, "read-only"),
        (psycopg.errors.DataCorrupted, StoreDamaged, "damaged"),
        (psycopg.errors.QueryCanceled, StoreBusy, "longer than"),
        (psycopg.errors.LockNotAvailable, StoreBusy, "try again"),
        (psycopg.errors.AdminShutdown, StoreBusy, "try again"),
        (psycopg.errors.TooManyConnections, StoreBusy, "try again"),
        (psycopg.errors.DeadlockDetected, StoreBusy, "try again"),
        (psycopg.OperationalError, StoreBusy, "cannot be reached"),
        (psycopg.errors.UndefinedTable, StoreError, "42P01"),
    ],
)
def test_the_servers_words_become_ours_without_the_password(error, ours, words):
    with pytest.raises(ours, match=words) as caught, translated(parse(URL), "reading NSE:SBIN 1m"):
        raise error("something about p/w@rd")
    assert type(caught.value) is ours
    assert "reading NSE:SBIN 1m" in str(caught.value)
    assert "p/w@rd" not in str(caught.value)
    assert caught.value.__suppress_context__
