"""A strategy trades two days of January 2024 on paper, twice."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from brokers.calendar import FileCalendar
from brokers.clock import IST, SystemClock
from brokers.errors import InvalidRequest
from brokers.model import InstrumentKey
from brokers.venue import Venue
from gateway.past.instance import NOWHERE, Past, Wish
from historify import lease
from historify.model import Bars, Provenance, Series
from historify.paths import StorePaths
from historify.store import SegmentStore
from supervisor.setup import envfile

SBIN = InstrumentKey("NSE", "SBIN")
FIRST = date(2024, 1, 2)


def rows(day: date, price: float) -> Iterator[tuple[float, ...]]:
    """A quarter of a rupee up each minute."""
    opens = int(datetime(day.year, day.month, day.day, 9, 15, tzinfo=IST).timestamp())
    for n in range(375):
        p = price + 0.25 * n
        yield (opens + 60 * n, p, p + 0.2, p - 0.2, p + 0.1, 100, 0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("home"))
    envfile.create(folder, "dhan", None)
    paths = StorePaths(folder / "db" / "historify.duckdb")
    store = SegmentStore(paths, calendar=FileCalendar())
    with lease.writing(store.control, paths.lock, "test", SystemClock()) as fence:
        bars = Bars.of(rows(FIRST, 500.0))
        store.put(Series("NSE", "SBIN", "1m"), bars, fence=fence, provenance=Provenance("test", 1))
        day = Bars.of([(1_704_067_200, 480.0, 495.0, 470.0, 490.0, 10, 0)])
        store.put(Series("NSE", "SBIN", "D"), day, fence=fence, provenance=Provenance("test", 1))
    store.close()
    return folder


class Strategy:
    """What a program does with the printed address and key."""

    def __init__(self, port: int, key: str) -> None:
        self._url, self._key = f"http://127.0.0.1:{port}/api/v1/", key

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        raw = json.dumps({"apikey": self._key, **body}).encode()
        request = urllib.request.Request(self._url + path, raw, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as exc:
            found = json.load(exc)
        assert isinstance(found, dict)
        return found

    def order(self, action: str, price: float, product: str = "MIS") -> dict[str, Any]:
        return self.post(
            "placeorder", strategy="past", symbol="SBIN", exchange="NSE", action=action, quantity=10,
            pricetype="LIMIT", price=price, product=product,
        )  # fmt: skip


async def played(past: Past, said: list[dict[str, Any]]) -> dict[str, Any]:
    rest, _, _ = await past.start()
    strategy = Strategy(rest, past.key.reveal())
    try:
        for action, price in (("BUY", 499.9), ("SELL", 510.0), ("SELL", 520.0)):
            said.append(await asyncio.to_thread(strategy.order, action, price))
        done = await past.play(None)
        trades = (await asyncio.to_thread(strategy.post, "tradebook"))["data"]
        quote = (await asyncio.to_thread(strategy.post, "quotes", symbol="SBIN", exchange="NSE"))["data"]
    finally:
        await past.stop()
    told = [(t["action"], t["quantity"], t["average_price"], t["timestamp"][11:]) for t in trades]
    return {"played": done, "trades": told, "quote": quote}


def test_a_strategy_trades_the_past_and_two_runs_are_one(home: Path, tmp_path: Path) -> None:
    runs = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        said: list[dict[str, Any]] = []
        with ExitStack() as stack:
            out = stack.enter_context((folder / "out").open("wb"))
            past = Past(home, "dhan", Wish((SBIN,), "1m", FIRST, FIRST), folder, sim=False, out=out)
            assert past.clock.now() == datetime(2024, 1, 2, 9, 15, tzinfo=IST)
            runs.append(asyncio.run(played(past, said)))
        assert [(one["status"], one["mode"]) for one in said] == [("success", "analyze")] * 3
        # whatever is asked of it: it knows no broker's address, not even a simulated one's
        assert set(past.settings.endpoints.values()) == {NOWHERE}
        assert past.settings.venue is Venue.SIM
    first, second = runs
    assert (first["played"].ticks, first["played"].messages) == (1500, 4500)
    assert (tmp_path / "1" / "out").read_bytes() == (tmp_path / "2" / "out").read_bytes()
    assert first == second
    # at the low of the first minute, in the minutes whose high or open reaches it, and squared off at the
    # last price before 15:15
    assert first["trades"] == [
        ("BUY", 10, 499.9, "09:15:20"),
        ("SELL", 10, 510.0, "09:55:00"),
        ("SELL", 10, 520.0, "10:35:00"),
        ("BUY", 10, 589.85, "15:15:00"),
    ]
    quote = first["quote"]
    assert (quote["ltp"], quote["open"], quote["prev_close"], quote["volume"]) == (593.6, 500.0, 490.0, 37500)


def test_what_cannot_be_played_says_why(home: Path, tmp_path: Path) -> None:
    for key, interval, said in (
        (SBIN, "W", "W cannot be played"),
        (InstrumentKey("NSE", "INFY"), "1m", "nothing of NSE:INFY 1m is stored"),
    ):
        with pytest.raises(InvalidRequest, match=said):
            Past(home, "dhan", Wish((key,), interval, FIRST, FIRST), tmp_path, sim=False)
