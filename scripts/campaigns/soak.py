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


def sockets(rig: Rig) -> tuple[Any, Any]:
    """A subscribed WebSocket client and a subscribed SUB socket."""
    found = ticks.arguments().parse_args([])
    found.ws, found.api_key = f"ws://127.0.0.1:{rig.ports['WEBSOCKET_PORT']}", rig.key
    client = ticks.connect(found)
    sub = zmq.Context.instance().socket(zmq.SUB)
    sub.setsockopt(zmq.RCVHWM, 0)
    for n in range(100):
        sub.setsockopt(zmq.SUBSCRIBE, f"NSE_SYM{n:03d}_DEPTH".encode())
    sub.connect(f"tcp://127.0.0.1:{rig.ports['ZMQ_PORT']}")
    return client, sub


def read(client: Any, sub: Any, ws: Gaps, bus: Gaps, until_s: float, stop: Any = None) -> None:
    """Take in everything until a time, or until ``stop()``."""
    selector = selectors.DefaultSelector()
    selector.register(client.sock, selectors.EVENT_READ)
    selector.register(sub.getsockopt(zmq.FD), selectors.EVENT_READ)
    while time.monotonic() < until_s and not (stop and stop()):
        selector.select(0.05)
        for payload in client.feed():
            ws.take(payload)
        if client.closed:
            raise SystemExit("the feed closed the WebSocket")
        while sub.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            bus.take(sub.recv_multipart()[1])
    selector.close()


def soak(rig: Rig, args: argparse.Namespace, seconds: float) -> bool:
    ticks_sim.arm(rig)
    client, sub = sockets(rig)
    ws, bus = Gaps(), Gaps()
    read(client, sub, ws, bus, time.monotonic() + 2)
    warm_s = min(60.0, seconds / 5)
    plan = {"rate": args.rate, "seconds": seconds + warm_s, "packed": args.packed}
    rig.sim("POST", "/_sim/load", plan)
    watch = Watch(rig)
    began = time.monotonic()
    read(client, sub, ws, bus, began + warm_s)
    watch.base = watch.look()
    cpu0, base_s = watch.cpu(), time.monotonic()
    while (left := began + warm_s + seconds - time.monotonic()) > 0:
        read(client, sub, ws, bus, time.monotonic() + min(60.0, left))
        now = watch.look()["feed"]
        print(
            f"{(time.monotonic() - began) / 60:6.1f} min  {ws.messages:,} / {bus.messages:,} messages  "
            f"missing {ws.missing} / {bus.missing}  feed {now[0] / 1e6:.1f} MB  {now[1]} descriptors  "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    cpu = (watch.cpu() - cpu0) / (time.monotonic() - base_s)
    ended = watch.look()
    sent = 0

    def all_here() -> bool:
        return bool(sent) and min(ws.messages, bus.messages) + 100 >= sent

    for _ in range(20):
        state = rig.sim("GET", "/_sim/load")
        sent = 0 if state["running"] else int(state["sent"])
        read(client, sub, ws, bus, time.monotonic() + 0.5, all_here)
        if all_here():
            break
    return judge(watch.base, ended, ws, bus, sent, cpu)


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
