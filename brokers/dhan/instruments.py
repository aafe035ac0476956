"""Dhan's instrument master (compact CSV) -> instrument rows, with freeze quantities from the detailed CSV.

Source: Dhan API v2, "Instrument List"; units and oddities as users found them (tick size in paise, ids
unique only per segment, series with equal symbols).
"""

from __future__ import annotations

import functools
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from brokers import master, symbols
from brokers.contract import BrokerContext, ParsedInstruments, SessionSource
from brokers.dhan import SPEC, indices
from brokers.errors import BrokerDown, WireError
from brokers.master import Collected, Skip
from brokers.model import Instrument, InstrumentKey
from brokers.transport import Transport

log = logging.getLogger(__name__)

FILE = "api-scrip-master.csv"
DETAILED = "api-scrip-master-detailed.csv"
NO_FREEZE = "without freeze quantity (no detailed file)"
"""Counted beside what was left out: these rows are there, but Dhan, not we, refuses too large an order."""
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
DETAILED_COLUMNS = ("EXCH_ID", "SEGMENT", "SECURITY_ID", "SM_FREEZE_QTY")
FILE_TIMEOUT_S = 120.0
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
_TEST_SYMBOL = re.compile(r"(?:NSE|BSE|MCX)TEST")
# series whose symbol stays bare; every other series of NSE shares its symbol with the EQ row
_BARE_SERIES = frozenset({"EQ", "", "NA", "X"})
_HUNDRED = Decimal(100)
_ZERO = Decimal(0)


class DhanInstruments:
    """Implements ``contract.InstrumentSource``."""

    def __init__(self, context: BrokerContext, session: SessionSource, transport: Transport) -> None:
        # the files are public: no session is asked for
        self._url = context.endpoints["instruments"]
        self._transport = transport

    def download(self) -> Mapping[str, bytes]:
        """The compact file (about 25 MB), and the detailed one beside it (about 40 MB). No login needed.

        Without the second one the first is still worth having.
        """
        files = {FILE: self._fetch(self._url)}
        if self._url.endswith(f"/{FILE}"):
            try:
                files[DETAILED] = self._fetch(self._url.removesuffix(FILE) + DETAILED)
            except BrokerDown as exc:
                log.warning("Dhan instruments have no freeze quantities today: %s", exc)
        return files

    def _fetch(self, url: str) -> bytes:
        return master.fetch(self._transport, url, SPEC.title, read_timeout_s=FILE_TIMEOUT_S)

    def parse(self, files: Mapping[str, bytes], today: date) -> ParsedInstruments:
        """Rows of the compact CSV, with freeze quantities when the detailed one is there.

        See ``parse`` and ``freeze_quantities``. Files are known by their headers, whatever their names are.
        """
        detailed = [content for content in files.values() if b"SM_FREEZE_QTY" in content[:2000]]
        compact = [content for content in files.values() if content not in detailed]
        if len(compact) != 1 or len(detailed) > 1:
            raise WireError(
                f"expected Dhan's one instrument file, or that and the detailed one, got {len(files)}"
            )
        parsed = parse(compact[0], today)
        if not detailed:
            return ParsedInstruments(parsed.rows, {**parsed.skipped, NO_FREEZE: len(parsed.rows)})
        return ParsedInstruments(with_freeze(parsed.rows, freeze_quantities(detailed[0])), parsed.skipped)


def freeze_quantities(content: bytes) -> dict[str, dict[str, int]]:
    """Dhan's segment -> id -> largest quantity of one order, from the detailed CSV; those without are absent.

    Of a derivative the file has one more than the largest (1756 for 27 lots of 65, as the exchange's own
    contract file), of a share the largest itself.

    Raises:
        WireError: Not the detailed file.
    """
    found: dict[str, dict[str, int]] = {}
    for exchange, segment, token, text in master.table(
        content, DETAILED_COLUMNS, "Dhan's detailed instrument file", Counter()
    ):
        try:
            most = _lot(text)
        except ValueError:
            continue  # without a limit of its own
        place = _PLACES.get((exchange, segment))
        if place is not None and most > 1:
            found.setdefault(place[1], {})[token] = most if segment == "E" else most - 1
    return found


def with_freeze(rows: list[Instrument], freeze: Mapping[str, Mapping[str, int]]) -> list[Instrument]:
    """Rows with their freeze quantities; a limit below one lot is none."""
    nothing: Mapping[str, int] = {}
    found = []
    for row in rows:
        most = freeze.get(row.broker_exchange, nothing).get(row.token, 0)
        found.append(replace(row, freeze_qty=most) if most >= row.lot_size and most else row)
    return found


@functools.lru_cache(maxsize=4096)
def _expiry(text: str) -> date | None:
    """Last trading day; the time part is not reliable. None when there is no date."""
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


@functools.lru_cache(maxsize=16384)
def _strike(text: str) -> Decimal:
    """Rupees, in as few digits as a symbol shows: 20800, 292.5, 84.25."""
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)


@functools.lru_cache(maxsize=256)
def _tick(text: str) -> Decimal:
    """Paise text -> rupees: 5.0000 is 0.05."""
    paise = Decimal(text)
    return (paise / _HUNDRED).normalize() if paise > 0 else _ZERO


@functools.lru_cache(maxsize=4096)
def _lot(text: str) -> int:
    return int(float(text))


def parse(content: bytes, today: date) -> ParsedInstruments:
    """One row per (exchange, symbol); the first of a pair stays.

    Args:
        content: The whole compact CSV.
        today: IST date; contracts whose last day is before it are left out.

    Raises:
        WireError: Not Dhan's compact file (header), or no usable row in it.
    """
    found = Collected()
    found.read(
        master.table(content, COLUMNS, "Dhan's compact instrument file", found.skipped),
        lambda columns: _row(columns, today),
    )
    return found.parsed(SPEC.title)


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
        raise Skip(f"no exchange for {exchange} {segment}")
    ours, dhan_segment, words = place
    if word not in words:
        raise Skip(f"instrument {word} in {exchange} {segment}")
    if not token.isdigit() or not trading_symbol:
        raise Skip("no id or symbol")
    if _TEST_SYMBOL.search(trading_symbol):
        raise Skip("test symbol")
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
    """Our symbol, the underlying's root, expiry and strike.

    The root is cut off from the right, so that BAJAJ-AUTO survives; the strike comes from its column, the
    display text rounds it.
    """
    expiry = _expiry(expiry_text)
    if expiry is None:
        raise Skip("derivative without expiry")
    if expiry < today:
        raise Skip("expired")
    if kind == "FUT":
        root, strike = trading_symbol.rsplit("-", 2)[0], _ZERO
    else:
        root, strike = trading_symbol.rsplit("-", 3)[0], _strike(strike_text)
        if kind not in ("CE", "PE") or strike <= 0:
            raise Skip("option without type or strike")
    if len(root) == len(trading_symbol):
        raise Skip("derivative symbol of another shape")
    return symbols.contract(root, expiry, kind, strike), root, expiry, strike
