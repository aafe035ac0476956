"""What an OpenAlgo installation held, put into an instance's databases before it first runs.

Keys and webhook addresses go into the simulated database too, so that a strategy can be tried there as it
is. No credential is needed: the live account may be filled in later.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from brokers.clock import Clock, SystemClock
from brokers.errors import InvalidRequest, SettingsError, StoreError
from brokers.model import InstrumentKey, Product, Venue
from gateway.keys import Keys
from gateway.settings import Settings, databases
from gateway.store import engine
from gateway.store.strategies import NewStrategy, Strategies
from gateway.strategies.model import CHARTINK, PLATFORMS, Hours, Mapped, TradingMode, time_of

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_SETTINGS = 2
LABEL = "from OpenAlgo"
NAMES = 50


def main(settings: Settings, body: str) -> int:
    """Take ``{"keys": [text], "strategies": [row]}``; print ``{"keys", "strategies", "notes"}``."""
    plain = json.loads(body)
    try:
        # live last: what is said of it counts
        reports = [_into(settings, venue, plain, SystemClock()) for venue in (Venue.SIM, Venue.LIVE)]
    except (SettingsError, StoreError) as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_SETTINGS if isinstance(exc, SettingsError) else EXIT_FAILED
    sys.stdout.write(json.dumps(reports[-1]))
    return EXIT_OK


def _into(settings: Settings, venue: Venue, plain: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
    database = engine.open(databases(settings.home, settings.name, venue).main, venue)
    try:
        keys = Keys(database, settings.pepper, clock)
        for text in plain["keys"]:
            keys.adopt(LABEL, str(text))
        strategies = Strategies(database, clock)
        notes: list[str] = []
        names = [name for row in plain["strategies"] if (name := _strategy(strategies, row, notes))]
        return {"keys": len(plain["keys"]), "strategies": names, "notes": notes}
    finally:
        database.close()


def _strategy(strategies: Strategies, row: Mapping[str, Any], notes: list[str]) -> str:
    """The name it got; empty when it could not be taken, which ``notes`` says."""
    name = str(row["name"])
    if strategies.by_webhook(row["webhook_id"]) is not None:
        return name
    try:
        platform = str(row["platform"]).lower()
        mode = TradingMode.BOTH if platform == CHARTINK else TradingMode(row["mode"])
        new = NewStrategy(
            name=_free(strategies, name),
            platform=platform if platform in PLATFORMS else "other",
            mode=mode,
            hours=_hours(row),
            symbols=_symbols(name, row["symbols"], notes),
            webhook_id=str(row["webhook_id"]),
            active=bool(row["active"]),
        )
        return strategies.create(new).name
    except (InvalidRequest, ValueError) as exc:
        notes.append(f"strategy '{name}' was not taken over: {exc}")
        return ""


def _hours(row: Mapping[str, Any]) -> Hours | None:
    if not row["intraday"]:
        return None
    return Hours(*(time_of(str(row[part])) for part in ("start", "end", "square_off")))


def _symbols(name: str, rows: list[Mapping[str, Any]], notes: list[str]) -> list[Mapped]:
    found: dict[str, Mapped] = {}
    for row in rows:
        symbol, quantity = str(row["symbol"]).strip().upper(), int(row["quantity"])
        try:
            mapped = Mapped(InstrumentKey(str(row["exchange"]), symbol), quantity, Product(row["product"]))
        except ValueError as exc:
            notes.append(f"strategy '{name}': {symbol} was left out: {exc}")
            continue
        if symbol in found or quantity <= 0:
            notes.append(
                f"strategy '{name}': {symbol} x {quantity} was left out: it stands twice, or is no order"
            )
            continue
        found[symbol] = mapped
    return list(found.values())


def _free(strategies: Strategies, name: str) -> str:
    """OpenAlgo allows two strategies of one name."""
    taken = {strategy.name for strategy in strategies.all()}
    names = (name, *(f"{name} {number}" for number in range(2, NAMES)))
    return next((one for one in names if one not in taken), name)
