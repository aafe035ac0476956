"""A small instrument table for tests of the gateway."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from brokers.model import Instrument, InstrumentKey

TODAY = date(2026, 11, 20)
NOV = date(2026, 11, 24)
DEC = date(2026, 12, 29)


def cash(symbol: str, token: str, exchange: str = "NSE", name: str = "", **more) -> Instrument:
    given = {
        "key": InstrumentKey(exchange, symbol),
        "token": token,
        "broker_exchange": f"{exchange}_EQ",
        "broker_symbol": f"{symbol}-EQ",
        "name": name or symbol,
        "instrument_type": "EQ",
        "lot_size": 1,
        "tick_size": Decimal("0.05"),
        "display_name": name.title() if name else symbol.title(),
        "freeze_qty": 100_000,
    }
    return Instrument(**{**given, **more})


def index(symbol: str, token: str, exchange: str = "NSE_INDEX") -> Instrument:
    return cash(
        symbol, token, exchange, instrument_type="INDEX", tick_size=Decimal(0), broker_exchange="IDX_I"
    )


def option(root: str, expiry: date, strike: str, kind: str, token: str, exchange: str = "NFO") -> Instrument:
    day = expiry.strftime("%d%b%y").upper()
    word = "CALL" if kind == "CE" else "PUT"
    return Instrument(
        key=InstrumentKey(exchange, f"{root}{day}{strike}{kind}"),
        token=token,
        broker_exchange="NSE_FNO",
        broker_symbol=f"{root}-{expiry:%b%Y}-{strike}-{kind}",
        name=root,
        instrument_type=kind,
        lot_size=65,
        tick_size=Decimal("0.05"),
        expiry=expiry,
        strike=Decimal(strike),
        freeze_qty=1755,
        display_name=f"{root} {expiry:%d} {expiry:%b} {strike} {word}".upper(),
    )


def future(root: str, expiry: date, token: str) -> Instrument:
    return Instrument(
        key=InstrumentKey("NFO", f"{root}{expiry.strftime('%d%b%y').upper()}FUT"),
        token=token,
        broker_exchange="NSE_FNO",
        broker_symbol=f"{root}-{expiry:%b%Y}-FUT",
        name=root,
        instrument_type="FUT",
        lot_size=65,
        tick_size=Decimal("0.10"),
        expiry=expiry,
        freeze_qty=1755,
        display_name=f"{root} {expiry:%b} FUT".upper(),
    )


def market() -> list[Instrument]:
    """Two exchanges of cash, an index, a NIFTY chain over two expiries, a stock option."""
    rows = [
        cash("RELIANCE", "2885", name="RELIANCE INDUSTRIES"),
        cash("SBIN", "3045", name="STATE BANK OF INDIA"),
        cash("SBICARD", "17971", name="SBI CARDS"),
        cash("INFY", "1594", name="INFOSYS"),
        cash("RELIANCE", "500325", "BSE", name="RELIANCE INDUSTRIES"),
        index("NIFTY", "13"),
        future("NIFTY", NOV, "35001"),
        future("NIFTY", DEC, "35002"),
        option("ICICIGI", date(2027, 10, 28), "1860", "CE", "91860"),
    ]
    for place, strike in enumerate(("23900", "24000", "24050", "24100")):
        for expiry, base in ((NOV, 40_000), (DEC, 50_000)):
            rows.append(option("NIFTY", expiry, strike, "CE", str(base + 2 * place)))
            rows.append(option("NIFTY", expiry, strike, "PE", str(base + 2 * place + 1)))
    return rows
