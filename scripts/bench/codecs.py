#!/usr/bin/env python3
"""Packets a second that one core decodes and routes: both brokers' update packets -> tick -> its channels.

What is timed is the feed's own code from a received message on: the socket handler's ``frame``, the codec,
the merged state, the tick, and the hub's look-up of who wants it. "levels" asks each tick for its five levels
and rounds them. References run in the same rounds: a bare ``struct.unpack``, the same packet as a frozen
dataclass with rounded levels, and, with --dhanhq PYTHON, the official client's parser in its own interpreter.

    python scripts/bench/codecs.py [--rounds 7] [--seconds 0.4] [--dhanhq .venv-dhanhq/bin/python]

Each row is packets per second of CPU time, the median of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from brokers import registry
from brokers.calendar import AlwaysOpen
from brokers.clock import SystemClock
from brokers.contract import BrokerContext
from brokers.dhan.feed import DhanFeed
from brokers.dhan.feed.socket import MarketSocket
from brokers.kotak.feed import KotakFeed
from brokers.kotak.feed.hsm import HsmSocket
from brokers.kotak.feed.sfeed import SFeedSocket
from brokers.model import Instrument, InstrumentKey, Mode, Tick
from brokers.sim.exchange.types import BookLevel, Kind, Listing, Snapshot
from brokers.sim.kotak import hsm as sim_hsm
from brokers.sim.kotak import sfeed as sim_sfeed
from gateway.stream.encode import Grid
from gateway.stream.fanout import Fanout, Keeper
from gateway.stream.hub import Hub, Want
from gateway.stream.topics import Name

SYMBOLS = 100
FULL = struct.Struct("<BHBIfHIfIIIIIIffff100s")
FULL_FLAT = struct.Struct("<BHBIfHIfIIIIIIffff" + "IIHHff" * 5)
LEVEL = struct.Struct("<IIHHff")
DHANHQ = """
import json, sys, time
from dhanhq import marketfeed
feed = marketfeed.MarketFeed.__new__(marketfeed.MarketFeed)
packets = [bytes.fromhex(line) for line in sys.stdin.read().split()]
best = []
for _ in range(5):
    n, began = 0, time.process_time()
    while time.process_time() - began < 0.4:
        for packet in packets:
            feed.process_full(packet)
        n += len(packets)
    best.append(n / (time.process_time() - began))
