"""``python -m brokers.sim``: one simulated broker on a loopback port until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from brokers.errors import SettingsError
from brokers.sim import log as sim_log
from brokers.sim.app import HOST, serve
from brokers.sim.settings import PORTS

try:
    import uvloop
except ImportError:  # Windows has none
    uvloop = None  # type: ignore[assignment]  # a module or nothing

log = logging.getLogger("brokers.sim")

EXIT_SETTINGS = 2
EXIT_PORT_TAKEN = 3


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m brokers.sim", description=__doc__)
    parser.add_argument("--broker", required=True, choices=sorted(PORTS))
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--home", required=True, type=Path, help="where db/sim/ lies")
    parser.add_argument("--seed", type=int, default=1, help="equal seeds give equal prices")
    parser.add_argument("--universe", choices=("small", "full"), default="small")
    parser.add_argument("--hours", choices=("always", "nse"), default="always")
    return parser.parse_args(argv)


def state_file(home: Path, broker: str, seed: int) -> Path:
    """Where a broker's books lie; another seed is another market with other books."""
    return home / "db" / "sim" / f"broker_{broker}_{seed}.db"


async def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if sys.platform == "win32":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        else:
            loop.add_signal_handler(number, stop.set)
    # 200,000 listings and two books of them, none of which is garbage
    gc.disable()
    try:
        server = await serve(
            args.broker,
            args.port,
            seed=args.seed,
            universe=args.universe,
            hours=args.hours,
            state=state_file(args.home, args.broker, args.seed),
        )
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            raise
        log.error(
            "port %d on %s is taken by another program; stop it or choose another port", args.port, HOST
        )
        return EXIT_PORT_TAKEN
    gc.freeze()
    gc.enable()
    log.info("simulated %s on http://%s:%d, seed %d", args.broker, HOST, server.port, args.seed)
    await stop.wait()
    await server.stop()
    log.info("simulated %s stopped", args.broker)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    sim_log.setup(path=args.home / "db" / "sim" / "log" / f"sim.{args.broker}.log")
    factory = uvloop.new_event_loop if uvloop is not None else None
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(run(args))
    except SettingsError as exc:
        log.error("%s", exc)
        return EXIT_SETTINGS


if __name__ == "__main__":
    sys.exit(main())
