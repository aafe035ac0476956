"""The shape of an instrument row: columns, indexes, and the way to a value and back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from brokers.model import Exchange, Instrument, InstrumentKey

LIVE = "instruments"
EXPIRED = "instruments_expired"
STAGING = "instruments_staging"
OLD = "instruments_old"

COLUMNS = (
    "exchange, symbol, token, broker_exchange, broker_symbol, name, instrument_type, lot_size, tick_size, "
    "expiry, strike, freeze_qty, feed_token, display_name"
)
DDL = """CREATE TABLE IF NOT EXISTS {table} (
    exchange TEXT NOT NULL, symbol TEXT NOT NULL, token TEXT NOT NULL, broker_exchange TEXT NOT NULL,
    broker_symbol TEXT NOT NULL, name TEXT NOT NULL, instrument_type TEXT NOT NULL, lot_size INTEGER NOT NULL,
    tick_size TEXT NOT NULL, expiry TEXT NOT NULL, strike TEXT NOT NULL, freeze_qty INTEGER NOT NULL,
    feed_token TEXT NOT NULL, display_name TEXT NOT NULL,
    strike_inr REAL NOT NULL, display_key TEXT NOT NULL, haystack TEXT NOT NULL)"""
INDEXES = {
    "key": "UNIQUE INDEX {name} ON {table} (exchange, symbol)",
    "token": "INDEX {name} ON {table} (broker_exchange, token)",
    "broker": "INDEX {name} ON {table} (broker_exchange, broker_symbol)",
    "display": "INDEX {name} ON {table} (display_key) WHERE display_key <> ''",
    "chain": "INDEX {name} ON {table} (exchange, name, expiry, strike_inr)",
}
INSERT = "INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

# in the order OpenAlgo lists them: RELIANCE alone means NSE's
RANK = {exchange.value: place for place, exchange in enumerate(Exchange)}
CANONICAL = "CASE exchange " + " ".join(f"WHEN '{e}' THEN {n}" for e, n in RANK.items()) + " ELSE 99 END"


def to_row(instrument: Instrument) -> tuple[Any, ...]:
    """All columns of one instrument. Decimals without trailing zeros, so that equal is equal."""
    strike = plain(instrument.strike)
    display_key = squeeze(instrument.display_name)
    texts = (
        instrument.key.symbol,
        instrument.broker_symbol,
        instrument.name,
        instrument.token,
        strike,
        display_key,
    )
    return (
        str(instrument.key.exchange),
        instrument.key.symbol,
        instrument.token,
        instrument.broker_exchange,
        instrument.broker_symbol,
        instrument.name,
        instrument.instrument_type,
        instrument.lot_size,
        plain(instrument.tick_size),
        instrument.expiry.isoformat() if instrument.expiry else "",
        strike,
        instrument.freeze_qty,
        instrument.feed_token,
        instrument.display_name,
        float(instrument.strike),
        display_key,
        "\n".join(texts).upper(),
    )


def from_row(row: Sequence[Any], *, expired: bool = False) -> Instrument:
    """The value of one row of ``COLUMNS``."""
    return Instrument(
        key=InstrumentKey(row[0], row[1]),
        token=row[2],
        broker_exchange=row[3],
        broker_symbol=row[4],
        name=row[5],
        instrument_type=row[6],
        lot_size=row[7],
        tick_size=Decimal(row[8]),
        expiry=date.fromisoformat(row[9]) if row[9] else None,
        strike=Decimal(row[10]),
        freeze_qty=row[11],
        feed_token=row[12],
        display_name=row[13],
        expired=expired,
    )


def squeeze(text: str) -> str:
    """Upper case with single blanks: how a display name is compared."""
    return " ".join(text.split()).upper()


def plain(value: Decimal) -> str:
    """``0.0500`` -> ``0.05``, ``24000.0`` -> ``24000``."""
    return format(value.normalize(), "f") if value else "0"
