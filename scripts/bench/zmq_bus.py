#!/usr/bin/env python3
"""ZeroMQ messages a second from a tick to a subscriber in another process, without loss.

The product's hub, encoder and bus in one process; a SUB socket in another that counts messages and checks the
``seq`` of every channel for gaps. The reference in the same run sends ready-made bytes through a bare PUB
socket: what pyzmq itself can do here.

    python scripts/bench/zmq_bus.py [--rate 66000] [--seconds 4] [--rounds 3]      --rate 0: flat out
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvloop
import zmq

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from brokers.model import Instrument, InstrumentKey, Mode, Tick
from gateway.stream.bus import Bus
from gateway.stream.fanout import Fanout, Keeper
from gateway.stream.hub import Hub, Want
from gateway.stream.topics import Name

SYMBOLS = 100
SEQ = re.compile(rb'"seq":(\d+)')
END = b"END"
BEHIND = 20_000
"""Messages ahead of the subscriber at which the sender waits: half of the bus's high-water mark."""


def subscriber(address: str, ready: Any, taken: Any, done: Any) -> None:
    sub = zmq.Context().socket(zmq.SUB)
    sub.setsockopt(zmq.RCVHWM, 0)
    sub.setsockopt(zmq.SUBSCRIBE, b"")
    sub.connect(address)
    ready.set()
    count = gaps = 0
    last: dict[bytes, int] = {}
    cpu, first_s, last_s = 0.0, 0.0, 0.0
    while True:
        topic, payload = sub.recv_multipart()
        if topic == END:
            break
        if not count:
            first_s, cpu = time.monotonic(), time.process_time()
        count += 1
        found = SEQ.search(payload)
        if found is not None:
            number = int(found[1])
            gaps += number - last.get(topic, number - 1) - 1
            last[topic] = number
        if count % 500 == 0:
            taken.value = count
            last_s = time.monotonic()
    spent = time.process_time() - cpu
    done.put({"received": count, "gaps": gaps, "seconds": max(1e-6, last_s - first_s), "sub_cpu": spent})


async def product(port: int, args: argparse.Namespace, taken: Any) -> dict[str, float]:
    def ignore(want: Want) -> None: ...

    def unheard(name: Name, joined: bool) -> None: ...

    hub: Hub[Any] = Hub(10_000, "bench")
    fanout = Fanout(hub, want=ignore, table=lambda: None, monotonic=time.monotonic)
    bus = Bus(unheard)
    bus.bind("127.0.0.1", port)
    fanout.attach(bus)
    keys = [InstrumentKey("NSE", f"SYM{n:03d}") for n in range(SYMBOLS)]
    keeper = Keeper("bench")
    for key in keys:
        instrument = Instrument(key, "1", "NSE_EQ", key.symbol, "Load", "EQ", 1, Decimal("0.01"))
        hub.subscribe(keeper, Name("NSE", key.symbol, Mode.LTP), instrument, 0.0)

    def one(n: int) -> None:
        fanout.publish(Tick(keys[n % SYMBOLS], Mode.LTP, time.time_ns(), 10_000 + n % 10**6 / 100, 1))

    while not bus.subscriptions:
        await asyncio.sleep(0.01)
    facts = await pump(one, args, taken)
    bus.send(END, b"")
    await asyncio.sleep(0.2)
    bus.close()
    return {**facts, "overflows": bus.overflows}


async def bare(port: int, args: argparse.Namespace, taken: Any) -> dict[str, float]:
    pub = zmq.Context().socket(zmq.PUB)
    pub.setsockopt(zmq.SNDHWM, 0)
    pub.bind(f"tcp://127.0.0.1:{port}")
    await asyncio.sleep(0.5)
    payload = (
        b'{"symbol":"SYM000","exchange":"NSE","mode":"ltp","ltp":10000.01,"ltt":1,"timestamp":1790000000000}'
    )

    def one(_: int) -> None:
        pub.send_multipart((b"NSE_SYM000_LTP", payload), zmq.NOBLOCK)

    facts = await pump(one, args, taken)
    pub.send_multipart((END, b""))
    await asyncio.sleep(0.2)
    pub.close(1000)
    return facts


async def pump(one: Any, args: argparse.Namespace, taken: Any) -> dict[str, float]:
    sent, began, cpu = 0, time.monotonic(), time.process_time()
    while (elapsed := time.monotonic() - began) < args.seconds:
        due = min(int(args.rate * elapsed) - sent, 5000) if args.rate else 200
        if sent - taken.value > BEHIND:
            due = 0
        for n in range(sent, sent + due):
            one(n)
        sent += max(0, due)
        await asyncio.sleep(0 if not args.rate and due else 0.001)
    return {"sent": sent, "pub_cpu": time.process_time() - cpu}


def run(kind: Any, args: argparse.Namespace) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    ready, taken, done = context.Event(), context.Value("q", 0), context.Queue()
    with zmq.Context().socket(zmq.PUB) as probe:
        port = probe.bind_to_random_port("tcp://127.0.0.1")
    child = context.Process(target=subscriber, args=(f"tcp://127.0.0.1:{port}", ready, taken, done))
    child.start()
    ready.wait(20)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        facts = runner.run(kind(port, args, taken))
    found = {**facts, **done.get(timeout=20)}
    child.join(5)
    rate = found["received"] / found["seconds"]
    print(
        f"{kind.__name__:8} {rate:10,.0f} messages/s  lost {found['sent'] - found['received']:.0f}  "
        f"gaps {found['gaps']:.0f}  {1e6 * found['pub_cpu'] / found['sent']:.1f} us CPU each at the sender, "
        f"{1e6 * found['sub_cpu'] / found['sent']:.1f} at the subscriber",
        flush=True,
    )
    return {**found, "per_s": rate}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=66_000, help="ticks/s; 0: flat out")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    results: dict[str, list[float]] = {"product": [], "bare": []}
    for _ in range(args.rounds):
        for kind in (product, bare):
            results[kind.__name__].append(run(kind, args)["per_s"])
    middle = {name: sorted(rates)[len(rates) // 2] for name, rates in results.items()}
    print(json.dumps({"load_average": os.getloadavg()[0], **{k: round(v) for k, v in middle.items()}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
