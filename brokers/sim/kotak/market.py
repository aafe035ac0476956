"""Quotes, scrip master, candles, expiries and option chains: the calls that need no session.

Source: Kotak Neo documentation (quotes, scrip master), ``kotakneoapi`` 3.0.9 (history, watchlist paths); the
replies of expiries and option-chain are not published and invented here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

from aiohttp import web

from brokers.clock import IST
from brokers.sim.exchange.types import Kind, Listing, SimCandle
from brokers.sim.kotak import answers, quotes
from brokers.sim.kotak.house import OTHERS_PER_SECOND, House, answering
from brokers.sim.kotak.master import FILES, FOLDER, csv
from brokers.sim.kotak.names import FUTURES_OF, feed_token, trading_symbol

MAX_QUOTES = 50
INTERVALS = {
    "1min": ("1m", 30),
    "3min": ("3m", 30),
    "5min": ("5m", 30),
    "10min": ("10m", 60),
    "15min": ("15m", 60),
    "30min": ("30m", 90),
    "60min": ("1h", 90),
    "D": ("D", 180),
    "W": ("D", 180),
}
"""Interval -> the exchange's word and the most days of one call."""
HISTORY_SEGMENTS = ("nse_cm", "nse_fo", "bse_cm", "bse_fo")
YEARS_BACK = 5
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

QUOTE_PATHS = (
    "script-details/1.0/quotes/neosymbol",
    "apim/quotes/2.0/quotes/neosymbol",
    "apim/quotes/1.0/quotes/neosymbol",
)
MASTER_PATHS = (
    "script-details/1.0/masterscrip/file-paths",
    "apim/files/2.0/masterscrip/v1/file-paths",
    "Files/1.0/masterscrip/v1/file-paths",
    "Files/1.0/masterscrip/v2/file-paths",
)


