"""What a broker's simulated front is to the application that mounts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from aiohttp import web

from brokers.clock import Clock
from brokers.sim.exchange.engine import Exchange
from brokers.sim.faults import Faults


class Venue(Protocol):
    """One broker's protocol over the exchange: its REST, sockets, instrument file and login."""

    name: str

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Everything the broker serves; mounted at the root of the simulator's one port."""
        ...

    async def start(self) -> None:
        """Called once the event loop runs, before the port takes connections."""
        ...

    async def stop(self) -> None:
        """Close sockets and tasks; called once, within the server's orderly stop."""
        ...

    def issue(self, account: str) -> Mapping[str, object]:
        """A fresh login of an account without its ceremony, for official clients in tests.

        JSON-able, in the broker's own words.
        """
        ...

    def expire(self, account: str) -> None:
        """End every session of an account, as the broker does when a token dies."""
        ...


Maker = Callable[[Exchange, Faults, Clock, str], Venue]
"""``brokers.sim.<broker>.venue.make``: exchange, faults, clock, base URL (``http://127.0.0.1:PORT``)."""
