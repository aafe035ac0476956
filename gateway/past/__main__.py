"""``python -m gateway.past``: what ``algo replay --history`` runs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
from datetime import date
from pathlib import Path

from brokers.errors import AlgoError
from brokers.model import InstrumentKey
from gateway.past.instance import Past, Played, Wish


async def run(args: argparse.Namespace, past: Past) -> None:
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    rest, ws, zmq = await past.start(args.ws_port, args.zmq_port)
    _say(
        f"REST http://127.0.0.1:{rest}  WebSocket ws://127.0.0.1:{ws}  ZeroMQ tcp://127.0.0.1:{zmq}  "
        f"API key {past.key.reveal()}"
    )
    try:
        while past.consumers < args.wait_for and not stop.is_set():
            await asyncio.sleep(0.05)
        played = await past.play(None if args.speed == "max" else float(args.speed), stop.is_set)
        report(past, played)
        if args.stay:
            await stop.wait()
    finally:
        await past.stop()


def report(past: Past, played: Played) -> None:
    result = past.api.made.sandbox.exchange.result()
    _say(f"{played.ticks} ticks, {played.messages} messages, to {past.clock.now():%Y-%m-%d %H:%M:%S} UTC")
    _say(f"sha256 of the messages: {played.digest}")
    _say(
        f"paper account: {result['orders']} orders, {result['trades']} trades, realized "
        f"{result['total_realized_pnl']}, unrealized {result['unrealized_pnl']}"
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gateway.past", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--sim", action="store_true")
    parser.add_argument("--key", action="append", required=True, help="EXCHANGE:SYMBOL, as often as needed")
    parser.add_argument("--interval", default="1m")
    parser.add_argument("--from", dest="start", type=date.fromisoformat, required=True)
    parser.add_argument("--to", dest="end", type=date.fromisoformat, required=True)
    parser.add_argument("--speed", default="1")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ws-port", type=int, default=0)
    parser.add_argument("--zmq-port", type=int, default=0)
    parser.add_argument("--wait-for", type=int, default=0)
    parser.add_argument("--stay", action="store_true")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Exit code 1 when it cannot be played; the reason is one line on stderr."""
    args = parse(argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    keys = tuple(InstrumentKey(*text.split(":", 1)) for text in args.key)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="algo-past-")))
        out = stack.enter_context(args.out.open("wb")) if args.out else None
        wish = Wish(keys, args.interval, args.start, args.end)
        try:
            past = Past(args.home, args.instance, wish, folder, sim=args.sim, out=out)
            asyncio.run(run(args, past))
        except (AlgoError, OSError) as exc:
            sys.stderr.write(f"{exc}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
