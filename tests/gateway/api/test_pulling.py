"""What the store's process may ask: raw history, within the account's limits and behind orders."""

from __future__ import annotations

import contextlib
import json
import stat
import threading
import time
from datetime import date
from typing import Any

import pytest

from brokers.errors import BrokerDown, LoginRequired, NotSupported, RateLimited, WireError
from gateway.marketdata.market import MarketRules
from gateway.trading.limiter import Lane
from historify.secretfile import HEADER, NAME, home_secret
from tests.gateway.api.rig import Rig, running

pytestmark = pytest.mark.xdist_group("pulling")

BODY = b'{"open":[1.0],"timestamp":[1.7e9]}'
ASK = {"exchange": "NSE", "symbol": "M&M", "interval": "1m", "start": "2026-11-02", "end": "2026-11-20"}


class Raw:
    """Added to the scripted broker: answers as they come."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, date, date]] = []
        self.fail: list[Exception] = []
        self.hold = threading.Event()
        self.hold.set()

    def __call__(self, instrument: Any, interval: str, start: date, end: date) -> bytes:
        self.asked.append((str(instrument.key), interval, start, end))
        assert self.hold.wait(10)
        if self.fail:
            raise self.fail.pop(0)
        return BODY


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with running(tmp_path_factory.mktemp("pulling")) as rig:
        rig.parts.market._rules = MarketRules(history_gap_s=0.0)
        yield rig


@pytest.fixture
def raw(house: Rig) -> Raw:
    house.rest.raw_candles = made = Raw()
    house.parts.market._history_next = 0.0
    for window in house.parts.market.limiter._gates[Lane.DATA].windows:
        window._sent.clear()
    return made


def secret(rig: Rig) -> str:
    return home_secret(rig.parts.settings.run_dir / NAME).reveal()


def ask(rig: Rig, body: Any = ASK, key: str | None = None, method: str = "POST", path: str = "") -> Any:
    headers = {HEADER: secret(rig) if key is None else key}
    return rig.app.test_client().open(
        f"/internal/history{path}", method=method, json=body if method == "POST" else None, headers=headers
    )


def test_the_answer_is_passed_on_as_it_came(house, raw):
    answer = ask(house)
    assert (answer.status_code, answer.data, answer.headers["X-Broker"]) == (200, BODY, "dhan")
    shown = json.loads(answer.headers["X-Instrument"])
    assert (shown["symbol"], shown["interval"], shown["start"]) == ("M&M", "1m", "2026-11-02")
    assert raw.asked == [("NSE:M&M", "1m", date(2026, 11, 2), date(2026, 11, 20))]


def test_only_the_home_s_secret_opens_it(house, raw):
    path = house.parts.settings.run_dir / NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 if path.exists() else True
    for key in ("", "x", secret(house)[:-1], secret(house) + "x", "é"):
        assert ask(house, key=key).status_code == 403
        assert ask(house, key=key, method="GET", path="/capability").status_code == 403
    internal = house.parts.settings.internal_key.reveal()
    answer = house.app.test_client().post(
        "/internal/history", json=ASK, headers={"X-Algo-Internal": internal}
    )
    assert answer.status_code == 403
    assert raw.asked == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_secret_is_made_once_by_whoever_is_first(tmp_path):
    found: set[str] = set()
    threads = [
        threading.Thread(target=lambda: found.add(home_secret(tmp_path / "run" / NAME).reveal()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    assert [p.name for p in (tmp_path / "run").iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (LoginRequired("expired"), 401, "AUTH_EXPIRED"),
        (RateLimited("slow down", retry_after_s=0.25), 429, "RATE_LIMITED"),
        (NotSupported("no data plan"), 501, "NOT_SUPPORTED"),
        (BrokerDown("no answer"), 503, "BROKER_DISCONNECTED"),
        (WireError("torn", b"x"), 502, "WIRE"),
    ],
)
def test_a_refusal_keeps_its_kind(house, raw, error, status, code):
    raw.fail = [error]
    answer = ask(house)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert len(raw.asked) == 1  # never asked twice behind the puller's back
    if status == 429:
        assert answer.headers["Retry-After"] == "0.250"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"symbol": "NOPE"}, 404),
        ({"interval": "5m"}, 501),
        ({"exchange": "NSE_X"}, 404),
        ({"start": "2026-01-01"}, 501),  # more than one call of Dhan holds
        ({"start": "2026-11-21"}, 400),
        ({"start": "soon"}, 400),
    ],
)
def test_what_cannot_be_had_is_said_without_asking_the_broker(house, raw, change, status):
    assert ask(house, ASK | change).status_code == status
    assert raw.asked == []


def test_the_capability_says_what_the_broker_offers_and_how_the_session_is(house):
    found = ask(house, method="GET", path="/capability").json
    assert (found["broker"], found["session"], found["oi"]) == ("dhan", "valid", True)
    assert found["chunk_days"]["1m"] == 90
    assert "MCX" in found["exchanges"]


def test_an_order_never_waits_behind_history(house, raw):
    """One history call hangs at the broker, and the data lane is used up: orders leave as ever."""
    raw.hold.clear()
    pulls = [threading.Thread(target=ask, args=(house,)) for _ in range(8)]
    for pull in pulls:
        pull.start()
    try:
        limiter = house.parts.market.limiter
        end = time.monotonic() + 5
        while limiter.counts[Lane.DATA].granted < 1 or not raw.asked:
            assert time.monotonic() < end
        with contextlib.suppress(RateLimited):
            while True:
                limiter.acquire(Lane.DATA, 0.0)
        limiter.acquire(Lane.ENTRY, 0.0).give_back()
        limiter.acquire(Lane.EXIT, 0.0).give_back()
        placed = house.place()
        assert placed.status_code == 200, placed.json
    finally:
        raw.hold.set()
        for pull in pulls:
            pull.join()
