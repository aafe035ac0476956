"""Write ``brokers/data/calendar.json`` from the maintained calendar ``exchange_calendars`` (XBOM).

Run by hand, with that package installed (it is not a run-time dependency)::

    pip install exchange_calendars && python scripts/update_calendar.py

Only the equity calendar is maintained there, without names and without MCX. What a day is called, and what
MCX does on it, stands in ``NAMES``: MCX trades from 17:00 on most equity holidays and not at all on a few.
Sources: the exchanges' circulars on trading holidays of 2025 and 2026 as reported by the press; MCX on
2026-01-15 (declared late) is assumed to follow the rule. Muhurat sessions are not in the file: their hours
are announced days before; add them by hand with ``"open"``.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import exchange_calendars
import pandas

OUT = Path(__file__).resolve().parent.parent / "brokers" / "data" / "calendar.json"
HOURS = {  # IST; as OpenAlgo's code has them
    "NSE": ["09:15", "15:30"],
    "BSE": ["09:15", "15:30"],
    "NFO": ["09:15", "15:40"],
    "BFO": ["09:15", "15:40"],
    "MCX": ["09:00", "23:55"],
    "NCO": ["09:00", "23:55"],
    "NCDEX": ["09:00", "23:55"],
    "CDS": ["09:00", "17:00"],
    "BCD": ["09:00", "17:00"],
    "CRYPTO": ["00:00", "00:00"],
}
EQUITY = ["NSE", "BSE", "NFO", "BFO", "CDS", "BCD"]
COMMODITY = ["MCX", "NCO"]
EVENING = ["17:00", "23:55"]
WHOLE_DAY = {"Republic Day", "Good Friday", "Independence Day", "Mahatma Gandhi Jayanti", "Christmas"}
"""Commodities do not trade in the evening of these either."""
NAMES = {
    "2025-02-26": "Mahashivratri",
    "2025-03-14": "Holi",
    "2025-03-31": "Id-Ul-Fitr",
    "2025-04-10": "Shri Mahavir Jayanti",
    "2025-04-14": "Dr. Baba Saheb Ambedkar Jayanti",
    "2025-04-18": "Good Friday",
    "2025-05-01": "Maharashtra Day",
    "2025-08-15": "Independence Day",
    "2025-08-27": "Ganesh Chaturthi",
    "2025-10-02": "Mahatma Gandhi Jayanti",
    "2025-10-21": "Diwali Laxmi Pujan",
    "2025-10-22": "Diwali Balipratipada",
    "2025-11-05": "Guru Nanak Jayanti",
    "2025-12-25": "Christmas",
    "2026-01-15": "Municipal Corporation Election - Maharashtra",
    "2026-01-26": "Republic Day",
    "2026-03-03": "Holi",
    "2026-03-26": "Shri Ram Navami",
    "2026-03-31": "Shri Mahavir Jayanti",
    "2026-04-03": "Good Friday",
    "2026-04-14": "Dr. Baba Saheb Ambedkar Jayanti",
    "2026-05-01": "Maharashtra Day",
    "2026-05-28": "Bakri Id",
    "2026-06-26": "Muharram",
    "2026-09-14": "Ganesh Chaturthi",
    "2026-10-02": "Mahatma Gandhi Jayanti",
    "2026-10-20": "Dussehra",
    "2026-11-10": "Diwali Balipratipada",
    "2026-11-24": "Guru Nanak Jayanti",
    "2026-12-25": "Christmas",
}


def holiday(day: str) -> dict[str, Any]:
    """One equity holiday as an entry of the file; a day without a name stops the run."""
    name = NAMES[day]
    entry: dict[str, Any] = {"date": day, "description": name, "closed": EQUITY}
    if name in WHOLE_DAY:
        return entry | {"closed": [*EQUITY, *COMMODITY]}
    return entry | {"open": dict.fromkeys(COMMODITY, EVENING)}


def main() -> None:
    first, last = dt.date(2025, 1, 1), dt.date(2026, 12, 31)
    calendar = exchange_calendars.get_calendar("XBOM", start=str(first), end=str(last))
    weekdays = pandas.date_range(first, last, freq="B")
    days = [holiday(day.date().isoformat()) for day in weekdays if not calendar.is_session(day)]
    data = {
        "dated": dt.datetime.now(dt.UTC).date().isoformat(),
        "source": f"exchange_calendars {exchange_calendars.__version__}, XBOM, {first} to {last}",
        "hours": HOURS,
        "days": days,
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(data, indent=1) + "\n")
    print(f"{OUT.name}: {len(days)} closed days")


if __name__ == "__main__":
    main()
