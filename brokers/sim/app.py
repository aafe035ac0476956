"""One simulated broker as an aiohttp application, and the server around it."""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from aiohttp import web

from brokers.calendar import AlwaysOpen, Calendar, FileCalendar
from brokers.clock import IST, Clock, SystemClock
from brokers.sim.control import Calls, Control, bad_requests
from brokers.sim.exchange.engine import Exchange
from brokers.sim.exchange.journal import Journal
from brokers.sim.exchange.prices import Prices
from brokers.sim.exchange.universe import Size, Universe
from brokers.sim.faults import Faults
from brokers.sim.venue import Maker, Venue

Hours = Literal["always", "nse"]
HOST = "127.0.0.1"

EXCHANGE = web.AppKey("exchange", Exchange)
FAULTS = web.AppKey("faults", Faults)
VENUE: web.AppKey[Venue] = web.AppKey("venue")
_SHUTDOWN_S = 0.5
"""aiohttp waits this long twice: for a handler to end, and for it to be cancelled."""
_LARGEST_BODY = 4 * 1024 * 1024


def make_exchange(
    *,
    seed: int,
    universe: Size,
    hours: Hours,
    clock: Clock,
    journal: Journal | None = None,
) -> Exchange:
    """An exchange of the clock's IST date, with prices that two brokers of equal seed share."""
    calendar: Calendar = FileCalendar() if hours == "nse" else AlwaysOpen()
    listed = Universe(seed, clock.now().astimezone(IST).date(), universe)
    return Exchange(
        universe=listed,
        prices=Prices(seed, listed, calendar),
        clock=clock,
        hours=calendar,
        journal=journal,
        auto_square_off=hours == "nse",
    )


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
    """The application of one broker.

    Args:
        port: Only names the base URL the venue hands out.
        state: SQLite file that keeps the books over a restart; None keeps them in memory.

    Raises:
        SettingsError: ``state`` is not this simulator's file.
    """
    clock = clock or SystemClock()
    journal = Journal(state, broker) if state is not None else None
    exchange = make_exchange(seed=seed, universe=universe, hours=hours, clock=clock, journal=journal)
    faults = Faults(clock, f"{broker}/{seed}")  # two brokers share their prices, not their bad luck
    make = cast(Maker, importlib.import_module(f"brokers.sim.{broker}.venue").make)
    return assemble(make(exchange, faults, clock, f"http://{HOST}:{port}"), exchange, faults, clock, journal)


def assemble(
    venue: Venue, exchange: Exchange, faults: Faults, clock: Clock, journal: Journal | None = None
) -> web.Application:
    """Mount a venue and the control endpoints, and run the exchange while the application runs."""
    calls = Calls()
    app = web.Application(
        middlewares=[calls.middleware, bad_requests, faults.middleware], client_max_size=_LARGEST_BODY
    )
    app[EXCHANGE], app[FAULTS], app[VENUE] = exchange, faults, venue
    control = Control(venue=venue, exchange=exchange, faults=faults, calls=calls, clock=clock)
    app.add_routes(list(control.routes()))
    app.add_routes(list(venue.routes()))

    async def running(_: web.Application) -> AsyncIterator[None]:
        await venue.start()
        task = asyncio.create_task(exchange.run(), name="exchange")
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if journal is not None:
            journal.close()

    async def stopping(_: web.Application) -> None:
        # before aiohttp waits for open connections: sockets a venue leaves open would be among them
        await venue.stop()
        faults.reset_sockets()

    app.cleanup_ctx.append(running)
    app.on_shutdown.append(stopping)
    return app


@dataclass(slots=True)
class Server:
    """A running simulated broker."""

    port: int
    exchange: Exchange
    faults: Faults
    venue: Venue
    runner: web.AppRunner

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def stop(self) -> None:
        """Close the port, the sockets and the books; at most two seconds."""
        await self.runner.cleanup()


def listen(port: int) -> socket.socket:
    """A loopback socket bound to a port, or to a free one for 0. Raises ``OSError`` when it is taken."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, port))
        sock.listen(512)
    except OSError:
        sock.close()
        raise
    return sock


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
        SettingsError: ``state`` is not this simulator's file.
    """
    with ExitStack() as undo:
        sock = undo.enter_context(listen(port))
        bound: int = sock.getsockname()[1]
        app = build(broker, bound, seed=seed, universe=universe, hours=hours, clock=clock, state=state)
        server = await serve_app(app, sock)
        undo.pop_all()  # the server owns the socket now
        return server


async def serve_app(app: web.Application, sock: socket.socket) -> Server:
    """Serve an assembled application on a bound socket."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    return Server(sock.getsockname()[1], app[EXCHANGE], app[FAULTS], app[VENUE], runner)
