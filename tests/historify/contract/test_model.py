"""Random batches against a dict: whatever order they come in, the store holds what a dict would."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from historify.model import DayState, PutReport, Row
from tests.historify.contract.rig import MONDAY, Rig, a_series, at, daily

PRICES = st.integers(1, 4)
"""Few, so that batches often repeat what is there."""
FIRST = at(date(2025, 2, 27), 15, 25)
"""Minutes count from here over the end of a month, in UTC and in IST."""
WEEK = [date(2025, 2, 26) + timedelta(days=n) for n in range(30)]


@st.composite
def a_bar(draw: st.DrawFn, ts: int) -> Row:
    low = draw(PRICES)
    return (ts, low + 1.0, low + 3.0, float(low), low + 2.0, draw(PRICES), draw(PRICES))


@st.composite
def a_batch(draw: st.DrawFn, interval: str) -> list[Row]:
    start = draw(st.integers(0, 40))
    places = sorted(draw(st.sets(st.integers(start, start + 30), max_size=12)))
    if interval == "D":
        return [draw(a_bar(daily(MONDAY) + 86_400 * place)) for place in places]
    return [draw(a_bar(FIRST + 60 * (place + 200 * (place % 7)))) for place in places]


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), interval=st.sampled_from(["1m", "D"]))
def test_any_history_of_batches_ends_as_a_dict_would(rig: Rig, data: st.DataObject, interval: str) -> None:
    series = a_series(interval)
    held: dict[int, Row] = {}
    covered: dict[date, DayState] = {}
    for _ in range(data.draw(st.integers(1, 5))):
        if data.draw(st.integers(0, 4)):
            batch = data.draw(a_batch(interval))
            asked = data.draw(st.dictionaries(st.sampled_from(WEEK), st.sampled_from(DayState), max_size=3))
            new = [row for row in batch if row[0] not in held]
            other = [row for row in batch if row[0] in held and held[row[0]] != row]
            assert rig.put(series, batch, covered=asked) == PutReport(len(batch), len(new), len(other))
            held |= {row[0]: row for row in batch}
            covered |= {day: state for day, state in asked.items() if covered.get(day) != DayState.FULL}
        else:
            first, last = sorted(data.draw(st.tuples(st.sampled_from(WEEK), st.sampled_from(WEEK))))
            gone = [ts for ts in held if first <= day_of(ts, interval) <= last]
            assert rig.store.delete(series, fence=rig.fence, start=first, end=last) == len(gone)
            held = {ts: row for ts, row in held.items() if ts not in gone}
            covered = {day: state for day, state in covered.items() if not first <= day <= last}
    assert rig.rows(series) == [held[ts] for ts in sorted(held)]
    assert rig.store.coverage(series, WEEK[0], WEEK[-1]) == covered
    counted = [(row.first_ts, row.last_ts, row.rows) for row in rig.store.catalog("NSE", series.symbol)]
    assert counted == ([(min(held), max(held), len(held))] if held else [])


def day_of(ts: int, interval: str) -> date:
    shift = 19_800 if interval == "1m" else 0
    return date(1970, 1, 1) + timedelta(days=(ts + shift) // 86_400)
