"""What can be traded: listings computed from a seed and a date, in OpenAlgo's symbol grammar."""

from __future__ import annotations

from datetime import date
from typing import Literal

from brokers.calendar import Calendar
from brokers.sim.exchange.types import Listing

Size = Literal["small", "full"]


class Universe:
    """Every listing of the simulated exchange on one IST date."""

    def __init__(self, seed: int, today: date, size: Size = "small", calendar: Calendar | None = None) -> None:
        self.seed = seed
        self.today = today
        self.size = size
        self.listings: tuple[Listing, ...] = ()

    def find(self, exchange: str, symbol: str) -> Listing | None:
        """The listing of an OpenAlgo key."""
        raise NotImplementedError

    def by_token(self, exchange: str, token: int) -> Listing | None:
        """The listing with a token on one OpenAlgo exchange (``NFO``, ``NSE_INDEX`` …)."""
        raise NotImplementedError

    def spot(self, listing: Listing) -> Listing:
        """What a derivative is priced from (``NSE_INDEX:NIFTY``, ``NSE:SBIN``); a cash listing itself."""
        raise NotImplementedError
