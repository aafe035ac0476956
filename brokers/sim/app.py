"""One simulated broker as an aiohttp application, and the server around it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aiohttp import web

from brokers.clock import Clock
from brokers.sim.exchange.engine import Exchange
from brokers.sim.exchange.universe import Size
from brokers.sim.faults import Faults
from brokers.sim.venue import Venue

Hours = Literal["always", "nse"]


def build(
    broker: str,
    port: int,
    *,
    seed: int = 1,
    universe: Size = "small",
    hours: Hours = "always",
    clock: Clock | None = None,
    state: Path | None = None,
) -> web.Application:
    """The application of one broker; ``port`` only names its base URL. ``state`` is the SQLite file that
    keeps the books over a restart; none keeps them in memory."""
    raise NotImplementedError


@dataclass(slots=True)
class Server:
    """A running simulated broker; ``await server.stop()``."""

    port: int
    exchange: Exchange
    faults: Faults
    venue: Venue

    async def stop(self) -> None: ...


async def serve(
    broker: str,
    port: int = 0,
    *,
    seed: int = 1,
    universe: Size = "small",
    hours: Hours = "always",
    clock: Clock | None = None,
    state: Path | None = None,
) -> Server:
    """Bind ``port`` (0: a free one) on loopback, build and serve. Tests run a broker in-process with it.

    Raises:
        OSError: The port is taken.
    """
    raise NotImplementedError
