"""What of the broker's day is planned, what is an alarm, and when."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from brokers.calendar import AlwaysOpen, FileCalendar
from brokers.clock import IST
from gateway.brokerday import hours, refresh
from gateway.brokerday.day import Facts, Phase, judge, late_for_open

CALENDAR = FileCalendar()
NSE = ("NSE", "NFO")
FIVE = timedelta(minutes=5)


def ist(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IST)


# Friday 2026-11-20 trades, the week-end does not, Monday the 23rd does, Tuesday the 24th is a holiday
@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-20 09:14:59", "2026-11-20 09:15"),
        ("2026-11-20 09:15", "2026-11-23 09:15"),
        ("2026-11-21 12:00", "2026-11-23 09:15"),
        ("2026-11-23 16:00", "2026-11-25 09:15"),
        ("2026-11-08 10:00", "2026-11-08 18:00"),  # a Sunday with an evening session
    ],
)
def test_the_next_open_knows_week_ends_holidays_and_special_sessions(now, opens, sessions):
    assert hours.next_open(sessions, NSE, ist(now)) == ist(opens)


class Sessions:
    """NSE's ordinary hours with one holiday and one evening session."""

    def session(self, exchange, on):
        if on == date(2026, 11, 24):
            return None
        if on == date(2026, 11, 8):
            return hours_of("18:00", "19:00", on)
        return CALENDAR.session("NSE", on) if on.weekday() < 5 else None

    def is_open(self, exchange, at):
        found = self.session(exchange, at.astimezone(IST).date())
        return found is not None and found.opens <= at < found.closes


def hours_of(opens, closes, on):
    session = CALENDAR.session("NSE", date(2026, 11, 20))
    return type(session)(ist(f"{on} {opens}"), ist(f"{on} {closes}"))


@pytest.fixture
def sessions():
    return Sessions()


def test_an_exchange_that_never_closes_has_no_open_to_be_ready_for():
    assert hours.next_open(AlwaysOpen(), NSE, ist("2026-11-20 08:00")) is None


@pytest.mark.parametrize(
    ("now", "quiet"),
    [
        ("2026-11-20 12:00", False),
        ("2026-11-20 08:44", True),
        ("2026-11-20 08:45", False),
        ("2026-11-20 08:46", False),
        ("2026-11-20 22:00", True),
        ("2026-11-24 12:00", True),
    ],
)
def test_what_may_wait_waits_for_a_quiet_time(now, quiet, sessions):
    assert hours.is_quiet(sessions, NSE, ist(now), timedelta(minutes=30)) is quiet


def test_where_the_market_never_closes_any_time_is_quiet():
    assert hours.is_quiet(AlwaysOpen(), NSE, ist("2026-11-20 12:00"), timedelta(minutes=30))


@pytest.mark.parametrize(
    ("synced", "now", "stale"),
    [
        (None, "2026-11-20 07:00", True),
        ("2026-11-19 08:00", "2026-11-20 07:59", False),
        ("2026-11-19 23:00", "2026-11-20 08:00", True),
        ("2026-11-20 08:00", "2026-11-20 23:59", False),
        ("2026-11-20 08:00", "2026-11-22 12:00", False),  # a week-end needs none
        ("2026-11-20 08:00", "2026-11-23 07:59", False),
        ("2026-11-20 08:00", "2026-11-23 08:00", True),
        ("2026-11-23 08:00", "2026-11-24 12:00", False),  # nor does a holiday
        ("2026-11-08 07:00", "2026-11-08 08:00", True),
    ],
)
def test_the_table_is_stale_from_eight_on_a_day_with_trading(synced, now, stale, sessions):
    at = None if synced is None else ist(synced).isoformat()
    assert refresh.is_stale(at, 5, sessions, NSE, ist(now)) is stale
    assert refresh.is_stale(at, 0, sessions, NSE, ist(now))


def test_a_session_before_eight_moves_the_cut_off_before_itself():
    class Early(Sessions):
        def session(self, exchange, on):
            return hours_of("07:00", "09:00", on)

    cut = hours.trading_day_start(Early(), NSE, ist("2026-11-20 06:30"), refresh.CUT_OFF)
    assert cut == ist("2026-11-20 06:00")


MIDNIGHT = "2026-11-21 00:00"