class Market:
    """Handlers of session-free calls. The application token is their only key."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._files: dict[tuple[date, str], bytes] = {}
        self._making = asyncio.Lock()

    def routes(self) -> Iterable[web.RouteDef]:
        for path in QUOTE_PATHS:
            yield web.get(f"/{path}/{{symbols}}", answering(self.quotes))
            yield web.get(f"/{path}/{{symbols}}/{{filter}}", answering(self.quotes))
        for path in MASTER_PATHS:
            yield web.get(f"/{path}", answering(self.file_paths))
        yield web.get(f"/{FOLDER}/{{day}}/{{folder}}/{{name}}", self.file, allow_head=False)
        yield web.head(f"/{FOLDER}/{{day}}/{{folder}}/{{name}}", self.head_file)
        yield web.get("/market-data/1.0/historical/details", answering(self.history))
        yield web.get("/market-data/1.0/watchlist/expiries", answering(self.expiries))
        yield web.get("/market-data/1.0/watchlist/option-chain", answering(self.option_chain))

    def _lane(self, request: web.Request, name: str) -> None:
        token = self._house.application(request, required=True)
        self._house.limiter.take((name, token, request.remote or ""), OTHERS_PER_SECOND)

    async def quotes(self, request: web.Request) -> web.Response:
        """A bare array; what is unknown is absent, and only when nothing is known the call is refused."""
        self._lane(request, "quotes")
        wanted = request.match_info["symbols"].split(",")
        quote_filter = request.match_info.get("filter", "all")
        if quote_filter not in ("all", *quotes.QUOTE_FILTERS):
            raise answers.invalid_request()
        if len(wanted) > MAX_QUOTES:
            raise answers.quotes_too_many()
        rows = []
        for key in wanted:
            seg, _, token = key.partition("|")
            listing = self._house.directory.by_feed_token(seg, token)
            if listing is not None:
                rows.append(quotes.quote_row(self._house.exchange.snapshot(listing), quote_filter))
        if not rows:
            raise answers.invalid_instrument()
        return web.json_response(rows)

    async def file_paths(self, request: web.Request) -> web.Response:
        self._lane(request, "master")
        base = f"{self._house.base_url}/{FOLDER}"
        day = self._today().isoformat()
        files = [f"{base}/{day}/{path}" for path in FILES.values()]
        return web.json_response({"data": {"baseFolder": base, "filesPaths": files}})

    async def file(self, request: web.Request) -> web.Response:
        """Today's file of a segment; public, and refused to whoever sends ``Authorization``."""
        if "Authorization" in request.headers:
            return _store_error(400, "InvalidArgument")
        path = f"{request.match_info['folder']}/{request.match_info['name']}"
        segments = {file: seg for seg, file in FILES.items()}
        if request.match_info["day"] != self._today().isoformat() or path not in segments:
            return _store_error(403, "AccessDenied")
        return web.Response(body=await self._file(segments[path]), content_type="text/csv")

    async def head_file(self, request: web.Request) -> web.Response:
        """HEAD loops on redirects at the broker's object store."""
        raise web.HTTPFound(request.rel_url)

    async def _file(self, seg: str) -> bytes:
        universe = self._house.exchange.universe
        async with self._making:
            key = (universe.today, seg)
            if key not in self._files:
                self._files = {k: v for k, v in self._files.items() if k[0] == universe.today}
                lines = await asyncio.to_thread(lambda: "".join(csv(universe, seg)))
                self._files[key] = lines.encode()
            return self._files[key]

    def _today(self) -> date:
        return self._house.clock.now().astimezone(IST).date()

    async def history(self, request: web.Request) -> web.Response:
        self._lane(request, "candles")
        interval, listing, start, end = self._history_query(request)
        bars = await self._bars(listing, start, end, INTERVALS[interval][0])
        if interval == "W":
            bars = weekly(bars)
        rows = [self._candle(bar, interval) for bar in bars]
        if not rows:
            raise answers.history_fault("No data found")
        return web.json_response({"status": "success", "interval": interval, "data": {"candles": rows}})

    async def _bars(self, listing: Listing, start: datetime, end: datetime, word: str) -> list[SimCandle]:
        """Bars as known now; day by day, so that a long range does not hold up the feeds."""
        now = self._house.clock.now()
        bars: list[SimCandle] = []
        while start < min(end, now):
            following = start + timedelta(days=1)
            bars += self._house.exchange.prices.candles(listing, start, following, word, until=now)
            start = following
            await asyncio.sleep(0)
        return bars

    def _history_query(self, request: web.Request) -> tuple[str, Listing, datetime, datetime]:
        query = request.query
        for name in ("neosymbol", "interval", "fromdate", "todate"):
            if not query.get(name):
                raise answers.history_fault(f"Missing required parameter {name}")
        interval = query["interval"]
        if interval not in INTERVALS:
            raise answers.history_fault("Invalid interval value")
        first, last = self._day(query["fromdate"]), self._day(query["todate"])
        seg, _, token = query["neosymbol"].partition("|")
        if seg not in HISTORY_SEGMENTS:
            raise answers.history_fault("Invalid exchange segment")
        listing = self._house.directory.anything(seg, token)
        today = self._today()
        most = INTERVALS[interval][1]
        if last < first:
            raise answers.history_fault("fromdate cannot be after todate")
        if (last - first).days >= most:
            raise answers.history_fault(f"Date range cannot exceed {most} days for interval {interval}")
        if first < oldest(today):
            raise answers.history_fault("fromdate cannot be older than 5 years")
        if listing is None:
            raise answers.history_fault("No data found")
        start = datetime.combine(first, time(0), IST)
        return (
            interval,
            listing,
            start.astimezone(UTC),
            (datetime.combine(last + timedelta(days=1), time(0), IST).astimezone(UTC)),
        )

    @staticmethod
    def _day(text: str) -> date:
        try:
            if _DATE.fullmatch(text):
                return date.fromisoformat(text)
        except ValueError:
            pass
        raise answers.history_fault("Invalid date format, expected YYYY-MM-DD")

    def _candle(self, bar: SimCandle, interval: str) -> list[object]:
        at = bar.opens_at.astimezone(IST)
        if interval in ("D", "W"):
            # today's daily bar carries the opening time, earlier ones midnight
            today = at.date() == self._today()
            at = datetime.combine(at.date(), time(9, 15) if today else time(0), IST)
        prices = (bar.open_paise, bar.high_paise, bar.low_paise, bar.close_paise)
        return [f"{at:%Y-%m-%dT%H:%M:%S%z}", *(p / 100 for p in prices), bar.volume, 0]

    def _chain(self, request: web.Request) -> list[Listing]:
        """Contracts of ``exchange`` and ``underlying``; raises a fault when there are none."""
        seg, root = request.query.get("exchange", ""), request.query.get("underlying", "")
        wanted = FUTURES_OF.get(seg)
        found = [
            x
            for x in self._house.exchange.universe.listings
            if x.exchange == wanted and x.root == root.upper()
        ]
        if wanted is None or not found:
            raise answers.history_fault("No data found")
        return found

    async def expiries(self, request: web.Request) -> web.Response:
        self._lane(request, "expiries")
        days = sorted({x.expiry for x in self._chain(request) if x.expiry})
        return web.json_response({"status": "success", "data": {"expiries": [d.isoformat() for d in days]}})

    async def option_chain(self, request: web.Request) -> web.Response:
        """One expiry (the nearest by default): ``count`` strikes around the middle, a multiple of 10."""
        self._lane(request, "option-chain")
        count = request.query.get("count", "40")
        if not count.isdigit() or not int(count) or int(count) % 10:
            raise answers.history_fault("count must be a multiple of 10")
        options = [x for x in self._chain(request) if x.kind in (Kind.CALL, Kind.PUT)]
        days = sorted({x.expiry for x in options if x.expiry})
        wanted = request.query.get("expiry") or (days[0].isoformat() if days else "")
        options = [x for x in options if x.expiry and x.expiry.isoformat() == wanted]
        if not options:
            raise answers.history_fault("No data found")
        strikes = sorted({x.strike_paise for x in options})
        skip = max(0, (len(strikes) - int(count)) // 2)
        kept = strikes[skip : skip + int(count)]
        rows = [self._strike(strike, [x for x in options if x.strike_paise == strike]) for strike in kept]
        return web.json_response({"status": "success", "data": {"expiry": wanted, "chain": rows}})

    def _strike(self, strike_paise: int, options: Sequence[Listing]) -> dict[str, object]:
        row: dict[str, object] = {"strike": strike_paise / 100}
        for option in options:
            market = self._house.exchange.snapshot(option)
            row[option.kind.value] = {
                "exchange_token": feed_token(option),
                "trading_symbol": trading_symbol(option),
                "ltp": quotes.paise4(market.ltp_paise),
                "open_int": str(market.oi),
                "volume": str(market.volume),
            }
        return row


def _store_error(status: int, code: str) -> web.Response:
    """How an object store refuses."""
    text = f"<Error><Code>{code}</Code></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


def oldest(today: date) -> date:
    """The earliest day with candles: five years ago and one day."""
    try:
        back = today.replace(year=today.year - YEARS_BACK)
    except ValueError:  # 29 February
        back = today.replace(year=today.year - YEARS_BACK, day=28)
    return back + timedelta(days=1)


def weekly(days: Sequence[SimCandle]) -> list[SimCandle]:
    """Daily bars joined by ISO week (IST); a week is stamped with its first bar's opening."""
    weeks: dict[tuple[int, int], SimCandle] = {}
    for bar in days:
        key = bar.opens_at.astimezone(IST).isocalendar()[:2]
        so_far = weeks.get(key)
        weeks[key] = (
            bar
            if so_far is None
            else SimCandle(
                opens_at=so_far.opens_at,
                open_paise=so_far.open_paise,
                high_paise=max(so_far.high_paise, bar.high_paise),
                low_paise=min(so_far.low_paise, bar.low_paise),
                close_paise=bar.close_paise,
                volume=so_far.volume + bar.volume,
                oi=bar.oi,
            )
        )
    return list(weeks.values())
