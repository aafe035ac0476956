"""Settings of the sandbox: OpenAlgo's defaults, and refusals that name the line."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.errors import SettingsError
from brokers.model import Venue
from gateway import settings
from gateway.settings.sandbox import Leverage, SandboxRules
from tests.gateway.api.rig import write_env


def load(home: Path, *lines: str) -> SandboxRules:
    write_env(home, "dhan", *lines)
    return settings.load(home, "dhan", Venue.SIM).sandbox


def test_the_defaults_are_openalgos(tmp_path):
    rules = load(tmp_path)
    assert not rules.paper_trading
    assert rules.capital == Decimal(10_000_000)
    assert rules.leverage == Leverage(Decimal(5), Decimal(1), Decimal(10), Decimal(1), Decimal(1))
    times = {name: rules.square_off[name] for name in ("NSE", "BFO", "BCD", "MCX", "NCDEX")}
    assert times == {
        "NSE": time(15, 15),
        "BFO": time(15, 15),
        "BCD": time(16, 45),
        "MCX": time(23, 30),
        "NCDEX": time(17, 0),
    }
    assert rules.reset_day is None


def test_every_setting_can_be_said(tmp_path):
    rules = load(
        tmp_path,
        "PAPER_TRADING=TRUE",
        "SANDBOX_STARTING_CAPITAL=250000",
        "SANDBOX_EQUITY_MIS_LEVERAGE=4",
        "SANDBOX_MCX_SQUARE_OFF=23:10",
        "SANDBOX_RESET_DAY=sunday",
        "SANDBOX_PRICE_AGE_SECONDS=10",
    )
    assert (rules.paper_trading, rules.capital, rules.leverage.equity_mis) == (True, 250_000, 4)
    assert (rules.square_off["MCX"], rules.reset_day, rules.price_age_s) == (time(23, 10), 6, 10)


@pytest.mark.parametrize(
    "line",
    [
        "PAPER_TRADING=perhaps",
        "SANDBOX_STARTING_CAPITAL=5",
        "SANDBOX_FUTURES_LEVERAGE=0",
        "SANDBOX_NSE_BSE_SQUARE_OFF=25:00",
        "SANDBOX_RESET_DAY=someday",
    ],
)
def test_what_cannot_be_is_refused_with_its_line(tmp_path, line):
    name = line.partition("=")[0]
    with pytest.raises(SettingsError, match=rf"instances/dhan.env line \d+: {name} is "):
        load(tmp_path, line)
