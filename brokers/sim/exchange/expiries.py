"""When contracts end: NSE on Tuesdays, BSE on Thursdays, moved back past closed days.

Source: NSE and BSE circulars of 2025 (expiry day Tuesday at NSE, Thursday at BSE from 1 September 2025;
weekly contracts for NIFTY and SENSEX only; a closed day moves the expiry to the trading day before).
"""

from __future__ import annotations

from datetime import date, timedelta

from brokers.calendar import Calendar

TUESDAY, THURSDAY = 1, 3
_WEEKDAY = {"NFO": TUESDAY, "BFO": THURSDAY}


def _trading_day(on: date, exchange: str, calendar: Calendar) -> date:
    while calendar.session(exchange, on) is None:
        on -= timedelta(days=1)
    return on


def monthly_of(year: int, month: int, exchange: str, calendar: Calendar) -> date:
    """The monthly expiry of ``NFO`` or ``BFO``: the month's last Tuesday or Thursday, or before."""
    first_of_next = date(year + month // 12, month % 12 + 1, 1)
    last = first_of_next - timedelta(days=1)
    last -= timedelta(days=(last.weekday() - _WEEKDAY[exchange]) % 7)
    return _trading_day(last, exchange, calendar)


def monthlies(today: date, count: int, exchange: str, calendar: Calendar) -> list[date]:
    """The next ``count`` monthly expiries, today's included."""
    found: list[date] = []
    year, month = today.year, today.month
    while len(found) < count:
        expiry = monthly_of(year, month, exchange, calendar)
        if expiry >= today:
            found.append(expiry)
        year, month = year + month // 12, month % 12 + 1
    return found


def weeklies(today: date, count: int, exchange: str, calendar: Calendar) -> list[date]:
    """The next ``count`` weekly expiries, today's included; the month's last one is the monthly."""
    found: list[date] = []
    # a moved expiry lies before its Tuesday, so no Tuesday before today can still matter
    day = today + timedelta(days=(_WEEKDAY[exchange] - today.weekday()) % 7)
    while len(found) < count:
        expiry = _trading_day(day, exchange, calendar)
        if expiry >= today and expiry not in found:
            found.append(expiry)
        day += timedelta(days=7)
    return found


def is_monthly(expiry: date, exchange: str, calendar: Calendar) -> bool:
    return monthly_of(expiry.year, expiry.month, exchange, calendar) == expiry
