"""Kotak's words for the simulated exchange's listings: segments, index names, trading symbols, tokens.

Source: Kotak Neo scrip master and client enumerations (segments, index names are exact and case-sensitive).
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from brokers.sim.exchange.types import Kind, Listing
from brokers.sim.exchange.universe import Universe

SEGMENT_OF = {
    "NSE": "nse_cm",
    "NSE_INDEX": "nse_cm",
    "BSE": "bse_cm",
    "BSE_INDEX": "bse_cm",
    "NFO": "nse_fo",
    "BFO": "bse_fo",
    "CDS": "cde_fo",
    "MCX": "mcx_fo",
}
CASH_OF = {"nse_cm": "NSE", "bse_cm": "BSE"}
INDEX_OF = {"nse_cm": "NSE_INDEX", "bse_cm": "BSE_INDEX"}
FUTURES_OF = {"nse_fo": "NFO", "bse_fo": "BFO", "cde_fo": "CDS", "mcx_fo": "MCX"}
TRADED = (*CASH_OF, *FUTURES_OF)

SFEED_ID = {
    "nse_cm": 1,
    "nse_fo": 2,
    "cde_fo": 3,
    "nse_com": 4,
    "bse_cm": 5,
    "bse_fo": 6,
    "bse_cd": 7,
    "bse_co": 8,
    "mcx_fo": 9,
    "ncd_co": 10,
}

INDEX_NAME = {
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
"""OpenAlgo index symbol -> the exact name feeds and quotes want; others keep their symbol (``SENSEX``)."""

_MONTH_LETTER = "123456789OND"


def segment(listing: Listing) -> str:
    return SEGMENT_OF[listing.exchange]


def index_name(listing: Listing) -> str:
    return INDEX_NAME.get(listing.symbol, listing.symbol)


def feed_token(listing: Listing) -> str:
    """What topics, quotes and SFeed subscriptions name: the token, for an index its exact name."""
    return index_name(listing) if listing.kind is Kind.INDEX else str(listing.token)


def decimals(listing: Listing) -> int:
    """Decimals Kotak shows for a listing's prices (currency has four)."""
    return 4 if listing.exchange == "CDS" else 2


# 200,000 contracts have few strikes and fewer expiries
@lru_cache(maxsize=20_000)
def strike_text(paise: int) -> str:
    rupees, rest = divmod(paise, 100)
    return str(rupees) if not rest else f"{rupees}.{rest:02d}".rstrip("0")


@lru_cache(maxsize=1_000)
def expiry_text(expiry: date, *, weekly: bool) -> str:
    """``26NOV`` for monthly contracts, ``26N03`` style (year, month letter, day) for weekly ones."""
    if weekly:
        return f"{expiry:%y}{_MONTH_LETTER[expiry.month - 1]}{expiry:%d}"
    return f"{expiry:%y%b}".upper()


def trading_symbol(listing: Listing) -> str:
    """``pTrdSymbol``, the name orders use.

    Source: scrip master samples: ``DEMOIND-EQ``, ``NIFTY2620326500CE`` (weekly), ``TCS26JULFUT`` (monthly).
    """
    if listing.kind is Kind.INDEX:
        return listing.symbol
    if listing.kind is Kind.EQUITY:
        return f"{listing.symbol}-EQ" if listing.exchange == "NSE" else listing.symbol
    when = expiry_text(listing.expiry, weekly=listing.weekly) if listing.expiry else ""
    if listing.kind is Kind.FUTURE:
        return f"{listing.root}{when}FUT"
    return f"{listing.root}{when}{strike_text(listing.strike_paise)}{listing.kind.value}"


class Directory:
    """Finds listings by Kotak's names; built once per day from the universe."""

    def __init__(self, universe: Universe) -> None:
        self.universe = universe
        self.day = universe.today
        self._by_symbol: dict[tuple[str, str], Listing] = {}
        self._by_index: dict[tuple[str, str], Listing] = {}
        for listing in universe.listings:
            if listing.exchange not in SEGMENT_OF:
                continue
            if listing.kind is Kind.INDEX:
                self._by_index[segment(listing), index_name(listing)] = listing
            else:
                self._by_symbol[segment(listing), trading_symbol(listing)] = listing

    def by_symbol(self, seg: str, symbol: str) -> Listing | None:
        """A tradable listing by ``pTrdSymbol``."""
        return self._by_symbol.get((seg, symbol))

    def index(self, seg: str, name: str) -> Listing | None:
        """An index by its exact name."""
        return self._by_index.get((seg, name))

    def by_token(self, seg: str, token: str) -> Listing | None:
        """A tradable listing by token text."""
        exchange = CASH_OF.get(seg) or FUTURES_OF.get(seg)
        if exchange is None or not (token.isascii() and token.isdigit()) or str(int(token)) != token:
            return None
        found = self.universe.by_token(exchange, int(token))
        return found if found is not None and found.kind is not Kind.INDEX else None

    def by_feed_token(self, seg: str, token: str) -> Listing | None:
        """What a topic or a quote path names: a token, or an index by name."""
        return self.by_token(seg, token) or self.index(seg, token)

    def anything(self, seg: str, token: str) -> Listing | None:
        """As ``by_feed_token``, and index tokens too (the history call takes either)."""
        found = self.by_feed_token(seg, token)
        if found is None and seg in INDEX_OF and token.isascii() and token.isdigit():
            return self.universe.by_token(INDEX_OF[seg], int(token))
        return found
