"""Write ``brokers/data/calendar.json`` from the maintained calendar ``exchange_calendars`` (XBOM).

Run by hand, with that package installed (it is not a run-time dependency)::

    pip install exchange_calendars && python scripts/update_calendar.py

Only the equity calendar is maintained there; commodity (MCX) evenings on equity holidays are not in it, so a
closed day here closes NSE, BSE, their derivatives and currency, and leaves MCX to its default hours.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

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


def main() -> None:
    first, last = dt.date(2025, 1, 1), dt.date(2026, 12, 31)
    calendar = exchange_calendars.get_calendar("XBOM", start=str(first), end=str(last))
    weekdays = pandas.date_range(first, last, freq="B")
    days = [
        {"date": day.date().isoformat(), "closed": EQUITY} for day in weekdays if not calendar.is_session(day)
    ]
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
