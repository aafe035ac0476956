"""API keys: shown once, kept as a hash, dead within a second of their revocation in every process."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from brokers.clock import ManualClock
from brokers.errors import StoreError
from brokers.model import Venue
from brokers.secret import Secret
from gateway.keys import Keys
from gateway.store import engine

PEPPER = Secret("p" * 32)


@pytest.fixture
def clock():
    return ManualClock(datetime(2026, 11, 20, 3, tzinfo=UTC))


@pytest.fixture
def database(tmp_path):
    database = engine.open(tmp_path / "one.db", Venue.SIM)
    yield database
    database.close()


@pytest.fixture
def keys(database, clock):
    return Keys(database, PEPPER, clock)


def test_a_key_is_256_bits_and_works(keys):
    key_id, key = keys.create("strategy one")
    assert re.fullmatch(r"[0-9a-f]{64}", key.reveal())
    row = keys.verify(key.reveal())
    assert (row.id, row.label, row.revoked_at) == (key_id, "strategy one", None)
    assert keys.create("two")[1] != key


@pytest.mark.parametrize("wrong", ["", "x", "0" * 64])
def test_anything_else_is_refused(keys, wrong):
    keys.create("one")
    assert keys.verify(wrong) is None


def test_the_same_key_under_another_pepper_is_refused(keys, database, clock):
    _, key = keys.create("one")
    assert Keys(database, Secret("q" * 32), clock).verify(key.reveal()) is None


def test_the_text_of_a_key_is_nowhere_in_the_file(keys, database):
    _, key = keys.create("one")
    keys.verify(key.reveal())
    database.close()
    for file in database.path.parent.iterdir():
        assert key.reveal().encode() not in file.read_bytes()
        assert bytes.fromhex(key.reveal()) not in file.read_bytes()


def test_a_revoked_key_is_dead_here_at_once_and_elsewhere_within_a_second(keys, database, clock):
    key_id, key = keys.create("one")
    elsewhere = Keys(engine.open(database.path, Venue.SIM, read_only=True), PEPPER, clock)
    assert keys.verify(key.reveal()) is not None
    assert elsewhere.verify(key.reveal()) is not None
    assert keys.revoke(key_id)
    assert keys.verify(key.reveal()) is None
    clock.advance(0.99)
    assert elsewhere.verify(key.reveal()) is None


def test_a_good_key_is_not_looked_up_again_at_once(keys, database, clock, monkeypatch):
    _, key = keys.create("one")
    keys.verify(key.reveal())
    monkeypatch.setattr(database, "read", lambda: pytest.fail("asked the database again"))
    assert keys.verify(key.reveal()) is not None


def test_revoking_twice_or_nothing_says_no(keys):
    key_id, _ = keys.create("one")
    assert keys.revoke(key_id)
    assert not keys.revoke(key_id)
    assert not keys.revoke(99)


def test_the_list_shows_labels_and_revocations(keys, clock):
    first, _ = keys.create("one")
    clock.advance(60)
    keys.create("two")
    keys.revoke(first)
    assert [(r.label, r.revoked_at) for r in keys.list()] == [("one", clock.now()), ("two", None)]


def test_a_read_only_database_verifies_but_makes_no_keys(keys, database, clock):
    _, key = keys.create("one")
    reader = Keys(engine.open(database.path, Venue.SIM, read_only=True), PEPPER, clock)
    assert reader.verify(key.reveal()) is not None
    with pytest.raises(StoreError, match="read-only"):
        reader.create("two")
