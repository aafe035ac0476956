"""Dhan's instrument master (compact CSV) -> instrument rows.

Source: Dhan API v2, "Instrument List"; units and oddities as users found them (tick size in paise, ids
unique only per segment, series with equal symbols).
"""

from __future__ import annotations

import csv
import functools
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from brokers.contract import BrokerContext, ParsedInstruments
from brokers.dhan import indices
from brokers.errors import BrokerDown, WireError
from brokers.model import Instrument, InstrumentKey
from brokers.transport import Transport

FILE = "api-scrip-master.csv"
COLUMNS = (
    "SEM_EXM_EXCH_ID",
    "SEM_SEGMENT",
    "SEM_SMST_SECURITY_ID",
    "SEM_INSTRUMENT_NAME",
    "SEM_TRADING_SYMBOL",
    "SEM_LOT_UNITS",
    "SEM_CUSTOM_SYMBOL",
    "SEM_EXPIRY_DATE",
    "SEM_STRIKE_PRICE",
    "SEM_OPTION_TYPE",
    "SEM_TICK_SIZE",
    "SEM_SERIES",
    "SM_SYMBOL_NAME",
)
_F_AND_O = frozenset({"FUTIDX", "FUTSTK", "OPTIDX", "OPTSTK"})
_CURRENCY = frozenset({"FUTCUR", "OPTCUR"})
# (exchange, segment) -> our exchange, Dhan's segment, instruments that belong there
_PLACES: dict[tuple[str, str], tuple[str, str, frozenset[str]]] = {
    ("NSE", "E"): ("NSE", "NSE_EQ", frozenset({"EQUITY"})),
    ("BSE", "E"): ("BSE", "BSE_EQ", frozenset({"EQUITY"})),
    ("NSE", "I"): ("NSE_INDEX", "IDX_I", frozenset({"INDEX"})),
    ("BSE", "I"): ("BSE_INDEX", "IDX_I", frozenset({"INDEX"})),
    ("NSE", "D"): ("NFO", "NSE_FNO", _F_AND_O),
    ("BSE", "D"): ("BFO", "BSE_FNO", _F_AND_O),
    ("NSE", "C"): ("CDS", "NSE_CURRENCY", _CURRENCY),
    ("BSE", "C"): ("BCD", "BSE_CURRENCY", _CURRENCY),
    ("MCX", "M"): ("MCX", "MCX_COMM", frozenset({"FUTCOM", "FUTIDX", "OPTFUT"})),
}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_TEST_SYMBOL = re.compile(r"(?:NSE|BSE|MCX)TEST")
# series whose symbol stays bare; every other series of NSE shares its symbol with the EQ row
_BARE_SERIES = frozenset({"EQ", "", "NA", "X"})
_HUNDRED = Decimal(100)
_ZERO = Decimal(0)


class DhanInstruments:
    """Implements ``contract.InstrumentSource``."""

    def __init__(self, context: BrokerContext, transport: Transport) -> None:
        self._url = context.endpoints["instruments"]
        self._transport = transport

    def download(self) -> Mapping[str, bytes]:
        """The compact file, about 25 MB; no login needed."""
        reply = self._transport.fetch("GET", self._url, headers={"Accept": "text/csv"}, read_timeout_s=120.0)
        if reply.status != 200:
            raise BrokerDown(f"Dhan's instrument file answered HTTP {reply.status}")
        return {FILE: reply.body}

    def parse(self, files: Mapping[str, bytes], today: date) -> ParsedInstruments:
        """Rows of the compact CSV; see ``parse``. Takes the one file whatever its name is."""
        if len(files) != 1:
            raise WireError(f"expected Dhan's one instrument file, got {len(files)}")
        return parse(next(iter(files.values())), today)


@functools.lru_cache(maxsize=4096)
def _expiry(text: str) -> tuple[date, str] | None:
    """Last trading day and its DDMMMYY; the time part is not reliable. None when there is no date."""
    try:
        day = date.fromisoformat(text[:10])
    except ValueError:
        return None
    return day, f"{day.day:02d}{_MONTHS[day.month - 1]}{day.year % 100:02d}"


@functools.lru_cache(maxsize=16384)
def _strike(text: str) -> tuple[Decimal, str]:
    """Rupees, and the text of a symbol: 20800, 292.5, 84.25."""
    value = Decimal(text)
    shown = text.rstrip("0").rstrip(".") if "." in text else text
    return Decimal(shown), shown if value > 0 else ""


@functools.lru_cache(maxsize=256)
def _tick(text: str) -> Decimal:
    """Paise text -> rupees: 5.0000 is 0.05."""
    paise = Decimal(text)
    return (paise / _HUNDRED).normalize() if paise > 0 else _ZERO


