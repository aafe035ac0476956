"""The broker's day ends as planned: nothing is lost by it, and nothing is spent before its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from brokers.clock import ManualClock
from brokers.contract import BrokerSession
from brokers.errors import CodeNeeded, LoginRequired
from brokers.model import Venue
from brokers.secret import Secret
from gateway.brokerday.rollover import Held, Step, step
from gateway.brokerday.session import SessionManager, budget_wait_s
from gateway.store import engine
from gateway.store.tokens import SealedSessions

END = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)  # 00:00 IST


@pytest.mark.parametrize(
    ("before_end_s", "refused", "lead_s", "wanted"),
    [
        (3600, False, 600, Step.KEEP),
        (601, False, 600, Step.KEEP),
        (600, False, 600, Step.RENEW),
        (1, False, 600, Step.RENEW),
        (1, False, 0, Step.KEEP),
        (3600, True, 600, Step.LOGIN),
        (1, True, 0, Step.LOGIN),
        (0, False, 600, Step.WAIT),
        (0, True, 0, Step.WAIT),
        (-4.9, False, 0, Step.WAIT),
        (-5, False, 0, Step.LOGIN),
        (-36000, False, 600, Step.LOGIN),
    ],
)
def test_what_is_done_with_a_session(before_end_s, refused, lead_s, wanted):
    assert step(Held(END, refused), END - timedelta(seconds=before_end_s), lead_s) is wanted
    assert step(None, END, lead_s) is Step.LOGIN


class Midnight:
    """A broker whose sessions end at 00:00 IST whenever they were made."""

    def __init__(self, clock):
        self.clock, self.logins, self.seed = clock, 0, True

    def login(self, *, totp=None):
        if not self.seed and totp is None:
            raise CodeNeeded("type a code")
        self.logins += 1
        now = self.clock.now()
        end = END if now < END else END + timedelta(days=1)
        return BrokerSession("kotak", "U1", {"token": Secret("t" * 20)}, {}, now, end)

    def renew(self, session):
        return self.login()


@pytest.fixture
def clock():
    return ManualClock(END - timedelta(hours=1))


@pytest.fixture
def database(tmp_path):
    database = engine.open(tmp_path / "one.db", Venue.SIM)
    yield database
    database.close()


def manager_of(auth, database, clock, **more):
    return SessionManager(auth, database, Secret("p" * 32), "salt", clock, broker="kotak", lead_s=0, **more)


def minutes(manager, clock, count, every_s=0.5):
    for _ in range(int(count * 60 / every_s)):
        clock.advance(every_s)
        manager.tick()


def test_one_login_carries_it_over_midnight(database, clock):
    broker = Midnight(clock)
    manager = manager_of(broker, database, clock)
    manager.tick()
    minutes(manager, clock, 59)
    assert broker.logins == 1
    minutes(manager, clock, 1)  # exactly the end
    assert (manager.status().state, broker.logins) == ("expired", 1)
    with pytest.raises(LoginRequired, match="just reached its end"):
        manager.renew(1)  # the feed hears it first; the old day's login would be worth nothing
    assert broker.logins == 1
    clock.advance(5)
    manager.tick()
    assert (manager.status().state, broker.logins) == ("valid", 2)
    assert manager.renew(1).generation == 2
    minutes(manager, clock, 60)
    assert broker.logins == 2


def test_without_leave_the_seed_is_used_when_a_person_asks_and_never_else(database, clock):
    attended, alone = Midnight(clock), Midnight(clock)
    alone.seed = False
    manager = manager_of(attended, database, clock, unattended=alone, hint=" (AUTO_LOGIN)")
    manager.login()
    clock.set(END + timedelta(seconds=5))
    for _ in range(90):
        clock.advance(10)
        manager.tick()
    status = manager.status()
    assert (attended.logins, alone.logins, status.state) == (1, 0, "expired")
    # a code that is missing is no refusal: neither the budget nor a person's own login suffers
    assert "type a code (AUTO_LOGIN)" in status.message
    assert budget_wait_s(SealedSessions(database, Secret("p" * 32), "salt", clock).attempts(3600)) == 0
    manager.login()
    assert manager.status().state == "valid"
