"""Dates of candles."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from brokers.candles import chunks, within
from brokers.model import Candle

DAY = date(2026, 1, 5)


def bar(at: datetime, close: float = 1.0) -> Candle:
    return Candle(int(at.timestamp()), 1.0, 1.0, 1.0, close, 0)


@pytest.mark.parametrize(
    ("days", "sizes"), [(0, []), (1, [1]), (90, [90]), (91, [90, 1]), (365, [90, 90, 90, 90, 5])]
)
def test_chunks_cover_every_day_once(days: int, sizes: list[int]) -> None:
    start = date(2025, 1, 1)
    end = date.fromordinal(start.toordinal() + days - 1)
    pieces = list(chunks(start, end, 90))
    assert [(last - first).days + 1 for first, last in pieces] == sizes
    covered = [first.toordinal() + i for first, last in pieces for i in range((last - first).days + 1)]
    assert covered == list(range(start.toordinal(), start.toordinal() + days))


def test_minutes_belong_to_their_ist_date() -> None:
    # 18:30 UTC is midnight IST
    before, first = datetime(2026, 1, 4, 18, 29, tzinfo=UTC), datetime(2026, 1, 4, 18, 30, tzinfo=UTC)
    last, after = datetime(2026, 1, 5, 18, 29, tzinfo=UTC), datetime(2026, 1, 5, 18, 30, tzinfo=UTC)
    found = within([bar(at) for at in (after, last, first, before)], DAY, DAY, daily=False)
    assert [candle.opened_at_s for candle in found] == [int(first.timestamp()), int(last.timestamp())]


def test_daily_bars_carry_their_date_and_the_later_of_two_stays() -> None:
    midnights = [datetime(2026, 1, day, tzinfo=UTC) for day in (6, 5, 4)]
    found = within([*map(bar, midnights), bar(midnights[1], close=2.0)], DAY, DAY, daily=True)
    assert found == [bar(midnights[1], close=2.0)]
