"""Risk limits in the env file: off unless set, and a wrong one is named with its line."""

from __future__ import annotations

import re
from datetime import time
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.errors import SettingsError
from brokers.model import Venue
from gateway.settings import load
from gateway.settings.risk import EXAMPLE, NO_RULES, RiskRules, SquareOff
from tests.gateway.api.rig import write_env


def rules(home: Path, *lines: str) -> RiskRules:
    write_env(home, "dhan", *lines)
    return load(home, "dhan", Venue.SIM).risk


def test_nothing_is_limited_unless_it_is_set(tmp_path: Path) -> None:
    assert rules(tmp_path) == NO_RULES
    assert not NO_RULES.watches


def test_the_example_is_valid_and_names_every_setting(tmp_path: Path) -> None:
    lines = re.findall(r"^# (RISK_\w+=\S+)", EXAMPLE, re.MULTILINE)
    found = rules(tmp_path, *lines)
    assert found == RiskRules(
        max_order_value=Decimal(500000),
        max_quantity=5000,
        max_open_orders=40,
        orders_per_minute=60,
        data_per_minute=600,
        exchanges=frozenset({"NSE", "NFO"}),
        products=frozenset({"MIS", "CNC"}),
        day_loss=Decimal(25000),
        square_off=SquareOff(at=time(15, 15)),
    )
    source = (Path(__file__).parents[3] / "gateway" / "settings" / "risk.py").read_text()
    assert set(re.findall(r'"(RISK_\w+)"', source)) == {line.split("=")[0] for line in lines}


def test_minutes_before_the_close(tmp_path: Path) -> None:
    assert rules(tmp_path, "RISK_SQUARE_OFF=15m").square_off == SquareOff(before_close_m=15)


@pytest.mark.parametrize(
    "line",
    [
        "RISK_MAX_ORDER_VALUE=-1",
        "RISK_MAX_ORDER_VALUE=NaN",
        "RISK_MAX_ORDER_QUANTITY=0",
        "RISK_MAX_OPEN_ORDERS=many",
        "RISK_ORDERS_PER_MINUTE=1.5",
        "RISK_DATA_PER_MINUTE=²",
        "RISK_EXCHANGES=NSE,NYSE",
        "RISK_PRODUCTS=BO",
        "RISK_DAY_LOSS=0",
        "RISK_DAY_LOSS_CLOSE=perhaps",
        "RISK_CHECK_MARGIN=1",
        "RISK_MARGIN_UNKNOWN=guess",
        "RISK_SQUARE_OFF=25:00",
        "RISK_SQUARE_OFF=1515",
        "RISK_SQUARE_OFF_PRODUCTS=X",
    ],
)
def test_a_wrong_one_is_named_with_file_and_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(SettingsError, match=rf"instances/dhan.env line 8: {line.split('=')[0]} "):
        rules(tmp_path, line)
