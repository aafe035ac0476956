"""One login at a time, few of them, renewed before they end, encrypted on disk."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from brokers.clock import ManualClock
from brokers.contract import BrokerSession
from brokers.errors import BrokerDown, LoginRequired, SettingsError
from brokers.model import Venue
from brokers.secret import Secret
from gateway.brokerday.session import SessionManager, StoredSession
from gateway.store import engine

PEPPER = Secret("p" * 32)
START = datetime(2026, 11, 20, 3, tzinfo=UTC)


class Broker:
    """An ``Auth`` that counts; ``fail`` holds what the next calls raise."""

    def __init__(self, clock):
        self.clock = clock
        self.logins = 0
        self.renewals = 0
        self.fail: list[Exception] = []
        self.codes: list[str | None] = []
        self.gate = threading.Event()
        self.gate.set()

    def _session(self):
        number = self.logins + self.renewals
        return BrokerSession(
            broker="dhan",
            account="1100000001",
            secrets={"token": Secret(f"token-{number}-very-secret")},
            attributes={"base": "http://127.0.0.1"},
            issued_at=self.clock.now(),
            expires_at=self.clock.now() + timedelta(hours=24),
        )

    def login(self, *, totp=None):
        self.gate.wait(10)
        self.logins += 1
        self.codes.append(totp)
        if self.fail:
            raise self.fail.pop(0)
        return self._session()

    def renew(self, session):
        self.renewals += 1
        if self.fail:
            raise self.fail.pop(0)
        return self._session()


@pytest.fixture
def clock():
    return ManualClock(START)


@pytest.fixture
def broker(clock):
    return Broker(clock)


@pytest.fixture
def database(tmp_path):
    database = engine.open(tmp_path / "one.db", Venue.SIM)
    yield database
    database.close()


@pytest.fixture
def manager(broker, database, clock):
    return restarted(broker, database, clock)


def restarted(broker, database, clock, pepper=PEPPER):
    """A manager as after a start of the process, its thread left out: tests call ``tick``."""
    manager = SessionManager(broker, database, pepper, "salt", clock, broker="dhan")
    manager._load()
    return manager


def test_the_first_tick_logs_in_and_stores(manager, broker, database, clock):
    assert manager.status().state == "none"
    with pytest.raises(LoginRequired):
        manager.current()
    manager.tick()
    assert manager.current().generation == 1
    assert manager.status().state == "valid"
    assert StoredSession(database, PEPPER, "salt", clock).read() == manager.current()


def test_start_logs_in_in_the_background(broker, database, clock):
    manager = SessionManager(broker, database, PEPPER, "salt", clock, broker="dhan")
    manager.start()
    done = threading.Event()
    for _ in range(1000):
        if manager.status().state == "valid":
            break
        done.wait(0.01)
    manager.stop()
    assert manager.current().account == "1100000001"


def test_a_valid_stored_session_is_used_again_after_a_restart(manager, broker, database, clock):
    manager.tick()
    clock.advance(3600)
    again = restarted(broker, database, clock)
    again.tick()
    assert again.current() == manager.current()
    assert broker.logins == 1


def test_an_expired_stored_session_is_not(manager, broker, database, clock):
    manager.tick()
    clock.advance(25 * 3600)
    again = restarted(broker, database, clock)
    with pytest.raises(LoginRequired, match="expired"):
        again.current()
    assert again.status().state == "expired"
    with pytest.raises(LoginRequired, match="ended"):
        StoredSession(database, PEPPER, "salt", clock).read()
    again.tick()
    assert again.current().generation == 2


def test_it_renews_ahead_of_the_end_and_not_before(manager, broker, clock):
    manager.tick()
    clock.advance(24 * 3600 - 601)
    manager.tick()
    assert broker.renewals == 0
    clock.advance(2)
    manager.tick()
    assert (broker.renewals, broker.logins) == (1, 1)
    assert manager.current().generation == 2


def test_a_failed_renewal_keeps_the_session_that_still_lives_and_tries_again(manager, broker, clock):
    manager.tick()
    clock.advance(24 * 3600 - 300)
    broker.fail = [BrokerDown("no route")]
    manager.tick()
    assert manager.current().generation == 1
    manager.tick()
    assert broker.renewals == 1, "tried again without a pause"
    clock.advance(6.1)
    manager.tick()
    assert manager.current().generation == 2


def test_renewing_what_somebody_already_renewed_does_nothing(manager, broker):
    manager.tick()
    assert manager.renew(0).generation == 1
    assert broker.logins == 1
    assert manager.renew(1).generation == 2
    assert manager.renew(1).generation == 2
    assert broker.logins == 2


def test_many_callers_share_one_login(manager, broker):
    manager.tick()
    broker.gate.clear()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(manager.renew(1).generation)) for _ in range(20)]
    for t in threads:
        t.start()
    broker.gate.set()
    for t in threads:
        t.join()
    assert found == [2] * 20
    assert broker.logins == 2


def test_a_crash_loop_logs_in_no_more_than_three_times(broker, database, clock):
    """Each start loses what it got (the broker accepts, the token is refused elsewhere)."""
    restarted(broker, database, clock).tick()
    for _ in range(20):
        manager = restarted(broker, database, clock)
        generation = manager.status().generation
        clock.advance(10)
        with suppress(LoginRequired):
            manager.renew(generation)
    assert broker.logins == 3
    assert "no automatic login" in manager.status().message
    clock.advance(900)
    restarted(broker, database, clock).renew(3)
    assert broker.logins == 4


def test_a_login_cut_by_a_crash_counts(broker, database, clock):
    class Crash(BaseException):
        pass

    for _ in range(3):
        broker.fail = [Crash()]  # type: ignore[list-item]
        with pytest.raises(Crash):
            restarted(broker, database, clock).tick()
    restarted(broker, database, clock).tick()
    assert broker.logins == 3


def test_after_two_refusals_it_waits_for_a_person(manager, broker, database, clock):
    broker.fail = [LoginRequired("wrong PIN")] * 9
    for _ in range(30):
        manager = restarted(broker, database, clock)
        manager.tick()
        clock.advance(60)
    assert broker.logins == 2
    broker.fail = []
    assert manager.login("123456").generation == 1
    assert broker.codes[-1] == "123456"
    assert manager.status().state == "valid"


def test_a_broker_that_does_not_answer_costs_no_budget(manager, broker, clock):
    broker.fail = [BrokerDown("no route")] * 6
    for _ in range(7):
        manager.tick()
        clock.advance(400)
    assert manager.status().state == "valid"


def test_missing_credentials_ask_for_a_person(manager, broker, clock):
    broker.fail = [SettingsError("DHAN_PIN and DHAN_TOTP_SECRET are missing; run: algo login")]
    manager.tick()
    assert manager.status().state == "none"
    assert "algo login" in manager.status().message
    broker.fail = [SettingsError("x")]
    with pytest.raises(LoginRequired):
        manager.renew(0)


def test_a_session_the_broker_refused_is_replaced(manager, broker, clock):
    manager.tick()
    manager.renew_soon()
    assert manager.status().state == "refused"
    manager.tick()
    assert manager.current().generation == 2
    assert broker.renewals == 0, "a refused token cannot be lengthened"


def test_a_late_refusal_of_the_session_before_does_not_end_the_new_one(manager, broker, clock):
    manager.tick()
    called, renewed = threading.Event(), threading.Event()

    def slow_call() -> None:
        manager.current()
        called.set()
        assert renewed.wait(10)
        manager.renew_soon()

    thread = threading.Thread(target=slow_call)
    thread.start()
    assert called.wait(10)
    manager.current()
    manager.renew_soon()
    manager.tick()
    renewed.set()
    thread.join(10)
    manager.tick()
    assert (manager.status().state, manager.current().generation) == ("valid", 2)


def test_no_token_is_readable_on_disk(manager, database):
    manager.tick()
    token = manager.current().secrets["token"].reveal().encode()
    database.close()
    for file in database.path.parent.iterdir():
        assert token not in file.read_bytes()


def test_another_pepper_or_salt_cannot_read_it(manager, broker, database, clock):
    manager.tick()
    for pepper, salt in ((Secret("q" * 32), "salt"), (PEPPER, "other")):
        with pytest.raises(LoginRequired, match="another pepper"):
            StoredSession(database, pepper, salt, clock).read()
    other = restarted(broker, database, clock, Secret("q" * 32))
    assert "API_KEY_PEPPER" in other.status().message
    other.tick()
    assert other.current().generation == 2


def test_nothing_stored_is_a_login_required(database, clock):
    with pytest.raises(LoginRequired, match="algo login"):
        StoredSession(database, PEPPER, "salt", clock).read()
