"""Soak: a feed process at 5,000 ticks/s for half an hour (or a day) loses nothing and does not grow.

A simulated Dhan in load mode sends full packets of 100 symbols; a WebSocket client (last prices) and a
ZeroMQ subscriber (five levels) check the ``seq`` of every channel. Promises: no gap, not one tick lost,
memory of the feed process at the end at most 5 % above that after the warm-up, descriptors of every process
as many as then.

    scripts/campaign soak [--minutes 30 | --hours 24] [--rate 5000]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import selectors
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import zmq

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import ticks
import ticks_sim
from rig import Rig

GROWTH_PERCENT = 5.0
FIELDS = re.compile(rb'"symbol":"(\w+)".*?"seq":(\d+)')


class Gaps:
    """Counts the messages of one consumer and the numbers missing between them."""

    def __init__(self) -> None:
        self.messages = 0
        self.missing = 0
        self.bad = 0
        self._last: dict[bytes, int] = {}

    def take(self, payload: bytes) -> None:
        found = FIELDS.search(payload)
        if found is None:
            self.bad += 1
            return
        symbol, number = found[1], int(found[2])
        last = self._last.get(symbol)
        self._last[symbol] = number
        if last is None:
            # what a new subscriber is shown first may come again as the first tick
            return
        self.messages += 1
        self.missing += number - last - 1 if number > last else 0


class Watch:
    """Memory and descriptors of the processes."""

    def __init__(self, rig: Rig) -> None:
        self._processes = {role: psutil.Process(rig.pid(role)) for role in ("sim", "api", "feed")}
        self.base: dict[str, tuple[int, int]] = {}

    def look(self) -> dict[str, tuple[int, int]]:
        return {role: (p.memory_info().rss, p.num_fds()) for role, p in self._processes.items()}

    def cpu(self) -> float:
        times = self._processes["feed"].cpu_times()
        return float(times.user + times.system)


def read_websocket(port: int, key: str, tally: Any, stop: Any) -> None:
    """Process of the WebSocket consumer: last prices of the load symbols."""
    found = ticks.arguments().parse_args([])
    found.ws, found.api_key = f"ws://127.0.0.1:{port}", key
    client, gaps = ticks.connect(found), Gaps()
    selector = selectors.DefaultSelector()
    selector.register(client.sock, selectors.EVENT_READ)
    while not stop.is_set() and not client.closed:
        selector.select(0.1)
        for payload in client.feed():
            gaps.take(payload)
        tally[:] = [gaps.messages, gaps.missing, gaps.bad + client.closed]


def read_bus(port: int, tally: Any, stop: Any) -> None:
    """Process of the ZeroMQ consumer: five levels of the load symbols."""
    sub, gaps = zmq.Context.instance().socket(zmq.SUB), Gaps()
    sub.setsockopt(zmq.RCVHWM, 0)
    for n in range(100):
        sub.setsockopt(zmq.SUBSCRIBE, f"NSE_SYM{n:03d}_DEPTH".encode())
    sub.connect(f"tcp://127.0.0.1:{port}")
    while not stop.is_set():
        if sub.poll(100):
            for _ in range(500):
                try:
                    gaps.take(sub.recv_multipart(zmq.NOBLOCK)[1])
                except zmq.Again:
                    break
        tally[:] = [gaps.messages, gaps.missing, gaps.bad]


class Consumers:
    """Both consumers, each a process of its own: one must not be late because the other has work."""

    def __init__(self, rig: Rig) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._tallies = [context.Array("q", 3), context.Array("q", 3)]
        self._processes = [
            context.Process(
                target=read_websocket,
                args=(rig.ports["WEBSOCKET_PORT"], rig.key, self._tallies[0], self._stop),
                daemon=True,
            ),
            context.Process(
                target=read_bus, args=(rig.ports["ZMQ_PORT"], self._tallies[1], self._stop), daemon=True
            ),
        ]
        for process in self._processes:
            process.start()

    def gaps(self) -> tuple[Gaps, Gaps]:
        """What both have counted so far: WebSocket, ZeroMQ."""
        found = []
        for tally in self._tallies:
            one = Gaps()
            one.messages, one.missing, one.bad = tally[:]
            found.append(one)
        return found[0], found[1]

    def stop(self) -> None:
        self._stop.set()
        for process in self._processes:
            process.join(5)


def soak(rig: Rig, args: argparse.Namespace, seconds: float) -> bool:
    ticks_sim.arm(rig)
    consumers = Consumers(rig)
    try:
        return run(rig, args, seconds, consumers)
    finally:
        consumers.stop()


def run(rig: Rig, args: argparse.Namespace, seconds: float, consumers: Consumers) -> bool:
    found = ticks.arguments().parse_args([])
    found.sim = f"http://127.0.0.1:{rig.sim_port}"
    ticks_sim.subscribed(found)
    time.sleep(2)
    warm_s = min(60.0, seconds / 5)
    rig.sim("POST", "/_sim/load", {"rate": args.rate, "seconds": seconds + warm_s, "packed": args.packed})
    watch, began = Watch(rig), time.monotonic()
    time.sleep(warm_s)
    watch.base = watch.look()
    cpu0, base_s = watch.cpu(), time.monotonic()
    while (left := began + warm_s + seconds - time.monotonic()) > 0:
        time.sleep(min(60.0, left))
        now, (ws, bus) = watch.look()["feed"], consumers.gaps()
        print(
            f"{(time.monotonic() - began) / 60:6.1f} min  {ws.messages:,} / {bus.messages:,} messages  "
            f"missing {ws.missing} / {bus.missing}  feed {now[0] / 1e6:.1f} MB  {now[1]} descriptors  "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    cpu = (watch.cpu() - cpu0) / (time.monotonic() - base_s)
    ended, sent = watch.look(), 0
    for _ in range(60):
        state = rig.sim("GET", "/_sim/load")
        sent = 0 if state["running"] else int(state["sent"])
        ws, bus = consumers.gaps()
        if sent and min(ws.messages, bus.messages) + 100 >= sent:
            break
        time.sleep(0.5)
    return judge(watch.base, ended, *consumers.gaps(), sent, cpu)


def judge(
    base: dict[str, tuple[int, int]],
    ended: dict[str, tuple[int, int]],
    ws: Gaps,
    bus: Gaps,
    sent: int,
    cpu: float,
) -> bool:
    """Print the figures; whether every promise was kept."""
    growth = 100.0 * (ended["feed"][0] / base["feed"][0] - 1)
    descriptors = {role: ended[role][1] - base[role][1] for role in base}
    # the first tick of each of the 100 channels starts its count
    lost = {name: max(0, sent - 100 - gaps.messages) for name, gaps in (("ws", ws), ("zmq", bus))}
    missing = ws.missing + bus.missing + ws.bad + bus.bad
    good = not missing and not any(lost.values()) and growth <= GROWTH_PERCENT
    good = good and max(descriptors.values()) <= 0
    print(
        f"{'kept' if good else 'BROKEN'}: {sent:,} ticks sent, {ws.messages:,} by WebSocket, "
        f"{bus.messages:,} by ZeroMQ, {missing} missing, lost {json.dumps(lost)}, "
        f"feed memory {growth:+.1f} % ({base['feed'][0] / 1e6:.1f} -> {ended['feed'][0] / 1e6:.1f} MB), "
        f"descriptors {json.dumps(descriptors)}, feed CPU {cpu:.0%}"
    )
    return good


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="campaign soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--hours", type=float, default=0.0, help="instead of --minutes")
    parser.add_argument("--rate", type=float, default=5000.0)
    parser.add_argument("--packed", type=int, default=1, help="packets the broker may put into one message")
    args = parser.parse_args(argv)
    seconds = args.hours * 3600 or args.minutes * 60
    print(f"soak: {seconds / 60:g} min at {args.rate:g} ticks/s, load {os.getloadavg()[0]:.1f}")
    with Rig("dhan") as rig:
        return 0 if soak(rig, args, seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
