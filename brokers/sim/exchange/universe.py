"""What can be traded: listings computed from a seed and a date, in OpenAlgo's symbol grammar."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Literal

from brokers.calendar import Calendar, FileCalendar
from brokers.clock import IST
from brokers.sim.exchange import catalog, expiries
from brokers.sim.exchange.catalog import Root
from brokers.sim.exchange.path import Path
from brokers.sim.exchange.pricing import derive
from brokers.sim.exchange.types import Kind, Listing

Size = Literal["small", "full"]

EXPIRY_TIME = time(15, 30)
"""IST; a contract's time value is gone at this time of its last day."""
YEAR = timedelta(days=365)
_EPOCH_DAY = date(1970, 1, 1)
_DERIVATIVE_TICK = 5
_DERIVATIVE_TOKENS = {"NFO": range(35_001, 800_000), "BFO": range(820_001, 1_190_000)}
_SHARE_FREEZE_INR = 50_000_000
_STRIKES_EACH_SIDE = {"index": 20, "stock": 10}
_FULL_INDEX = (8, 60)
"""Expiries and strikes each side of an index in the full universe."""
_FULL_STOCK = (3, 96)
_OPTIONS = ((Kind.CALL, Kind.CALL.value), (Kind.PUT, Kind.PUT.value))


def years_left(expiry: date, at: datetime) -> float:
    """Time to expiry as a fraction of a year; 0 once it has passed."""
    left = datetime.combine(expiry, EXPIRY_TIME, IST) - at
    return max(left / YEAR, 0.0)


