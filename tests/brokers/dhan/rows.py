"""Sample rows and a small instrument table for the Dhan tests; ids and names are invented."""

from __future__ import annotations

from datetime import date

from brokers.dhan.instruments import parse
from brokers.model import Instrument, InstrumentKey

HEADER = (
    "SEM_EXM_EXCH_ID,SEM_SEGMENT,SEM_SMST_SECURITY_ID,SEM_INSTRUMENT_NAME,SEM_EXPIRY_CODE,SEM_TRADING_SYMBOL,"
    "SEM_LOT_UNITS,SEM_CUSTOM_SYMBOL,SEM_EXPIRY_DATE,SEM_STRIKE_PRICE,SEM_OPTION_TYPE,SEM_TICK_SIZE,"
    "SEM_EXPIRY_FLAG,SEM_EXCH_INSTRUMENT_TYPE,SEM_SERIES,SM_SYMBOL_NAME"
)
SAMPLE = """\
NSE,E,910001,EQUITY,0,DEMOBANK,1.0,Demo Bank,,,,5.0000,NA,ES,EQ,DEMO BANK LTD
NSE,I,13,INDEX,0,NIFTY,1.0,Nifty 50,0001-01-01,,XX,0.0500,,INDEX,X,NIFTY
NSE,D,920001,FUTIDX,0,NIFTY-Sep2026-FUT,65.0,NIFTY SEP FUT,2026-09-29 14:30:00,-0.01000,XX,10.0000,M,FUT,NA,
NSE,D,920101,OPTIDX,0,NIFTY-Sep2026-24800-CE,65.0,NIFTY 29 SEP 24800 CALL,2026-09-29 14:30:00,24800.00000,CE,5.0000,M,OP,NA,
NSE,D,920201,OPTSTK,0,DEMOMETAL-Sep2026-292.5-PE,1000.0,DEMOMETAL 29 SEP 292.50 PUT,2026-09-29 14:30:00,292.50000,PE,5.0000,M,OP,NA,
BSE,E,930001,EQUITY,0,DEMOBANK,1.0,Demo Bank,,,,5.0000,NA,ES,A,DEMO BANK LTD
BSE,I,51,INDEX,0,SENSEX,1.0,Sensex,0001-01-01,,XX,0.0100,,INDEX,X,SENSEX
BSE,D,930101,OPTIDX,0,SENSEX-Sep2026-81000-PE,20.0,SENSEX 24 SEP 81000 PUT,2026-09-24 15:30:00,81000.00000,PE,5.0000,W,IO,NA,BSXOPT
MCX,M,910045,FUTCOM,0,CRUDEOIL-19Oct2026-FUT,1.0,CRUDEOIL OCT FUT,2026-10-19 23:30:00,0.00000,XX,100.0000,M,FUTCOM,2,CRUDEOIL
NSE,C,910077,FUTCUR,0,USDINR-Sep2026-FUT,1.0,USDINR SEP FUT,2026-09-28 12:30:00,-0.01000,XX,0.2500,M,FUTCUR,NA,USDINR
BSE,C,930077,OPTCUR,0,USDINR-Sep2026-84.5-CE,1.0,USDINR 25 SEP 84.50 CALL,2026-09-25 12:30:00,84.50000,CE,0.2500,W,CUR OP,NA,USDINR
"""  # noqa: E501
TODAY = date(2026, 9, 18)


def csv_bytes(*lines: str) -> bytes:
    return ("\n".join((HEADER, *lines)) + "\n").encode()


class Table:
    """An instrument table over a list; implements ``contract.InstrumentLookup``."""

    def __init__(self, rows: list[Instrument]) -> None:
        self._keys = {row.key: row for row in rows}
        self._tokens = {(row.broker_exchange, row.token): row for row in rows}

    def by_key(self, key: InstrumentKey) -> Instrument | None:
        return self._keys.get(key)

    def by_token(self, broker_exchange: str, token: str) -> Instrument | None:
        return self._tokens.get((broker_exchange, token))

    def by_broker_symbol(self, broker_exchange: str, broker_symbol: str) -> Instrument | None:
        for row in self._keys.values():
            if (row.broker_exchange, row.broker_symbol) == (broker_exchange, broker_symbol):
                return row
        return None

    def __getitem__(self, name: str) -> Instrument:
        """``table["NSE:DEMOBANK"]``."""
        exchange, symbol = name.split(":")
        return self._keys[InstrumentKey(exchange, symbol)]


def table() -> Table:
    return Table(parse(csv_bytes(*SAMPLE.splitlines()), TODAY).rows)
