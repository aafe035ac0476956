"""Zenith's instrument master -> instrument rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache, partial

from brokers.zenith import SPEC

from brokers import master, symbols
from brokers.contract import BrokerContext, ParsedInstruments, SessionSource
from brokers.model import Instrument, InstrumentKey
from brokers.transport import Transport

FILE = "instruments.csv"
COLUMNS = (
    *("segment", "token", "code", "name", "kind", "root", "expiry", "strike", "lot", "tick", "freeze"),
)
KINDS = frozenset({"EQ", "INDEX", "FUT", "CE", "PE"})


class ZenithInstruments:
    """Implements ``contract.InstrumentSource``."""

    def __init__(self, context: BrokerContext, session: SessionSource, transport: Transport) -> None:
        self._url = context.endpoints["instruments"]
        self._transport = transport

    def download(self) -> Mapping[str, bytes]:
        """The one file. Raises ``BrokerDown`` when it did not come whole."""
        return {FILE: master.fetch(self._transport, self._url, SPEC.title)}

    def parse(self, files: Mapping[str, bytes], today: date) -> ParsedInstruments:
        """One row per (exchange, symbol); the first of two stays. See ``contract.InstrumentSource``."""
        found = master.Collected()
        for name, content in files.items():
            found.read(master.table(content, COLUMNS, name, found.skipped), partial(_row, today))
        return found.parsed(SPEC.title)


def _row(today: date, line: tuple[str, ...]) -> Instrument:
    """One line: the segment is our exchange, prices are rupees, contracts name their root."""
    segment, token, code, name, kind, root, expires, strike_text, lot, tick, freeze = line
    if segment not in SPEC.capabilities.exchanges:
        raise master.Skip(f"segment {segment}")
    if kind not in KINDS:
        raise master.Skip("kind")
    expiry = date.fromisoformat(expires) if expires else None
    symbol, strike = code, _number(strike_text)
    if kind in ("FUT", "CE", "PE"):
        if expiry is None:
            raise master.Skip("no expiry")
        symbol, name = symbols.contract(root, expiry, kind, strike), root
    return Instrument(
        key=InstrumentKey(segment, symbol),
        token=token,
        broker_exchange=segment,
        broker_symbol=code,
        name=name,
        instrument_type=kind,
        lot_size=int(lot),
        tick_size=_number(tick) if kind != "INDEX" else Decimal(0),
        expiry=expiry,
        strike=strike,
        freeze_qty=int(freeze or 0),
        display_name=code,
        expired=expiry is not None and expiry < today,
    )


@cache
def _number(text: str) -> Decimal:
    return Decimal(text or 0)
