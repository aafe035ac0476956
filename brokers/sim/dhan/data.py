"""Market data over REST: ``/v2/marketfeed``, ``/v2/charts``, ``/v2/optionchain`` and the instrument files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from itertools import islice

from aiohttp import web

from brokers.clock import IST
from brokers.sim.dhan import errors, ids, instruments, policy, shapes
from brokers.sim.dhan.errors import INPUT, Refused
from brokers.sim.dhan.gate import Call, Desk, Gate, answer
from brokers.sim.dhan.limits import Lane
from brokers.sim.exchange.types import Kind, Listing, SimCandle, Snapshot

QUOTE_BATCH = 1000
INTRADAY_DAYS = 90
INTRADAY_YEARS = 5
INTERVALS = {"1": "1m", "5": "5m", "15": "15m", "25": "25m", "60": "1h"}
_KINDS = frozenset(
    {
        "INDEX",
        "EQUITY",
        "FUTIDX",
        "OPTIDX",
        "FUTSTK",
        "OPTSTK",
        "FUTCOM",
        "OPTFUT",
        "FUTCUR",
        "OPTCUR",
    }
)
_ROWS_A_CHUNK = 500
_DAYS_A_CHUNK = timedelta(days=2)


class Data:
    """The data half of Dhan's REST."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._chains: dict[tuple[str, str], list[Listing]] = {}

    def routes(self, gate: Gate) -> Iterator[web.RouteDef]:
        for path, handler in (("ltp", self._ltp), ("ohlc", self._ohlc), ("quote", self._quote)):
            yield gate.route("POST", f"/v2/marketfeed/{path}", handler, Lane.QUOTE, data=True)
        yield gate.route("POST", "/v2/charts/historical", self._historical, Lane.DATA)
        yield gate.route("POST", "/v2/charts/intraday", self._intraday, Lane.DATA)
        yield gate.route("POST", "/v2/optionchain", self._chain, Lane.DATA, data=True)
        yield gate.route("POST", "/v2/optionchain/expirylist", self._expiries, Lane.DATA, data=True)
        yield web.get("/api-data/api-scrip-master.csv", self._compact)
        yield web.get("/api-data/api-scrip-master-detailed.csv", self._detailed)
        yield web.get("/v2/instrument/{segment}", self._detailed)

    # ---- snapshots

    async def _ltp(self, call: Call) -> web.Response:
        return self._snapshots(call.body, shapes.ltp_body)

    async def _ohlc(self, call: Call) -> web.Response:
        return self._snapshots(call.body, shapes.ohlc_body)

    async def _quote(self, call: Call) -> web.Response:
        return self._snapshots(call.body, shapes.quote_body)

    def _snapshots(self, body: Mapping[str, object], shape: Callable[[Snapshot], shapes.Row]) -> web.Response:
        wanted = read_batch(body)
        data: dict[str, dict[str, shapes.Row]] = {}
        for segment, numbers in wanted.items():
            rows = data.setdefault(segment, {})
            for security_id in numbers:
                listing = self._desk.directory.find(segment, security_id)
                if listing is not None:
                    rows[str(security_id)] = shape(self._desk.exchange.snapshot(listing))
        return answer({"data": data, "status": "success"})

    # ---- candles

    async def _historical(self, call: Call) -> web.Response:
        """Daily candles of finished days; ``toDate`` is exclusive."""
        listing, oi = self._charted(call.body)
        start = shapes.midnight(_date(call.body.get("fromDate")))
        end = shapes.midnight(_date(call.body.get("toDate")))
        today = shapes.midnight(self._now().astimezone(IST).date())
        candles = await self._candles(listing, start, min(end, today), "D")
        return answer(shapes.candles_body(candles, daily=True, oi=oi))

    async def _intraday(self, call: Call) -> web.Response:
        """Finished candles; dates without a time mean whole IST days."""
        listing, oi = self._charted(call.body)
        interval = INTERVALS.get(str(call.body.get("interval", "1")))
        if interval is None:
            raise Refused("DH-905", INPUT)
        start, _ = _moment(call.body.get("fromDate"))
        end, whole_day = _moment(call.body.get("toDate"))
        if end - start > timedelta(days=INTRADAY_DAYS):
            raise Refused("DH-905", "Data can be fetched for 90 days at a time")
        if whole_day:
            end += timedelta(days=1)
        now = self._now()
        start = max(start, now - timedelta(days=365 * INTRADAY_YEARS))
        candles = await self._candles(listing, start, min(end, now), interval)
        step = timedelta(minutes=int(str(call.body.get("interval", "1"))))
        return answer(
            shapes.candles_body((c for c in candles if c.opens_at + step <= now), daily=False, oi=oi)
        )

    def _charted(self, body: Mapping[str, object]) -> tuple[Listing, bool]:
        segment = body.get("exchangeSegment")
        if not isinstance(segment, str) or segment not in ids.CODES or body.get("instrument") not in _KINDS:
            raise Refused("DH-905", INPUT)
        if body.get("oi") not in (None, True, False):
            raise Refused("DH-905", INPUT)
        listing = self._desk.directory.find(segment, policy.security_id(body.get("securityId")))
        if listing is None or ids.instrument(listing) != body.get("instrument"):
            raise Refused("DH-907", "No data found for the given parameters")
        return listing, body.get("oi") is True

    async def _candles(
        self, listing: Listing, start: datetime, end: datetime, interval: str
    ) -> list[SimCandle]:
        """A few days at a time, so that 90 days of minutes do not hold up the feed."""
        prices, now = self._desk.exchange.prices, self._now()
        found: list[SimCandle] = []
        while start < end:
            stop = min(end, start + _DAYS_A_CHUNK)
            found += prices.candles(listing, start, stop, interval, until=now)
            start = stop
            await asyncio.sleep(0)
        return found

    # ---- option chain

    async def _expiries(self, call: Call) -> web.Response:
        underlying, name = self._underlying(call.body)
        self._unhurried(call.account, f"expiries {name}")
        expiries = sorted({option.expiry for option in self._options(underlying) if option.expiry})
        return answer({"data": [on.isoformat() for on in expiries], "status": "success"})

    async def _chain(self, call: Call) -> web.Response:
        underlying, name = self._underlying(call.body)
        expiry = _chain_date(call.body.get("Expiry"))
        self._unhurried(call.account, f"chain {name} {expiry}")
        options = [option for option in self._options(underlying) if option.expiry == expiry]
        if not options:
            raise Refused("811", "Invalid Expiry Date")
        strikes: dict[str, shapes.Row] = {}
        for option in sorted(options, key=lambda listing: listing.strike_paise):
            side = "ce" if option.kind is Kind.CALL else "pe"
            row = shapes.option_side(self._desk.exchange.snapshot(option), self._desk.directory.id(option))
            strikes.setdefault(f"{shapes.rupees(option.strike_paise):.6f}", {})[side] = row
        last = shapes.rupees(self._desk.exchange.snapshot(underlying).ltp_paise)
        return answer({"data": {"last_price": last, "oc": strikes}, "status": "success"})

    def _underlying(self, body: Mapping[str, object]) -> tuple[Listing, str]:
        number, segment = body.get("UnderlyingScrip"), body.get("UnderlyingSeg")
        if not isinstance(number, int) or isinstance(number, bool) or not isinstance(segment, str):
            raise Refused(errors.BAD_REQUEST, "Invalid Request")
        listing = self._desk.directory.find(segment, number)
        if listing is None:
            raise Refused("813", "Invalid SecurityId")
        return listing, f"{segment}/{number}"

    def _options(self, underlying: Listing) -> list[Listing]:
        if not self._chains:
            for listing in self._desk.exchange.universe.listings:
                if ids.is_option(listing):
                    self._chains.setdefault((listing.exchange[0], listing.root), []).append(listing)
        return self._chains.get((underlying.exchange[0], underlying.root), [])

    def _unhurried(self, account: str, what: str) -> None:
        if not self._desk.limits.take_chain(account, what, self._desk.clock.monotonic()):
            raise Refused(errors.TOO_MANY, "Too many requests")

    # ---- files

    async def _compact(self, request: web.Request) -> web.StreamResponse:
        universe = self._desk.exchange.universe
        listings = universe.listings + self._desk.extra
        rows = instruments.compact(listings, self._desk.directory, universe.today)
        return await _csv(request, rows)

    async def _detailed(self, request: web.Request) -> web.StreamResponse:
        universe = self._desk.exchange.universe
        segment = request.match_info.get("segment")
        listings = universe.listings + self._desk.extra
        rows = instruments.detailed(listings, self._desk.directory, universe.today, segment)
        return await _csv(request, rows)

    def _now(self) -> datetime:
        return self._desk.clock.now()


