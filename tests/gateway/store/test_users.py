"""The owner account."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from brokers.clock import ManualClock
from brokers.errors import InvalidRequest
from brokers.model import Venue
from gateway.store import engine
from gateway.store.users import User, Users


@pytest.fixture
def users(tmp_path):
    database = engine.open(tmp_path / "one.db", Venue.SIM)
    yield Users(database, ManualClock(datetime(2026, 11, 20, tzinfo=UTC)))
    database.close()


def test_the_owner_signs_in_with_the_right_password_only(users):
    assert not users.exists()
    owner = users.create("asha", "correct horse")
    assert users.exists()
    assert users.verify("asha", "correct horse") == owner == users.get(owner.id) == User(owner.id, "asha")
    assert users.verify("asha", "wrong horse") is None
    assert users.verify("nobody", "nobody has this password") is None


def test_a_name_is_taken_once(users):
    users.create("asha", "correct horse")
    with pytest.raises(InvalidRequest) as caught:
        users.create("asha", "another")
    assert caught.value.code == "USERNAME_TAKEN"


def test_the_password_is_stored_as_argon2id(users):
    users.create("asha", "correct horse")
    with users._database.read() as connection:
        stored = connection.exec_driver_sql("SELECT password_hash FROM users").scalar_one()
    assert stored.startswith("$argon2id$")
    assert "horse" not in stored
