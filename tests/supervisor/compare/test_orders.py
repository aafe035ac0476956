"""From the command's words to the first byte: without consent nothing leaves for a live broker."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from brokers.model import Venue
from gateway import settings as gateway_settings
from gateway.settings import Settings
from supervisor.client import CommandFailed
from supervisor.compare import orders
from supervisor.compare.collect import market_of, standing_of
from supervisor.compare.orders import Asked
from supervisor.setup import envfile
from tests.supervisor.compare.test_sender import Desk

ASKED = Asked("NSE", "SBIN", "BUY", 2, 7, 0.05, (), dry_run=False)


class Live(Desk):
    """A live instance whose broker is a list in memory. ``opened`` counts keys made."""

    made: list[Live]
    change: dict[str, Any]

    def __init__(self, settings: Settings, exchange: str, symbol: str) -> None:
        super().__init__()
        self.settings, self.opened = settings, 0
        self.symbol = f"{exchange}:{symbol}"
        Live.made.append(self)

    def standing(self) -> dict[str, Any]:
        usual = {"venue": "live", "ready": True, "waiting_for": [], "mode": "live", "roles": ["execute"]}
        more = {"market_open": True, "positions": []}
        book = super().standing()
        book["orders"] = [{"action": "BUY", **row} for row in book["orders"]]
        return {**usual, **more, **book, **Live.change}

    def look(self, used_today: int, blocked: str) -> Any:
        quote = {"ltp": 800, "tick_size": "0.05", "lot_size": 1, "lower_circuit": 640, "upper_circuit": 960}
        quote["windows"] = [{"count": 9, "seconds": 1.1, "used": 0, "reserve": 2}]
        return standing_of(self.settings.name, self.standing(), used_today, blocked), market_of(quote)

    def open(self) -> None:
        self.opened += 1

    def close(self) -> None:
        self.opened -= 1


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    for name in ("dhan", "kotak"):
        envfile.create(tmp_path, name, None)
    monkeypatch.setattr(orders, "Instance", Live)
    monkeypatch.setattr(orders, "SETTLE_S", 0.0)
    Live.made, Live.change = [], {}
    return [gateway_settings.load(tmp_path, name, Venue.SIM) for name in ("dhan", "kotak")]


def ask(fleet: list[Settings], asked: Asked) -> tuple[Any, str]:
    said = io.StringIO()
    done = orders.probe_all(fleet[0].home, fleet, asked, Console(file=said, width=200))
    return done, said.getvalue()


def sent() -> int:
    return sum(len(one.calls) + one.opened for one in Live.made)


def test_without_consent_it_prints_what_it_would_send(fleet: list[Settings]) -> None:
    for asked in (
        ASKED,
        replace(ASKED, consent=("dhan",)),
        replace(ASKED, consent=("dhan", "kotak"), dry_run=True),
    ):
        (found, left), said = ask(fleet, asked)
        assert (found, left) == (None, ())
        assert "seed 7, 2 rounds" in said
        assert "2 × place BUY 1 NSE:SBIN MIS LIMIT 680.00" in said
        assert "dry run: nothing was sent" in said
    assert sent() == 0


def test_with_consent_it_sends_and_leaves_neither_order_nor_key(fleet: list[Settings]) -> None:
    (found, left), _ = ask(fleet, replace(ASKED, consent=("dhan", "kotak")))
    assert left == ()
    assert [row.summary.n for row in found.measures[0].rows] == [2, 2]
    assert [one.calls.count("placeorder") for one in Live.made] == [2, 2]
    assert [one.working for one in Live.made] == [[], []]
    assert [one.opened for one in Live.made] == [0, 0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"orders": [{"action": "SELL", "probe": False}]}, "a working order on the other side"),
        ({"positions": [-1]}, "a position on the other side"),
        ({"market_open": False}, "the market is closed"),
    ],
)
def test_a_refusal_comes_before_the_first_byte(
    fleet: list[Settings], change: dict[str, Any], why: str
) -> None:
    Live.change = change
    with pytest.raises(CommandFailed, match=why):
        ask(fleet, replace(ASKED, consent=("dhan", "kotak")))
    assert sent() == 0


def test_the_cap_holds_over_runs(fleet: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    consent = replace(ASKED, consent=("dhan", "kotak"))
    monkeypatch.setattr("supervisor.compare.probe.LIVE_CAP", 3)
    ask(fleet, consent)
    before = sent()
    with pytest.raises(CommandFailed, match="2 of 3 probes of today are used, 2 asked"):
        ask(fleet, consent)
    assert sent() == before


def test_one_run_at_a_time(fleet: list[Settings]) -> None:
    folder = orders.current_folder(fleet[0].home)
    with orders.FolderLock(folder.path / "compare.lock"), pytest.raises(CommandFailed, match="another"):
        ask(fleet, ASKED)
