"""Dhan's instrument master files, compact and detailed, as text rows.

Tick sizes are in paise (5.0000 is 0.05 rupees) except on index rows (0.0500); nowhere does a row say so.
Three odd rows ride along, as in the real files: a contract that expired, an exchange test symbol and an NSE
commodity contract.

Source: Dhan API v2, Instrument List; headers as served in August and September 2026.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from brokers.sim.dhan import ids
from brokers.sim.dhan.ids import Directory
from brokers.sim.exchange.types import Kind, Listing

COMPACT_HEADER = (
    "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,"
    "SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,"
    "SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME"
)
DETAILED_HEADER = (
    "EXCH_ID,SEGMENT,SECURITY_ID,ISIN,INSTRUMENT,UNDERLYING_SECURITY_ID,UNDERLYING_SYMBOL,SYMBOL_NAME,"
    "DISPLAY_NAME,INSTRUMENT_TYPE,SERIES,LOT_SIZE,SM_EXPIRY_DATE,STRIKE_PRICE,OPTION_TYPE,TICK_SIZE,EXPIRY_FLAG,"
    "BRACKET_FLAG,COVER_FLAG,ASM_GSM_FLAG,ASM_GSM_CATEGORY,BUY_SELL_INDICATOR,BUY_CO_MIN_MARGIN_PER,"
    "BUY_CO_SL_RANGE_MAX_PERC,BUY_CO_SL_RANGE_MIN_PERC,BUY_BO_MIN_MARGIN_PER,BUY_BO_PROFIT_RANGE_MAX_PERC,"
    "BUY_BO_PROFIT_RANGE_MIN_PERC,MTF_LEVERAGE,SM_UPPER_LIMIT,SM_LOWER_LIMIT,SM_FREEZE_QTY,"
)

_CLOSE = {"NFO": "14:30:00", "BFO": "15:30:00", "MCX": "23:30:00", "CDS": "12:30:00", "BCD": "12:30:00"}
_MNEMONIC = {"SENSEX": "BSXOPT", "BANKEX": "BKXOPT"}
_ODD_IDS = 990_001  # above every id the universe gives out on these segments


def compact(listings: tuple[Listing, ...], directory: Directory, today: date) -> Iterator[str]:
    """Lines of the compact file, each with its line end, header first."""
    yield COMPACT_HEADER + "\n"
    for listing in listings:
        if directory.knows(listing):
            yield _line(_compact_fields(listing, directory.id(listing))) + "\n"
    yield from _odd_compact(today)


def detailed(
    listings: tuple[Listing, ...], directory: Directory, today: date, segment: str | None = None
) -> Iterator[str]:
    """Lines of the detailed file (or of one segment of it); rows end in a comma as the header does."""
    yield DETAILED_HEADER + "\n"
    for listing in listings:
        if directory.knows(listing) and segment in (None, ids.segment(listing)):
            yield _line(_detailed_fields(listing, directory.id(listing))) + ",\n"
    if segment is None:
        yield from _odd_detailed(today)


def _compact_fields(listing: Listing, security_id: int) -> list[str]:
    exchange, segment = ids.home(listing)
    return [
        exchange,
        segment,
        str(security_id),
        ids.instrument(listing),
        "0",
        ids.trading_symbol(listing),
        f"{_lot(listing)}.0",
        ids.display_name(listing),
        _expiry_time(listing),
        _strike(listing),
        _option_type(listing),
        _tick(listing),
        _flag(listing),
        _exchange_type(listing),
        ids.series(listing),
        _symbol_name(listing),
    ]


def _detailed_fields(listing: Listing, security_id: int) -> list[str]:
    exchange, segment = ids.home(listing)
    cash = listing.kind is Kind.EQUITY
    name = listing.name.upper() if cash else ids.trading_symbol(listing)
    upper, lower = _circuits(listing)
    margins = ["20.00", "10.00", "0.10", "20.00", "20.00", "0.10", "4.00"] if cash else ["0"] * 7
    return [
        exchange,
        segment,
        str(security_id),
        listing.isin or "NA",
        ids.instrument(listing),
        _underlying_id(listing, security_id),
        listing.root if listing.kind is not Kind.INDEX else listing.symbol,
        name,
        ids.display_name(listing),
        _exchange_type(listing),
        ids.series(listing) if cash else "NA",
        f"{_lot(listing)}.0",
        "0001-01-01" if listing.kind is Kind.INDEX else _date(listing.expiry),
        _strike(listing),
        _option_type(listing),
        _tick(listing),
        "N" if listing.kind is Kind.INDEX else _flag(listing),
        "Y" if cash else "N",
        "Y" if cash else "N",
        "N",
        "NA",
        "A",
        *margins,
        upper,
        lower,
        _freeze(listing),
    ]


def _line(fields: list[str]) -> str:
    """The files quote nothing, so a comma inside a field would shift the rest."""
    return ",".join(field.replace(",", " ") for field in fields)


def _lot(listing: Listing) -> int:
    return 1 if listing.exchange in ids.LOT_COUNTED else listing.lot_size


def _date(on: date | None) -> str:
    return "" if on is None else on.isoformat()


def _expiry_time(listing: Listing) -> str:
    if listing.kind is Kind.INDEX:
        return "0001-01-01"
    if listing.expiry is None:
        return ""
    return f"{listing.expiry.isoformat()} {_CLOSE[listing.exchange]}"


def _strike(listing: Listing) -> str:
    if ids.is_option(listing):
        return f"{listing.strike_paise // 100}.{listing.strike_paise % 100:02d}000"
    if listing.kind is Kind.FUTURE:
        return "0.00000" if listing.exchange == "MCX" else "-0.01000"
    return ""


def _option_type(listing: Listing) -> str:
    if ids.is_option(listing):
        return listing.kind.value
    return "" if listing.kind is Kind.EQUITY else "XX"


def _tick(listing: Listing) -> str:
    if listing.kind is Kind.INDEX:
        return f"{listing.tick_paise / 100:.4f}"
    return f"{listing.tick_paise}.0000"


def _flag(listing: Listing) -> str:
    if listing.kind is Kind.EQUITY:
        return "NA"
    if listing.kind is Kind.INDEX:
        return ""
    return "W" if listing.weekly else "M"


def _exchange_type(listing: Listing) -> str:
    if listing.kind is Kind.EQUITY:
        return "ES"
    if listing.kind is Kind.INDEX:
        return "INDEX"
    if listing.exchange == "MCX":
        return ids.instrument(listing)
    if listing.kind is Kind.FUTURE:
        return "FUTCUR" if listing.exchange in ("CDS", "BCD") else "FUT"
    return {"BFO": "IO" if listing.root in ids.INDEX_ROOTS else "SO", "BCD": "CUR OP"}.get(
        listing.exchange, "OP"
    )


def _symbol_name(listing: Listing) -> str:
    """Company for cash, name for an index; blank or a mnemonic for most derivatives."""
    if listing.kind is Kind.EQUITY:
        return listing.name.upper()
    if listing.kind is Kind.INDEX:
        return ids.trading_symbol(listing)
    if listing.exchange == "BFO":
        return _MNEMONIC.get(listing.root, "")
    return listing.root if listing.exchange in ids.LOT_COUNTED else ""


def _underlying_id(listing: Listing, security_id: int) -> str:
    """The exchange's id, not Dhan's: NIFTY derivatives say 26000 while the index row says 13."""
    if listing.kind is Kind.EQUITY:
        return ""
    if listing.kind is Kind.INDEX:
        return str(security_id)
    return "26000" if listing.root == "NIFTY" else ""


def _circuits(listing: Listing) -> tuple[str, str]:
    if listing.kind is Kind.INDEX:
        return "0.0000", "0.0000"
    base = listing.base_paise / 100
    return f"{base * 1.1:.4f}", f"{max(base * 0.9, listing.tick_paise / 100):.4f}"


def _freeze(listing: Listing) -> str:
    """The largest quantity plus one, so probably: a sample shows 1756 for 27 lots of 65."""
    if listing.kind is Kind.INDEX or listing.freeze_qty <= 0:
        return "0"
    return str(listing.freeze_qty + 1) if listing.expiry else str(listing.freeze_qty)


def _odd_compact(today: date) -> Iterator[str]:
    gone, soon = _odd_dates(today)
    yield (
        f"NSE,D,{_ODD_IDS},FUTIDX,0,NIFTY-{gone:%b%Y}-FUT,65.0,NIFTY {gone:%b} FUT,{gone} 14:30:00,"
        "-0.01000,XX,10.0000,M,FUT,NA,\n"
    )
    yield f"NSE,E,{_ODD_IDS + 1},EQUITY,0,011NSETEST,1.0,NSE Test,,,,5.0000,NA,ES,EQ,NSETEST LTD\n"
    yield (
        f"NSE,M,{_ODD_IDS + 2},FUTCOM,0,GOLD-{soon:%d%b%Y}-FUT,1.0,GOLD {soon:%b} FUT,{soon} 23:30:00,"
        "0.00000,XX,100.0000,M,FUTCOM,NA,GOLD\n"
    )


def _odd_detailed(today: date) -> Iterator[str]:
    gone, soon = _odd_dates(today)
    tail = "N,N,N,NA,A,0,0,0,0,0,0,0,0.0000,0.0000,0,\n"
    yield (
        f"NSE,D,{_ODD_IDS},NA,FUTIDX,26000,NIFTY,NIFTY-{gone:%b%Y}-FUT,NIFTY {gone:%b} FUT,FUT,NA,65.0,"
        f"{gone},-0.01000,XX,10.0000,M,{tail}"
    )
    yield f"NSE,E,{_ODD_IDS + 1},NA,EQUITY,,011NSETEST,NSETEST LTD,NSE Test,ES,EQ,1.0,,,,5.0000,NA,{tail}"
    yield (
        f"NSE,M,{_ODD_IDS + 2},NA,FUTCOM,,GOLD,GOLD-{soon:%d%b%Y}-FUT,GOLD {soon:%b} FUT,FUTCOM,NA,1.0,"
        f"{soon},0.00000,XX,100.0000,M,{tail}"
    )


def _odd_dates(today: date) -> tuple[date, date]:
    """A day of last month, and one a month ahead."""
    return today.replace(day=1) - timedelta(days=3), today + timedelta(days=30)
