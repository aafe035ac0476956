"""Holidays and session times of the exchanges, from the calendar file; times are epoch milliseconds.

Source: openalgo-api, section 2.8. OpenAlgo takes midnight of the host's zone; here it is always IST.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from marshmallow import fields, validate

from brokers.calendar import FileCalendar, Session
from brokers.clock import IST
from gateway.api.fields import Whole
from gateway.api.parts import Call, Parts
from gateway.api.schemas import KeyOnly

ORDER = ("NSE", "BSE", "NFO", "BFO", "MCX", "BCD", "CDS", "NCO", "CRYPTO")
"""Exchanges in the order OpenAlgo lists them."""


class Holidays(KeyOnly):
    """``POST /market/holidays``; the present year unless given."""

    year = Whole(load_default=None, allow_none=True, validate=validate.Range(min=2020, max=2050))


class Timings(KeyOnly):
    """``POST /market/timings``."""

    date = fields.Date(required=True, format="%Y-%m-%d")


def holidays(parts: Parts, call: Call) -> dict[str, Any]:
    """Every day of a year that is not an ordinary one; ``open_exchanges`` trade on it all the same."""
    year = call.data["year"] or parts.clock.now().astimezone(IST).year
    days = [day for day in parts.calendar.days() if day.on.year == year]
    return {
        "status": "success",
        "year": year,
        "timezone": "Asia/Kolkata",
        "data": [
            {
                "date": day.on.isoformat(),
                "description": day.description,
                "holiday_type": day.kind,
                "closed_exchanges": [name for name in ORDER if name in day.closed],
                "open_exchanges": _sessions(parts.calendar, day.on, ORDER),
            }
            for day in days
        ],
    }


def timings(parts: Parts, call: Call) -> dict[str, Any]:
    """Sessions of one date; on a weekend only what never closes."""
    return {"status": "success", "data": _sessions(parts.calendar, call.data["date"], ORDER)}


def _sessions(calendar: FileCalendar, on: date, exchanges: Iterable[str]) -> list[dict[str, Any]]:
    found = ((name, calendar.session(name, on)) for name in exchanges)
    return [_times(name, session) for name, session in found if session is not None]


def _times(exchange: str, session: Session) -> dict[str, Any]:
    return {
        "exchange": exchange,
        "start_time": int(session.opens.timestamp() * 1000),
        "end_time": int(session.closes.timestamp() * 1000),
    }
