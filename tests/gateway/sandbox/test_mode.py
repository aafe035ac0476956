"""The switch: what the env says first, what somebody switched to afterwards, and where it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from brokers.errors import StoreError
from brokers.model import Venue
from gateway.sandbox.mode import ModeSwitch, TradingMode
from gateway.store import engine

LIVE, ANALYZE = TradingMode.LIVE, TradingMode.ANALYZE


@pytest.mark.parametrize(("paper_trading", "first"), [(False, LIVE), (True, ANALYZE)])
def test_the_env_counts_until_somebody_switches_and_never_after(tmp_path: Path, paper_trading, first):
    database = engine.open(tmp_path / "main.db", Venue.SIM)
    switch = ModeSwitch(database, analyze=paper_trading)
    assert switch.mode() is first
    other = LIVE if first is ANALYZE else ANALYZE
    switch.set(other)
    assert switch.mode() is other
    database.close()
    database = engine.open(tmp_path / "main.db", Venue.SIM)
    assert ModeSwitch(database, analyze=paper_trading).mode() is other
    database.close()


def test_a_switch_that_cannot_be_kept_is_none(tmp_path: Path):
    database = engine.open(tmp_path / "main.db", Venue.SIM)
    switch = ModeSwitch(database, analyze=False)
    database.close()
    with pytest.raises(StoreError):
        switch.set(ANALYZE)
    assert switch.mode() is LIVE
