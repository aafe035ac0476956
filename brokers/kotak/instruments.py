"""Kotak's scrip master: seven CSV files of a day -> instrument rows.

Source: kotak-wire.md sections 6 (files, header, expiry, mapping rules) and 3.4 (index names).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache, partial

from brokers import master, symbols
from brokers.clock import IST
from brokers.contract import BrokerContext, BrokerSession, ParsedInstruments, SessionSource
from brokers.errors import BrokerDown, LoginRequired, WireError
from brokers.kotak import SPEC
from brokers.kotak.calls import Calls, parse
from brokers.kotak.mapping import errors
from brokers.master import Collected, Skip, table
from brokers.model import Exchange, Instrument, InstrumentKey
from brokers.secret import Secret
from brokers.transport import Transport

SEGMENTS = ("nse_cm", "bse_cm", "nse_fo", "bse_fo", "cde_fo", "mcx_fo", "nse_com")
EPOCH_1980_IST = 315_513_000
"""1980-01-01 00:00 IST as Unix seconds: where nse_fo and cde_fo count their expiries from. The other
published offsets land half an hour off or, as "+10 years", on the wrong day."""

NSE_INDEX_NAMES: Mapping[str, str] = {
    "NIFTY": "Nifty 50",
    "BANKNIFTY": "Nifty Bank",
    "FINNIFTY": "Nifty Fin Service",
    "MIDCPNIFTY": "NIFTY MID SELECT",
    "NIFTYNXT50": "Nifty Next 50",
    "INDIAVIX": "INDIA VIX",
    "NIFTY100": "Nifty 100",
    "NIFTY200": "Nifty 200",
    "NIFTY500": "Nifty 500",
    "NIFTYMIDCAP100": "NIFTY MIDCAP 100",
    "NIFTYIT": "Nifty IT",
    "NIFTYAUTO": "Nifty Auto",
    "NIFTYPHARMA": "Nifty Pharma",
    "NIFTYFMCG": "Nifty FMCG",
    "NIFTYPSUBANK": "Nifty PSU Bank",
    "NIFTYPSE": "Nifty PSE",
    "NIFTYCPSE": "Nifty CPSE",
}
BSE_INDEX_NAMES: Mapping[str, str] = {"SENSEX": "SENSEX", "BANKEX": "BANKEX"}
"""Our symbol -> the exact, case-sensitive name feeds and quotes want. Most stand in no file."""

NSE_SERIES = frozenset({"EQ", "BE"})
_INDICES = {
    "nse_cm": (Exchange.NSE_INDEX, NSE_INDEX_NAMES),
    "bse_cm": (Exchange.BSE_INDEX, BSE_INDEX_NAMES),
}
_CASH = {"nse_cm": Exchange.NSE, "bse_cm": Exchange.BSE}
_DERIVATIVES = {
    "nse_fo": Exchange.NFO,
    "bse_fo": Exchange.BFO,
    "cde_fo": Exchange.CDS,
    "mcx_fo": Exchange.MCX,
}
_COUNTED_FROM_1980 = frozenset({"nse_fo", "cde_fo"})
_COLUMNS = (
    *("pSymbol", "pGroup", "pSymbolName", "pTrdSymbol", "pOptionType", "pISIN", "pDesc", "dTickSize"),
    *("lLotSize", "lExpiryDate", "dStrikePrice", "pExpiryDate", "lFreezeQty"),
)
_KINDS = {"CE": "CE", "PE": "PE", "XX": "FUT", "": "FUT"}
_SIDE_WORD = {"CE": "CALL", "PE": "PUT"}


class KotakInstruments:
    """See ``brokers.contract.InstrumentSource``."""

    def __init__(self, context: BrokerContext, session: SessionSource, transport: Transport) -> None:
        self._context = context
        self._session = session
        self._transport = transport
        self._calls = Calls(context, self._any_session, transport)

    def download(self) -> Mapping[str, bytes]:
        """``nse_cm.csv`` and so on.

        The list of files needs the access token, the files must not get one: the object store answers 400 to
        it.

        Raises:
            BrokerDown: The list or one file did not come whole; the rest alone would retire its contracts.
            LoginRequired, RateLimited: As the list's answer says.
        """
        reply = self._calls.read("files")
        body = parse(reply)
        if error := errors.error_of_read(reply.status, body, reply.retry_after_s):
            raise error
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(data, dict) or not isinstance(data.get("filesPaths"), list):
            raise WireError("file-paths answer without data.filesPaths", reply.body[:2000])
        urls = [str(path) for path in data["filesPaths"]]
        base = str(data.get("baseFolder") or "").rstrip("/")
        files: dict[str, bytes] = {}
        for segment in SEGMENTS:
            url = next((u for u in urls if segment in u.rsplit("/", 1)[-1]), "")
            if url:
                files[f"{segment}.csv"] = master.fetch(
                    self._transport, url if "://" in url else f"{base}/{url.lstrip('/')}", SPEC.title
                )
        if "nse_cm.csv" not in files:
            raise BrokerDown("Kotak lists no nse_cm file today; the instrument table stays as it is")
        return files

    def _any_session(self) -> BrokerSession:
        """The list needs no login: without one it is asked at the login host with the access token."""
        try:
            return self._session()
        except LoginRequired:
            now = self._context.clock.now()
            token = self._context.credentials.get("BROKER_API_SECRET", Secret(""))
            return BrokerSession(
                broker="kotak",
                account="",
                secrets={"access_token": token},
                attributes={"base_url": self._context.endpoints["login"].rstrip("/")},
                issued_at=now,
                expires_at=now,
            )

    def parse(self, files: Mapping[str, bytes], today: date) -> ParsedInstruments:
        """See ``parse``."""
        return parse_files(files, today)


def parse_files(files: Mapping[str, bytes], today: date) -> ParsedInstruments:
    """Rows of the whole master, one per (exchange, symbol); the first of two wins and the other is counted.

    Args:
        files: File name -> content; the segment is the name's first part (``nse_cm.csv``, ``nse_cm-v1.csv``).
        today: IST date; contracts whose expiry lies before it are marked expired.

    Raises:
        WireError: A file without the columns it should have, or a row that cannot be read.
    """
    found = Collected()
    for name, content in files.items():
        segment = next((s for s in SEGMENTS if name.startswith(s)), "")
        if segment in _CASH:
            # a share in both series is traded in EQ
            lines = sorted(table(content, _COLUMNS, name), key=lambda line: line[1].strip() == "BE")
            found.read(lines, partial(_share, segment))
        elif segment in _DERIVATIVES:
            found.read(table(content, _COLUMNS, name), partial(_contract, segment, today))
        elif rows_in_it := max(0, content.count(b"\n") - 1):
            found.skipped[f"segment {segment or name}"] += rows_in_it
    for instrument in _named_indices(files):
        if not found.has(instrument.key):
            found.add(instrument)
    return found.parsed(SPEC.title)


def _share(segment: str, line: tuple[str, ...]) -> Instrument:
    """NSE: series EQ and BE. BSE: every named row. A row without ISIN is an index."""
    token, group, symbol, trading, _, isin, text, tick, lot, _, _, _, freeze = map(str.strip, line)
    if not symbol or not token:
        raise Skip("no name")
    if segment == "nse_cm" and group not in NSE_SERIES and isin:
        raise Skip("series")
    if not isin and group not in NSE_SERIES:
        return _index(segment, symbol, token, trading)
    return Instrument(
        key=InstrumentKey(_CASH[segment], symbol),
        token=token,
        broker_exchange=segment,
        broker_symbol=trading,
        name=text or symbol,
        instrument_type="EQ",
        lot_size=_whole(lot) or 1,
        tick_size=_rupees(tick),
        freeze_qty=_whole(freeze),
        display_name=text or symbol,
    )


def _index(segment: str, symbol: str, token: str, trading: str) -> Instrument:
    exchange, names = _INDICES[segment]
    wanted = symbol.replace(" ", "").upper()
    known = (
        wanted
        if wanted in names
        else next((ours for ours, theirs in names.items() if theirs.replace(" ", "").upper() == wanted), "")
    )
    return Instrument(
        key=InstrumentKey(exchange, known or wanted),
        token=token,
        broker_exchange=segment,
        broker_symbol=trading or symbol,
        name=names.get(known, symbol),
        instrument_type="INDEX",
        lot_size=1,
        tick_size=Decimal(0),
        feed_token=names.get(known, symbol),
        display_name=names.get(known, symbol),
    )


def _named_indices(files: Mapping[str, bytes]) -> Iterator[Instrument]:
    """Indices no file lists: known by name only, so the name is their token."""
    for segment, (_, names) in _INDICES.items():
        if any(name.startswith(segment) for name in files):
            for symbol, wire_name in names.items():
                yield _index(segment, symbol, wire_name, wire_name)


def _contract(segment: str, today: date, line: tuple[str, ...]) -> Instrument:
    """A future or an option: name, expiry, then FUT or strike and CE/PE."""
    token, _, root, trading, option, _, _, tick, lot, expires, strike_text, expires_too, freeze = map(
        str.strip, line
    )
    if not root or not token:
        raise Skip("no name")
    kind = _KINDS.get(option)
    if kind is None or (segment in ("bse_fo", "mcx_fo") and not option):
        raise Skip("option type")
    expiry = _expiry(expires, segment) or _expiry(expires_too, segment)
    if expiry is None:
        raise Skip("no expiry")
    strike = _rupees(strike_text) if kind != "FUT" else Decimal(0)
    return Instrument(
        key=InstrumentKey(_DERIVATIVES[segment], symbols.contract(root, expiry, kind, strike)),
        token=token,
        broker_exchange=segment,
        broker_symbol=trading,
        name=root,
        instrument_type=kind,
        lot_size=_whole(lot) or 1,
        tick_size=_rupees(tick),
        expiry=expiry,
        strike=strike,
        freeze_qty=_whole(freeze),
        display_name=display_name(root, expiry, kind, strike),
        expired=expiry < today,
    )


def display_name(root: str, expiry: date, kind: str, strike: Decimal) -> str:
    """A person's name of a contract, as brokers' screens show it.

    ``NIFTY 24 NOV 24000 CALL``, ``BANKNIFTY DEC FUT``. Kotak's files have none.
    """
    month = symbols.MONTHS[expiry.month - 1]
    if kind == "FUT":
        return f"{root} {month} FUT"
    return f"{root} {expiry.day:02d} {month} {symbols.plain(strike)} {_SIDE_WORD[kind]}"


@cache
def _expiry(text: str, segment: str) -> date | None:
    try:
        seconds = int(text)
    except ValueError:
        return None
    if seconds <= 0:
        return None
    if segment in _COUNTED_FROM_1980:
        seconds += EPOCH_1980_IST
    return datetime.fromtimestamp(seconds, UTC).astimezone(IST).date()


@cache
def _rupees(text: str) -> Decimal:
    """Paise -> rupees; -1 and blanks mean none."""
    number = Decimal(text or 0)
    return number / 100 if number > 0 else Decimal(0)


@cache
def _whole(text: str) -> int:
    return max(0, int(Decimal(text or 0)))