class Universe:
    """Every listing of the simulated exchange on one IST date.

    Cheap to make: nothing is listed before it is asked for.

    Args:
        today: IST date; expiries, strikes and tokens follow from it.
        calendar: Closed days that move an expiry; the real one unless a test hands in another.
    """

    def __init__(
        self, seed: int, today: date, size: Size = "small", calendar: Calendar | None = None
    ) -> None:
        self.seed = seed
        self.today = today
        self.size = size
        self._calendar = calendar or FileCalendar()
        self._roots = {root.symbol: root for root in self._all_roots()}
        self._paths: dict[str, Path] = {}

    def _all_roots(self) -> Iterator[Root]:
        yield from catalog.INDICES
        yield from catalog.EQUITIES
        if self.size == "full":
            yield from map(catalog.synthetic, range(catalog.SYNTHETIC_EQUITIES))

    def roll(self, today: date) -> None:
        """Move to another date: expiries, strikes and base prices are computed anew, tokens stay."""
        self.today = today
        for name in ("listings", "_by_key", "_by_token"):
            self.__dict__.pop(name, None)

    @cached_property
    def listings(self) -> tuple[Listing, ...]:
        """Indices and shares first, then contracts by exchange and root."""
        # 200,000 that all stay: looking through them again and again for garbage takes a third of the time
        collecting = gc.isenabled()
        gc.disable()
        try:
            return (*self._cash(), *self._contracts())
        finally:
            if collecting:
                gc.enable()

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], Listing]:
        return {(x.exchange, x.symbol): x for x in self.listings}

    @cached_property
    def _by_token(self) -> dict[tuple[str, int], Listing]:
        return {(x.exchange, x.token): x for x in self.listings}

    def find(self, exchange: str, symbol: str) -> Listing | None:
        """The listing of an OpenAlgo key."""
        return self._by_key.get((exchange, symbol))

    def by_token(self, exchange: str, token: int) -> Listing | None:
        """The listing with a token on one OpenAlgo exchange (``NFO``, ``NSE_INDEX`` …)."""
        return self._by_token.get((exchange, token))

    def spot(self, listing: Listing) -> Listing:
        """What a derivative is priced from (``NSE_INDEX:NIFTY``, ``NSE:SBIN``); a cash listing itself."""
        if listing.expiry is None:
            return listing
        return self._by_key[self._roots[listing.root].exchange, listing.root]

    def root(self, symbol: str) -> Root:
        return self._roots[symbol]

    def path(self, root: str) -> Path:
        """The price path of an underlying; twins on NSE and BSE share one."""
        path = self._paths.get(root)
        if path is None:
            r = self._roots[root]
            path = Path(self.seed, root, round(r.base * 100), r.tick_paise, r.volatility)
            self._paths[root] = path
        return path

    def _yesterday(self, root: Root) -> int:
        return self.path(root.symbol).close((self.today - _EPOCH_DAY).days - 1)

    def _cash(self) -> Iterator[Listing]:
        for number, root in enumerate(self._roots.values()):
            base = self._yesterday(root)
            if root.is_index:
                yield Listing(
                    root.exchange,
                    root.symbol,
                    root.token,
                    Kind.INDEX,
                    root.name,
                    root.symbol,
                    "",
                    1,
                    5,
                    0,
                    base,
                )
                continue
            isin = catalog.isin(number)
            freeze = max(int(_SHARE_FREEZE_INR / root.base), 1000)
            for exchange, token in (("NSE", root.token), ("BSE", root.bse_token)):
                if token:
                    yield Listing(
                        exchange,
                        root.symbol,
                        token,
                        Kind.EQUITY,
                        root.name,
                        root.symbol,
                        isin,
                        1,
                        root.tick_paise,
                        freeze,
                        base,
                    )

    def _contracts(self) -> Iterator[Listing]:
        roots = sorted((r for r in self._roots.values() if r.lot), key=lambda r: r.derivatives_exchange)
        used: dict[str, set[int]] = {exchange: set() for exchange in _DERIVATIVE_TOKENS}
        for root in roots:
            yield from self._contracts_of(root, used[root.derivatives_exchange])

    def _contracts_of(self, root: Root, used: set[int]) -> Iterator[Listing]:
        exchange = root.derivatives_exchange
        count = 3 if self.size == "full" else 2 if root.is_index else 1
        spot = self._yesterday(root)
        opening = datetime.combine(self.today, time(0), IST)
        for expiry in expiries.monthlies(self.today, count, exchange, self._calendar):
            years = years_left(expiry, opening)
            price = derive(Kind.FUTURE, spot, 0, years, root.volatility, root.tick_paise)
            make = self._maker(root, expiry, root.tick_paise, used)
            yield make(symbol_of(root.symbol, Kind.FUTURE, expiry), Kind.FUTURE, price, 0)
        options = self._strikes(root, spot) if root.strike_step_paise else []
        strikes = [(strike, _rupees(strike)) for strike in options]
        for expiry in self._option_expiries(root):
            years = years_left(expiry, opening)
            stem, make = f"{root.symbol}{_day(expiry)}", self._maker(root, expiry, _DERIVATIVE_TICK, used)
            for strike, rupees in strikes:
                for kind, suffix in _OPTIONS:
                    price = derive(kind, spot, strike, years, root.volatility, _DERIVATIVE_TICK)
                    yield make(f"{stem}{rupees}{suffix}", kind, price, strike)

    def _option_expiries(self, root: Root) -> list[date]:
        """Two in the small universe: the nearest, and the monthly (or the one after it)."""
        if not root.strike_step_paise:
            return []
        exchange, calendar = root.derivatives_exchange, self._calendar
        if self.size == "full":
            count = _FULL_INDEX[0] if root.is_index else _FULL_STOCK[0]
            upcoming = expiries.weeklies if root.weekly else expiries.monthlies
            return upcoming(self.today, count, exchange, calendar)
        if not root.weekly:
            return expiries.monthlies(self.today, 2, exchange, calendar)
        first, second = expiries.weeklies(self.today, 2, exchange, calendar)
        monthly = expiries.monthlies(self.today, 1, exchange, calendar)[0]
        return [first, second if monthly == first else monthly]

    def _strikes(self, root: Root, spot: int) -> list[int]:
        step = root.strike_step_paise
        if self.size == "full":
            each_side = (_FULL_INDEX if root.is_index else _FULL_STOCK)[1]
        else:
            each_side = _STRIKES_EACH_SIDE["index" if root.is_index else "stock"]
        middle = round(spot / step)
        return [n * step for n in range(max(middle - each_side, 1), middle + each_side + 1)]

    def _maker(
        self, root: Root, expiry: date, tick: int, used: set[int]
    ) -> Callable[[str, Kind, int, int], Listing]:
        """Makes the contracts of one root and expiry; all they share is looked up once."""
        exchange, symbol = root.derivatives_exchange, root.symbol
        lot, freeze = root.lot, root.freeze or root.lot * 40
        weekly = not expiries.is_monthly(expiry, exchange, self._calendar) if root.weekly else False

        def make(name: str, kind: Kind, price: int, strike: int) -> Listing:
            token = _token(exchange, name, used)
            return Listing(
                exchange,
                name,
                token,
                kind,
                symbol,
                symbol,
                "",
                lot,
                tick,
                freeze,
                price,
                expiry,
                strike,
                weekly,
            )

        return make


def _token(exchange: str, symbol: str, used: set[int]) -> int:
    """A contract's token: from its symbol, so that it stays the same from day to day."""
    tokens = _DERIVATIVE_TOKENS[exchange]
    token = tokens[int.from_bytes(blake2b(symbol.encode(), digest_size=6).digest(), "big") % len(tokens)]
    while token in used:
        token = token + 1 if token + 1 in tokens else tokens[0]
    used.add(token)
    return token


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def symbol_of(root: str, kind: Kind, expiry: date, strike_paise: int = 0) -> str:
    """OpenAlgo's symbol of a contract: ``NIFTY24NOV26FUT``, ``VEDL28APR26292.5CE``.

    Source: openalgo-api.md, "Symbol grammar".
    """
    stem = f"{root}{_day(expiry)}"
    return f"{stem}FUT" if kind is Kind.FUTURE else f"{stem}{_rupees(strike_paise)}{kind.value}"


def _day(expiry: date) -> str:
    return f"{expiry.day:02d}{_MONTHS[expiry.month - 1]}{expiry.year % 100:02d}"


def _rupees(strike_paise: int) -> str:
    rupees, paise = divmod(strike_paise, 100)
    decimals = f".{paise:02d}".rstrip("0") if paise else ""
    return f"{rupees}{decimals}"