@functools.lru_cache(maxsize=4096)
def _lot(text: str) -> int:
    return int(float(text))


class _Skip(Exception):
    """Why a row is not fit for the table."""


def parse(content: bytes, today: date) -> ParsedInstruments:
    """One row per (exchange, symbol); the first of a pair stays.

    Args:
        content: The whole compact CSV.
        today: IST date; contracts whose last day is before it are left out.

    Raises:
        WireError: Not Dhan's compact file (header), or no usable row in it.
    """
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            raise WireError(f"not Dhan's compact instrument file: no {', '.join(missing)}", content[:500])
        pick = [header.index(name) for name in COLUMNS]
        rows, skipped = _rows(reader, pick, today)
    except (UnicodeDecodeError, csv.Error) as exc:
        raise WireError(f"Dhan's instrument file cannot be read: {exc}", content[:500]) from exc
    if not rows:
        raise WireError("Dhan's instrument file has no usable row", content[:500])
    return ParsedInstruments(rows, skipped)


def _rows(
    lines: Iterable[list[str]], pick: Sequence[int], today: date
) -> tuple[list[Instrument], dict[str, int]]:
    width = max(pick) + 1
    skipped: Counter[str] = Counter()
    found: dict[InstrumentKey, Instrument] = {}
    in_order = list(pick) == list(range(len(pick)))
    for line in lines:
        if len(line) < width:
            if line:
                skipped["short row"] += 1
            continue
        try:
            row = _row(line if in_order else [line[at] for at in pick], today)
        except _Skip as exc:
            skipped[str(exc)] += 1
        except (ValueError, ArithmeticError):
            skipped["unreadable number"] += 1
        else:
            if found.setdefault(row.key, row) is not row:
                skipped["duplicate symbol"] += 1
    return list(found.values()), dict(skipped)


def _row(columns: Sequence[str], today: date) -> Instrument:
    (
        exchange,
        segment,
        token,
        word,
        trading_symbol,
        lot,
        display,
        expiry_text,
        strike_text,
        option_type,
        tick,
        series,
        name,
    ) = columns
    place = _PLACES.get((exchange, segment))
    if place is None:
        raise _Skip(f"no exchange for {exchange} {segment}")
    ours, dhan_segment, words = place
    if word not in words:
        raise _Skip(f"instrument {word} in {exchange} {segment}")
    if not token.isdigit() or not trading_symbol:
        raise _Skip("no id or symbol")
    if _TEST_SYMBOL.search(trading_symbol):
        raise _Skip("test symbol")
    expiry: date | None = None
    strike, tick_size = _ZERO, _tick(tick)
    if word == "EQUITY":
        kind, symbol, title = "EQ", trading_symbol, name or display
        if ours == "NSE" and series not in _BARE_SERIES:
            symbol = f"{trading_symbol}-{series}"
    elif word == "INDEX":
        kind, symbol, title = "INDEX", indices.symbol(ours, trading_symbol), display or name
        tick_size = _ZERO
    else:
        kind = "FUT" if word[0] == "F" else option_type
        symbol, title, expiry, strike = _derivative(trading_symbol, kind, expiry_text, strike_text, today)
    return Instrument(
        key=InstrumentKey(ours, symbol),
        token=token,
        broker_exchange=dhan_segment,
        broker_symbol=trading_symbol,
        name=title,
        instrument_type=kind,
        lot_size=_lot(lot),
        tick_size=tick_size,
        expiry=expiry,
        strike=strike,
        display_name=display,
    )


def _derivative(
    trading_symbol: str, kind: str, expiry_text: str, strike_text: str, today: date
) -> tuple[str, str, date, Decimal]:
    """Our symbol, the underlying's root, expiry and strike. The root is cut off from the right, so that
    BAJAJ-AUTO survives; the strike comes from its column, the display text rounds it."""
    last = _expiry(expiry_text)
    if last is None:
        raise _Skip("derivative without expiry")
    expiry, day = last
    if expiry < today:
        raise _Skip("expired")
    if kind == "FUT":
        root, strike, shown = trading_symbol.rsplit("-", 2)[0], _ZERO, ""
    else:
        root = trading_symbol.rsplit("-", 3)[0]
        strike, shown = _strike(strike_text)
        if kind not in ("CE", "PE") or not shown:
            raise _Skip("option without type or strike")
    if len(root) == len(trading_symbol):
        raise _Skip("derivative symbol of another shape")
    return f"{root}{day}{shown}{kind}", root, expiry, strike