print(json.dumps(sorted(best)[2]))
"""


class Table:
    def by_key(self, key: InstrumentKey) -> None:
        return None

    by_token = by_broker_symbol = by_key


class Sink:
    """What the feed process does with a tick up to the point where somebody listens."""

    def __init__(self, fanout: Fanout) -> None:
        self.on_tick: Callable[[Tick], None] = fanout.publish

    def on_order(self, update: object) -> None: ...

    def on_state(self, state: object, reason: str) -> None: ...

    def on_bad_frame(self, frame: bytes, reason: str) -> None:
        raise AssertionError(f"a good frame was refused: {reason}")

    def on_refused(self, key: InstrumentKey, reason: str) -> None:
        raise AssertionError(reason)


def instruments(exchange: str) -> list[Instrument]:
    return [
        Instrument(
            InstrumentKey("NSE", f"SYM{n:03d}"),
            str(960_001 + n),
            exchange,
            f"SYM{n:03d}",
            "Load",
            "EQ",
            1,
            Decimal("0.05"),
        )
        for n in range(SYMBOLS)
    ]


def routed(broker: str) -> tuple[Any, Sink, list[Instrument]]:
    """A feed of a broker whose ticks go through a real hub to channels that nobody listens to."""
    table = instruments("NSE_EQ" if broker == "dhan" else "nse_cm")
    hub: Hub[Any] = Hub(10_000, broker)

    def ignore(want: Want) -> None: ...

    fanout = Fanout(hub, want=ignore, table=lambda: None, monotonic=time.monotonic)
    keeper = Keeper("bench")
    for instrument in table:
        hub.subscribe(keeper, Name("NSE", instrument.key.symbol, Mode.DEPTH), instrument, 0.0)
    sink = Sink(fanout)
    context = BrokerContext(
        credentials={},
        endpoints=dict.fromkeys(registry.spec(broker).sim_paths, "ws://127.0.0.1"),
        options={},
        clock=SystemClock(),
        instruments=Table(),  # type: ignore[arg-type]
        calendar=AlwaysOpen(),
    )
    make: Any = DhanFeed if broker == "dhan" else KotakFeed
    feed = make(context, None, sink)
    for instrument in table:
        feed.want(instrument, Mode.DEPTH)
    return feed, sink, table


def snapshot(number: int) -> Snapshot:
    listing = Listing("NSE", f"SYM{number:03d}", 960_001 + number, Kind.EQUITY, "", "", "", 1, 5, 0, 100_000)
    at = datetime.now(UTC)
    ltp = 100_000 + 5 * number
    sides = [tuple(BookLevel(ltp + sign * (5 + 5 * n), 100 + n, 3 + n) for n in range(5)) for sign in (-1, 1)]
    day = (ltp - 50, ltp + 100, ltp - 100, ltp - 25, ltp)  # open, high, low, previous close, average
    traded = (25, at, 1_234_567, 0, 0, 0, 0, 400_000, 410_000, ltp // 2, ltp * 2)
    return Snapshot(listing, at, 1, ltp, *day, *traded, sides[0], sides[1])


def dhan_packets() -> list[bytes]:
    rows = b"".join(LEVEL.pack(100 + n, 90 + n, 3, 4, 999.95 - n / 20, 1000.05 + n / 20) for n in range(5))
    return [
        FULL.pack(8, 162, 1, 960_001 + n, 1000.0 + n / 20, 25, 1_790_000_000, 1000.5, 1_234_567,
                  410_000, 400_000, 0, 0, 0, 998.0, 999.5, 1010.0, 990.0, rows)
        for n in range(SYMBOLS)
    ]  # fmt: skip


@dataclass
class Case:
    """``run`` takes in every one of ``packets`` packets once."""

    name: str
    packets: int
    run: Callable[[], None]
    rates: list[float]


def case(name: str, frame: Callable[[bytes, int], None], frames: list[bytes]) -> Case:
    def run() -> None:
        for data in frames:
            frame(data, 1_790_000_000_000_000_000)

    return Case(name, len(frames), run, [])


def with_levels(sink: Sink, table: list[Instrument]) -> None:
    """Every tick's five levels, rounded to the instrument's tick as the encoder rounds them."""
    grids = {instrument.key: Grid(instrument) for instrument in table}
    route = sink.on_tick

    def on_tick(tick: Tick) -> None:
        route(tick)
        if tick.depth is not None:
            price, book = grids[tick.key].price, tick.depth()
            [(price(x.price), x.quantity, x.orders) for x in book.bids]
            [(price(x.price), x.quantity, x.orders) for x in book.asks]

    sink.on_tick = on_tick


def dhan(levels: bool) -> Case:
    feed, sink, table = routed("dhan")
    if levels:
        with_levels(sink, table)
    socket: MarketSocket = feed._sockets[0]
    return case(f"dhan full{', levels' if levels else ''}", socket.frame, dhan_packets())


def kotak_sfeed(levels: bool) -> Case:
    feed, sink, table = routed("kotak")
    if levels:
        with_levels(sink, table)
    socket: SFeedSocket = feed._sockets["sfeed"]
    frames = [sim_sfeed.packet(snapshot(n), sim_sfeed.Level.DEPTH, sequence=1) for n in range(SYMBOLS)]
    return case(f"kotak sfeed depth{', levels' if levels else ''}", socket.frame, frames)


def kotak_hsm(prefix: str) -> Case:
    """Updates as they come: a scrip update brings ten fields, a depth update one level of each side."""
    feed, _, _ = routed("kotak")
    socket: HsmSocket = feed._sockets["hsm"]
    updates = []
    for n in range(SYMBOLS):
        now = snapshot(n)
        for number, kind in enumerate(("sf", "dp")):
            values = sim_hsm.VALUES[kind](now)
            topic = 2 * n + number + 1
            name = f"{kind}|nse_cm|{960_001 + n}"
            shown = sim_hsm.identity("nse_cm", str(960_001 + n), "SYM")
            socket.frame(sim_hsm.data_frame([sim_hsm.snapshot_packet(topic, name, values, shown)], None), 1)
            if kind == prefix:
                known = [(i, v) for i, v in enumerate(values[:-2]) if v is not None]
                some: list[int | None] = [None] * len(values)
                for i, v in known[2 : 12 if kind == "sf" else 9]:
                    some[i] = v + 5
                updates.append(sim_hsm.data_frame([sim_hsm.update_packet(topic, some)], None))
    return case(f"kotak hsm {prefix} update", socket.frame, updates)


@dataclass(frozen=True, slots=True)
class PlainLevel:
    price: float
    quantity: int
    orders: int


@dataclass(frozen=True, slots=True)
class PlainTick:
    """As many fields as the packet has, and the rounded levels."""

    code: int
    length: int
    segment: int
    security_id: int
    ltp: float
    ltq: int
    ltt: int
    atp: float
    volume: int
    sell: int
    buy: int
    oi: int
    oi_high: int
    oi_low: int
    open: float
    close: float
    high: float
    low: float
    bids: tuple[PlainLevel, ...]
    asks: tuple[PlainLevel, ...]


def references() -> list[Case]:
    frames = dhan_packets()

    def bare() -> None:
        for data in frames:
            FULL_FLAT.unpack(data)

    def frozen() -> None:
        for data in frames:
            *head, rows = FULL.unpack(data)
            bids, asks = [], []
            for bid_qty, ask_qty, bid_orders, ask_orders, bid, ask in LEVEL.iter_unpack(rows):
                bids.append(PlainLevel(round(bid, 2), bid_qty, bid_orders))
                asks.append(PlainLevel(round(ask, 2), ask_qty, ask_orders))
            PlainTick(*head, tuple(bids), tuple(asks))

    return [
        Case("reference: bare struct", len(frames), bare, []),
        Case("reference: frozen tick with levels", len(frames), frozen, []),
    ]


def measure(cases: list[Case], rounds: int, seconds: float) -> None:
    for _ in range(rounds):
        for one in cases:
            done, began = 0, time.process_time()
            while time.process_time() - began < seconds:
                one.run()
                done += one.packets
            one.rates.append(done / (time.process_time() - began))


def dhanhq(python: str) -> float:
    hexes = "\n".join(packet.hex() for packet in dhan_packets())
    done = subprocess.run([python, "-c", DHANHQ], input=hexes, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


async def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--dhanhq", metavar="PYTHON", default="", help="interpreter that has dhanhq")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    args = parser.parse_args()
    cases = [
        dhan(levels=False),
        dhan(levels=True),
        kotak_sfeed(levels=False),
        kotak_sfeed(levels=True),
        kotak_hsm("sf"),
        kotak_hsm("dp"),
        *references(),
    ]
    cases = [one for one in cases if args.only in one.name]
    measure(cases, args.rounds, args.seconds)
    rates = {one.name: statistics.median(one.rates) for one in cases}
    if args.dhanhq:
        rates["reference: dhanhq process_full"] = dhanhq(args.dhanhq)
    first = next(iter(rates.values()))
    for name, rate in rates.items():
        print(f"{name:36} {rate:12,.0f} packets/s   {1e6 / rate:6.2f} us   {rate / first:5.2f} of the first")
    print(json.dumps({"load_average": os.getloadavg()[0], **{k: round(v) for k, v in rates.items()}}))
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
