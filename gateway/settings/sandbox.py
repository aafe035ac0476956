"""The sandbox's settings: capital, leverage, square-off times. Light: ``gateway.settings`` imports it.

Names are our own, defaults are those of OpenAlgo's sandbox (its ``sandbox_config`` table), with two
differences: the weekly reset is off unless asked for, and a price has an age.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from decimal import Decimal

from brokers.errors import SettingsError
from gateway.settings.envfile import EnvFile

EXAMPLE = """\
# Paper trading (analyze mode) on live prices; the values shown are the defaults.
# PAPER_TRADING=false              # true: start in analyze mode; a switch by /api/v1/analyzer/toggle is kept
# SANDBOX_STARTING_CAPITAL=10000000
# SANDBOX_EQUITY_MIS_LEVERAGE=5
# SANDBOX_EQUITY_CNC_LEVERAGE=1
# SANDBOX_FUTURES_LEVERAGE=10
# SANDBOX_OPTION_BUY_LEVERAGE=1
# SANDBOX_OPTION_SELL_LEVERAGE=1
# SANDBOX_NSE_BSE_SQUARE_OFF=15:15 # IST; NFO and BFO too
# SANDBOX_CDS_BCD_SQUARE_OFF=16:45
# SANDBOX_MCX_SQUARE_OFF=23:30
# SANDBOX_NCDEX_SQUARE_OFF=17:00
# SANDBOX_RESET_DAY=never          # or a weekday such as Sunday: begin anew at 00:00 IST
# SANDBOX_PRICE_AGE_SECONDS=60     # an older price fills nothing
# SANDBOX_PRICE_WAIT_SECONDS=1.5   # for a first price, by a market order
"""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_ON = ("true", "1", "yes", "on")
_OFF = ("false", "0", "no", "off", "")
_GROUPS = {
    "SANDBOX_NSE_BSE_SQUARE_OFF": (time(15, 15), ("NSE", "BSE", "NFO", "BFO")),
    "SANDBOX_CDS_BCD_SQUARE_OFF": (time(16, 45), ("CDS", "BCD")),
    "SANDBOX_MCX_SQUARE_OFF": (time(23, 30), ("MCX",)),
    "SANDBOX_NCDEX_SQUARE_OFF": (time(17, 0), ("NCDEX", "NCO")),
}


@dataclass(frozen=True, slots=True)
class Leverage:
    """How many rupees of value one rupee of margin carries."""

    equity_mis: Decimal = Decimal(5)
    equity_cnc: Decimal = Decimal(1)
    futures: Decimal = Decimal(10)
    option_buy: Decimal = Decimal(1)
    option_sell: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class SandboxRules:
    """Settings of one instance's sandbox.

    Attributes:
        paper_trading: Start in analyze mode when no toggle was ever stored (``PAPER_TRADING``).
        capital: Rupees an account begins with.
        square_off: IST time at which intraday positions of an exchange are closed.
        reset_day: Weekday (0 is Monday) on which the account begins anew by itself; None never.
        price_age_s: A price older than this fills nothing.
        price_wait_s: How long a market order waits for a first price of its symbol.
    """

    paper_trading: bool
    capital: Decimal
    leverage: Leverage
    square_off: Mapping[str, time]
    reset_day: int | None
    price_age_s: float
    price_wait_s: float


def read(env: EnvFile) -> SandboxRules:
    """Raises ``SettingsError`` with file and line."""

    def leverage(name: str, default: int) -> Decimal:
        return Decimal(str(env.number(name, default, 1, 50)))

    square_off: dict[str, time] = {}
    for name, (default, exchanges) in _GROUPS.items():
        at = _time(env, name, default)
        square_off.update(dict.fromkeys(exchanges, at))
    return SandboxRules(
        paper_trading=_flag(env, "PAPER_TRADING"),
        capital=Decimal(str(env.number("SANDBOX_STARTING_CAPITAL", 10_000_000, 1000, 1e12))),
        leverage=Leverage(
            equity_mis=leverage("SANDBOX_EQUITY_MIS_LEVERAGE", 5),
            equity_cnc=leverage("SANDBOX_EQUITY_CNC_LEVERAGE", 1),
            futures=leverage("SANDBOX_FUTURES_LEVERAGE", 10),
            option_buy=leverage("SANDBOX_OPTION_BUY_LEVERAGE", 1),
            option_sell=leverage("SANDBOX_OPTION_SELL_LEVERAGE", 1),
        ),
        square_off=square_off,
        reset_day=_weekday(env, "SANDBOX_RESET_DAY"),
        price_age_s=env.number("SANDBOX_PRICE_AGE_SECONDS", 60, 1, 86_400),
        price_wait_s=env.number("SANDBOX_PRICE_WAIT_SECONDS", 1.5, 0, 10),
    )


def _flag(env: EnvFile, name: str) -> bool:
    text = env.text(name, "").strip().lower()
    if text not in (*_ON, *_OFF):
        raise SettingsError(f"{env.where(name)}: {name} is {text}, expected TRUE or FALSE")
    return text in _ON


def _time(env: EnvFile, name: str, default: time) -> time:
    text = env.text(name, f"{default:%H:%M}")
    match = _TIME.fullmatch(text)
    if match is None:
        raise SettingsError(f"{env.where(name)}: {name} is {text}, expected a time such as 15:15 (IST)")
    return time(int(match[1]), int(match[2]))


def _weekday(env: EnvFile, name: str) -> int | None:
    text = env.text(name, "never").strip().capitalize()
    if text == "Never":
        return None
    if text not in WEEKDAYS:
        raise SettingsError(
            f"{env.where(name)}: {name} is {text}, expected never or a weekday such as Sunday"
        )
    return WEEKDAYS.index(text)
