"""Kotak's scrip master: seven CSV files of a day -> instrument rows.

Source: kotak-wire.md sections 6 (files, header, expiry, mapping rules) and 3.4 (index names).
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache

from brokers import symbols
from brokers.clock import IST
from brokers.contract import BrokerContext, BrokerSession, ParsedInstruments, SessionSource
from brokers.errors import BrokerDown, LoginRequired, WireError
from brokers.kotak.calls import Calls, parse
from brokers.kotak.mapping import errors
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


class _NotANumber(Exception):
    """A cell that should hold a number does not; costs its row."""


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
                files[f"{segment}.csv"] = self._file(url if "://" in url else f"{base}/{url.lstrip('/')}")
        if "nse_cm.csv" not in files:
            raise BrokerDown("Kotak lists no nse_cm file today; the instrument table stays as it is")
        return files

    def _file(self, url: str) -> bytes:
        reply = self._transport.fetch("GET", url, headers={})
        if reply.status != 200:
            name = url.rsplit("/", 1)[-1]
            raise BrokerDown(
                f"Kotak answered HTTP {reply.status} for {name}; not published yet, try again later"
            )
        return reply.body

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
    rows: dict[InstrumentKey, Instrument] = {}
    skipped: Counter[str] = Counter()
    for name, content in files.items():
        segment = next((s for s in SEGMENTS if name.startswith(s)), "")
        if segment not in _CASH and segment not in _DERIVATIVES:
            if rows_in_it := max(0, content.count(b"\n") - 1):
                skipped[f"segment {segment or name}"] += rows_in_it
            continue
        table = _table(content, name)
        read = (
            _cash(table, segment, skipped) if segment in _CASH else _contracts(table, segment, today, skipped)
        )
        for instrument in read:
            known = rows.setdefault(instrument.key, instrument)
            if known is not instrument:
                skipped["same symbol again"] += 1
    for instrument in _named_indices(files):
        rows.setdefault(instrument.key, instrument)
    return ParsedInstruments(list(rows.values()), dict(skipped))


def _table(content: bytes, name: str) -> Iterator[tuple[str, ...]]:
    """The columns of ``_COLUMNS`` of each row. Header names carry blanks and a semicolon."""
    reader = csv.reader(io.StringIO(content.decode("utf-8", "replace"), newline=""))
    header = [column.strip().strip(";").strip() for column in next(reader, [])]
    missing = [column for column in _COLUMNS if column not in header]
    if missing:
        raise WireError(f"{name} has no column {', '.join(missing)}", content[:2000])
    places = [header.index(column) for column in _COLUMNS]
    longest = max(places)
    for line in reader:
        if len(line) <= longest:
            if line and any(line):
                raise WireError(
                    f"{name} line {reader.line_num}: {len(line)} columns", ",".join(line).encode()
                )
            continue
        yield tuple(line[place] for place in places)


def _cash(table: Iterator[tuple[str, ...]], segment: str, skipped: Counter[str]) -> Sequence[Instrument]:
    """NSE: series EQ (first) and BE. BSE: every named row. A row without ISIN is an index."""
    exchange = _CASH[segment]
    found: list[Instrument] = []
    later: list[Instrument] = []
    for token, group, symbol, trading, _, isin, text, tick, lot, _, _, _, freeze in table:
        symbol = symbol.strip()
        if not symbol or not token.strip():
            skipped["no name"] += 1
            continue
        series = group.strip()
        if segment == "nse_cm" and series not in NSE_SERIES and isin.strip():
            skipped["series"] += 1
            continue
        if not isin.strip() and series not in NSE_SERIES:
            found.append(_index(segment, symbol, token.strip(), trading.strip()))
            continue
        try:
            instrument = Instrument(
                key=InstrumentKey(exchange, symbol),
                token=token.strip(),
                broker_exchange=segment,
                broker_symbol=trading.strip(),
                name=text.strip() or symbol,
                instrument_type="EQ",
                lot_size=_whole(lot) or 1,
                tick_size=_rupees(tick),
                freeze_qty=_whole(freeze),
                display_name=text.strip() or symbol,
            )
        except _NotANumber:
            skipped["unreadable number"] += 1
            continue
        (later if series == "BE" else found).append(instrument)
    # a share in both series is traded in EQ
    return found + later


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


def _contracts(
    table: Iterator[tuple[str, ...]], segment: str, today: date, skipped: Counter[str]
) -> Iterator[Instrument]:
    """Futures and options: name, expiry, then FUT or strike and CE/PE."""
    exchange = str(_DERIVATIVES[segment])
    needs_kind = segment in ("bse_fo", "mcx_fo")
    for token, _, root, trading, option, _, _, tick, lot, expires, strike_text, expires_too, freeze in table:
        root = root.strip()
        option = option.strip()
        if not root or not token.strip():
            skipped["no name"] += 1
            continue
        kind = _KINDS.get(option)
        if kind is None or (needs_kind and not option):
            skipped["option type"] += 1
            continue
        expiry = _expiry(expires.strip(), segment) or _expiry(expires_too.strip(), segment)
        if expiry is None:
            skipped["no expiry"] += 1
            continue
        try:
            strike = _rupees(strike_text) if kind != "FUT" else Decimal(0)
            tick_size, lot_size, freeze_qty = _rupees(tick), _whole(lot) or 1, _whole(freeze)
        except _NotANumber:
            skipped["unreadable number"] += 1
            continue
        yield Instrument(
            key=InstrumentKey(exchange, symbols.contract(root, expiry, kind, strike)),
            token=token.strip(),
            broker_exchange=segment,
            broker_symbol=trading.strip(),
            name=root,
            instrument_type=kind,
            lot_size=lot_size,
            tick_size=tick_size,
            expiry=expiry,
            strike=strike,
            freeze_qty=freeze_qty,
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
    try:
        number = Decimal(text.strip() or 0)
    except InvalidOperation as exc:
        raise _NotANumber from exc
    return number / 100 if number > 0 else Decimal(0)


@cache
def _whole(text: str) -> int:
    try:
        return max(0, int(Decimal(text.strip() or 0)))
    except (InvalidOperation, OverflowError, ValueError) as exc:
        raise _NotANumber from exc