def read_batch(body: Mapping[str, object]) -> dict[str, list[int]]:
    """``{"NSE_EQ": [11536]}``: integers only, at most 1000. Raises ``Refused`` (814, 804)."""
    wanted: dict[str, list[int]] = {}
    for segment, numbers in body.items():
        if segment == "dhanClientId":  # the official client puts it into every body
            continue
        if segment not in ids.CODES or not isinstance(numbers, list):
            raise Refused(errors.BAD_REQUEST, "Invalid Request")
        if not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
            raise Refused(errors.BAD_REQUEST, "Invalid Request")
        wanted[segment] = numbers
    count = sum(map(len, wanted.values()))
    if not count:
        raise Refused(errors.BAD_REQUEST, "Invalid Request")
    if count > QUOTE_BATCH:
        raise Refused(errors.TOO_MANY_INSTRUMENTS, "Requested number of instruments exceeds limit")
    return wanted


async def _csv(request: web.Request, rows: Iterable[str]) -> web.StreamResponse:
    """Stream rows in chunks, so that 200,000 of them do not hold up the feed."""
    response = web.StreamResponse(headers={"Content-Type": "text/csv"})
    await response.prepare(request)
    lines = iter(rows)
    while chunk := "".join(islice(lines, _ROWS_A_CHUNK)):
        await response.write(chunk.encode())
        await asyncio.sleep(0)
    await response.write_eof()
    return response


def _date(value: object) -> date:
    try:
        return datetime.strptime(str(value), "%Y-%m-%d").replace(tzinfo=IST).date()
    except ValueError:
        raise Refused("DH-905", INPUT) from None


def _moment(value: object) -> tuple[datetime, bool]:
    """An IST moment, and whether it was only a date."""
    text = str(value)
    if len(text) == len("2024-09-11"):
        return shapes.midnight(_date(text)), True
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=IST), False
    except ValueError:
        raise Refused("DH-905", INPUT) from None


def _chain_date(value: object) -> date:
    try:
        return _date(value)
    except Refused:
        raise Refused("812", "Invalid Date Format") from None