def facts(now, session="expired", ended=MIDNIGHT, alone=False, **more):
    at = ist(now)
    calendar = Sessions()
    return Facts(
        session=session,
        expires_at=ist(ended) if ended else None,
        alone=alone,
        market_open=hours.is_open(calendar, NSE, at),
        next_open=hours.next_open(calendar, NSE, at),
        **more,
    )


@pytest.mark.parametrize(
    ("now", "given", "phase", "planned", "alarms"),
    [
        ("2026-11-20 15:00", {"session": "valid"}, Phase.RUNNING, True, set()),
        ("2026-11-21 00:00:01", {"alone": True}, Phase.ROLLING_OVER, True, set()),
        ("2026-11-21 00:01:59", {"alone": True}, Phase.ROLLING_OVER, True, set()),
        ("2026-11-21 00:02", {"alone": True}, Phase.ROLLED_OVER, True, set()),
        ("2026-11-21 00:00:01", {}, Phase.ROLLED_OVER, True, set()),
        ("2026-11-23 09:09:59", {}, Phase.ROLLED_OVER, True, set()),
        ("2026-11-23 09:10", {}, Phase.LOGIN_OVERDUE, False, {"login-needed"}),
        ("2026-11-23 11:00", {}, Phase.LOGIN_OVERDUE, False, {"login-needed"}),
        ("2026-11-20 11:00", {"ended": "2026-11-20 10:59", "alone": True}, Phase.ROLLING_OVER, True, set()),
        ("2026-11-20 11:02", {"ended": "2026-11-20 10:59", "alone": True}, Phase.LOGIN_OVERDUE, False,
         {"login-needed"}),
        ("2026-11-20 15:00", {"session": "refused"}, Phase.LOGIN_NEEDED, False, set()),
        ("2026-11-20 15:00", {"session": "none", "ended": None}, Phase.LOGIN_NEEDED, False, set()),
        ("2026-11-20 09:09", {"session": "valid", "stale": True}, Phase.RUNNING, True, set()),
        ("2026-11-20 09:10", {"session": "valid", "stale": True}, Phase.RUNNING, True, {"instruments-stale"}),
        ("2026-11-20 10:00", {"session": "valid", "egress": "1.2.3.4"}, Phase.RUNNING, True,
         {"egress-mismatch"}),
    ],
)  # fmt: skip
def test_a_day_of_one_instance(now, given, phase, planned, alarms):
    day = judge(facts(now, **given), ist(now), FIVE)
    assert (day.phase, day.planned, set(day.alarms)) == (phase, planned, alarms)
    assert all(day.alarms.values())


def test_the_plan_is_told_with_its_times():
    day = judge(facts("2026-11-20 15:00", session="valid"), ist("2026-11-20 15:00"), FIVE).plain()
    assert day["rolls_over_at"] == "2026-11-21T00:00:00+05:30"
    assert (day["next_open"], day["ready_by"]) == ("2026-11-23T09:15:00+05:30", "2026-11-23T09:10:00+05:30")
    after = judge(facts("2026-11-21 00:10"), ist("2026-11-21 00:10"), FIVE)
    assert after.message == "the session ended as planned at 00:00 IST; log in by Mon 09:10 IST"


@pytest.mark.parametrize(
    ("now", "ready", "started", "late"),
    [
        ("2026-11-20 09:09:59", False, "2026-11-20 08:00", False),
        ("2026-11-20 09:10", False, "2026-11-20 08:00", True),
        ("2026-11-20 09:10", True, "2026-11-20 08:00", False),
        ("2026-11-20 09:10", False, None, True),
        ("2026-11-20 09:12", False, "2026-11-20 09:11:30", False),  # it has just been started
        ("2026-11-20 09:12:30", False, "2026-11-20 09:11:30", True),
        ("2026-11-20 09:19:59", False, "2026-11-20 08:00", True),
        ("2026-11-20 09:20", False, "2026-11-20 08:00", False),  # what is wrong by now has its own name
    ],
)
def test_what_is_not_ready_before_the_open_is_late(now, ready, started, late):
    opens = ist("2026-11-20 09:15")
    at = None if started is None else ist(started)
    said = late_for_open(ready, ist(now), opens, FIVE, at, waits_for="a login")
    assert bool(said) is late
    assert not late or "09:15 IST and this instance is not ready: a login" in said
