"""Times as people write them: the same opening whatever the style, and nothing guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest

from brokers.clock import IST
from brokers.errors import InvalidRequest
from historify.portable.stamps import BadStamp, Stamps, zone_of

OPENS = int(datetime(2024, 1, 2, 9, 15, tzinfo=IST).timestamp())
DAY = int(datetime(2024, 1, 2, tzinfo=UTC).timestamp())
MINUTES = [
    (OPENS, None),
    (str(OPENS), None),
    (OPENS * 1000, None),
    (f"{OPENS}000", None),
    (OPENS * 1_000_000, None),
    (OPENS * 1_000_000_000, None),
    (float(OPENS), None),
    (f"{OPENS}.0", None),
    ("2024-01-02 09:15:00", None),
    ("2024-01-02 09:15", None),
    ("2024-01-02T09:15:00", None),
    ("2024-01-02T09:15:00+05:30", None),
    ("2024-01-02T03:45:00Z", None),
    ("2024-01-02 03:45:00+00:00", None),
    ("02-01-2024 09:15", None),
    ("2/1/2024 9:15", None),
    ("2024-01-02", "09:15:00"),
    ("2024-01-02", "9:15"),
    ("20240102", "0915"),
    (20240102, 915),
    (" 02/01/2024 ", " 09:15 "),
    (date(2024, 1, 2), time(9, 15)),
    (datetime(2024, 1, 2, 9, 15), None),  # noqa: DTZ001 (its zone is stated apart)
    (datetime(2024, 1, 2, 3, 45, tzinfo=UTC), None),
]
DAYS = [
    ("2024-01-02", None),
    ("02-01-2024", None),
    ("20240102", None),
    (20240102, None),
    (date(2024, 1, 2), None),
    (DAY, None),
    (DAY * 1000, None),
    ("2024-01-02 00:00:00", None),
    ("2024-01-02T00:00:00+05:30", None),
    ("2024-01-02T00:00:00Z", None),
    (int(datetime(2024, 1, 2, tzinfo=IST).timestamp()), None),
    ("2024-01-02 15:30", None),
]


@pytest.mark.parametrize(("value", "clock"), MINUTES, ids=str)
def test_a_minute_is_the_same_instant_in_every_style(value, clock):
    assert Stamps(IST, "1m").one(value, clock) == OPENS


@pytest.mark.parametrize(("value", "clock"), DAYS, ids=str)
def test_a_day_is_its_trading_date_at_midnight_utc(value, clock):
    assert Stamps(IST, "D").one(value, clock) == DAY


@pytest.mark.parametrize(
    "name", ["America/New_York", "UTC", "Asia/Kolkata", "+05:30", "-03:00", "Asia/Tokyo"]
)
def test_a_zone_that_is_stated_counts_also_on_both_sides_of_a_clock_change(name):
    zone = zone_of(name)
    stamps = Stamps(zone, "1m")
    daily = Stamps(zone, "D")
    for month in (1, 7):
        at = datetime(2024, month, 3, 10, 0, tzinfo=zone)
        assert stamps.one(f"2024-{month:02d}-03 10:00") == int(at.timestamp())
        assert daily.one(f"2024-{month:02d}-03") == int(datetime(2024, month, 3, tzinfo=UTC).timestamp())


def test_an_unknown_zone_says_what_is_expected():
    with pytest.raises(InvalidRequest, match="zone 'Mars' is unknown"):
        zone_of("Mars")


@pytest.mark.parametrize(
    ("value", "clock", "said"),
    [
        ("2024-01-02 09:15:30", None, "not a full minute"),
        (OPENS + 1, None, "not a full minute"),
        ("2024-13-02 09:15", None, "is no date"),
        ("31-02-2024", "09:15", "is no date"),
        ("02-01-24", "09:15", "is no date"),
        ("2024-01-02", "25:00", "is no time of day"),
        ("2024-01-02", "", "is no time of day"),
        ("", None, "is no date"),
        (None, None, "there is no time"),
        ("yesterday at nine", None, "is no time|is no date"),
        (0, None, "before 1980"),
        ("12", None, "before 1980"),
        (True, None, "there is no time"),
    ],
)
def test_what_cannot_be_read_is_said(value, clock, said):
    with pytest.raises(BadStamp, match=said):
        Stamps(IST, "1m").one(value, clock)


def test_a_day_at_midnight_utc_is_that_day_also_in_a_zone_west_of_it():
    assert Stamps(zone_of("America/New_York"), "D").one(DAY) == DAY
