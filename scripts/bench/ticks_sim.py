#!/usr/bin/env python3
"""The tick plane measured from outside: simulated Dhan in load mode -> feed process -> swarm of raw clients.

Everything is a real process of its own; ticks travel as Dhan packets over a WebSocket into the feed process
and as JSON out of it. Loss is counted, latency is from the simulator's write to the client's read. Rows:

    fanout    1, 10, 50 clients at 55k, 22k, 6.6k ticks/s: nothing may be lost
    latency   2,000 ticks/s to 10 clients, and the same while REST answers 200 requests a second
    stalled   20 clients, then 20 of which one never reads: p99 of the others, growth of memory
    recorder  2,000 ticks/s to 10 clients with algo record off and on in turn: CPU of the feed process

    python scripts/bench/ticks_sim.py [row…] [--seconds 8] [--mode LTP] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import psutil
import ticks
from rig import Rig

ROWS = ("fanout", "latency", "stalled", "recorder")


def arm(rig: Rig) -> None:
    """List the load symbols at the simulated broker and in the instance's table."""
    rig.sim("POST", "/_sim/load", {"rate": 0})
    rig.internal("POST", "/internal/instruments/sync", {})


def options(rig: Rig, args: argparse.Namespace, **changes: Any) -> argparse.Namespace:
    found = ticks.arguments().parse_args([])
    found.ws = f"ws://127.0.0.1:{rig.ports['WEBSOCKET_PORT']}"
    found.api_key, found.publish = rig.key, "sim"
    found.sim = f"http://127.0.0.1:{rig.sim_port}"
    found.mode, found.pids = args.mode, [rig.pid("feed"), rig.pid("sim")]
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def subscribed(found: argparse.Namespace) -> None:
    """Wait until the broker has the subscription of every symbol."""
    deadline = time.monotonic() + 20
    while json.load(urllib.request.urlopen(found.sim + "/_sim/load"))["readers"] < found.symbols:
        if time.monotonic() > deadline:
            raise SystemExit("the load symbols are not subscribed at the simulated broker")
        time.sleep(0.05)


@contextmanager
def swarm(found: argparse.Namespace, clients: int, *, stalled: bool = False) -> Iterator[list[Any]]:
    """Subscribed clients; the broker has taken the subscriptions when the block begins."""
    readers = [ticks.connect(found) for _ in range(clients)]
    idle = [ticks.connect(found, slow=True)] if stalled else []
    subscribed(found)
    try:
        yield readers
    finally:
        for client in readers + idle:
            client.sock.close()
        time.sleep(0.5)


@contextmanager
def rest_load(rig: Rig, per_second: int) -> Iterator[None]:
    """A steady stream of small REST calls from four threads."""
    stop = threading.Event()
    body = json.dumps({"apikey": rig.key}).encode()
    done = [0] * 4

    def call(number: int) -> None:
        due = time.monotonic() + number / per_second
        while not stop.is_set():
            request = urllib.request.Request(
                f"http://127.0.0.1:{rig.port}/api/v1/ping", body, {"Content-Type": "application/json"}
            )
            urllib.request.urlopen(request, timeout=5).read()
            done[number] += 1
            due += 4 / per_second
            stop.wait(max(0.0, due - time.monotonic()))

    threads = [threading.Thread(target=call, args=(n,), daemon=True) for n in range(4)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join(5)
    print(f"  REST answered {sum(done) / (time.monotonic() - began):.0f} requests/s meanwhile")


def show(name: str, found: dict[str, Any]) -> dict[str, Any]:
    feed, sim = found["server_cpu"].values()
    print(
        f"{name:22} {found['delivered_per_s']:10,.0f} msg/s  {found['published_rate']:8,.0f} ticks/s  "
        f"lost {found['expected_msgs'] - found['delivered_msgs']}  p50 {found['lat_p50_ms']} ms  "
        f"p99 {found['lat_p99_ms']} ms  feed {feed:.0%}  sim {sim:.0%}  swarm {found['client_cpu']:.0%}  "
        f"others {found['other_cpu']:.0%}",
        flush=True,
    )
    return found


def fanout(rig: Rig, args: argparse.Namespace) -> None:
    """A tenth above the targets; the broker packs what is due in one millisecond into one message."""
    for clients, rate in ((1, 55_000), (10, 22_000), (50, 6_600)):
        found = options(rig, args, packed=50, coalesce_ms=2.0, sample=101)
        with swarm(found, clients) as readers:
            for _ in range(args.rounds):
                show(f"fanout {clients}", ticks.measure(found, readers, args.rate or rate, args.seconds))


def latency(rig: Rig, args: argparse.Namespace) -> None:
    found = options(rig, args)
    alone, beside = [], []
    with swarm(found, 10) as readers:
        for _ in range(args.rounds):
            alone.append(show("latency 10", ticks.measure(found, readers, 2000, args.seconds)))
            with rest_load(rig, 200):
                beside.append(show("latency 10 + REST", ticks.measure(found, readers, 2000, args.seconds)))
    one, two = (median(x["lat_p99_ms"] for x in rows) for rows in (alone, beside))
    p50 = median(x["lat_p50_ms"] for x in alone)
    print(f"p50 {p50:.3f} ms, p99 {one:.3f} ms; with REST p99 {two:.3f} ms, {two / one:.2f}x")


def stalled(rig: Rig, args: argparse.Namespace) -> None:
    found = options(rig, args)
    p99: dict[bool, list[float]] = {False: [], True: []}
    most = [0.0, 0.0]
    for _ in range(args.rounds):
        for one in (False, True):
            with swarm(found, 19, stalled=one) as readers:
                row = show(
                    f"19 clients{' + 1 stalled' if one else ''}",
                    ticks.measure(found, readers, 2000, args.seconds),
                )
            p99[one].append(row["lat_p99_ms"])
            most[one] = max(most[one], row["server_rss_mb"][str(rig.pid("feed"))])
    before, after = median(p99[False]), median(p99[True])
    print(f"p99 {before} -> {after} ms ({after / before - 1:+.0%}); most memory {most[0]} -> {most[1]} MB")


@contextmanager
def recording(rig: Rig, found: argparse.Namespace) -> Iterator[None]:
    """Have the feed process record, as ``algo record`` does."""
    folder = rig.home / "db" / "sim" / "record"
    folder.mkdir(exist_ok=True)
    request, status = folder / f"{rig.name}.request", folder / f"{rig.name}.status"
    request.write_text(str(time.monotonic_ns()))
    while not (status.exists() and json.loads(status.read_text())["request"] == request.read_text()):
        time.sleep(0.1)
    subscribed(found)
    yield
    request.unlink()
    while (state := json.loads(status.read_text()))["recording"]:
        time.sleep(0.1)
    print(
        f"  recorded {state['frames']} frames, "
        f"{state['bytes'] / 1e6:.1f} MB as {state['written'] / 1e6:.1f} MB"
    )


def recorder(rig: Rig, args: argparse.Namespace) -> None:
    found = options(rig, args, mode="DEPTH")
    feed = rig.pid("feed")
    spent: dict[bool, list[float]] = {False: [], True: []}
    with swarm(found, 10) as readers:

        def run(on: bool) -> None:
            before = psutil.Process(feed).cpu_times()
            row = show(f"recorder {'on' if on else 'off'}", ticks.measure(found, readers, 2000, args.seconds))
            after = psutil.Process(feed).cpu_times()
            used = after.user + after.system - before.user - before.system
            spent[on].append(1e6 * used / row["published"])

        for _ in range(args.rounds):
            run(False)
            with recording(rig, found):
                run(True)
    off, on = median(spent[False]), median(spent[True])
    print(f"feed CPU {off:.1f} -> {on:.1f} us a tick, {on / off - 1:+.1%} with the recorder on")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", default=ROWS, metavar="row")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rate", type=float, default=0, help="ticks/s of the fan-out rows")
    parser.add_argument("--mode", choices=list(ticks.MODES), default="LTP")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if unknown := set(args.rows) - set(ROWS):
        parser.error(f"unknown row {', '.join(unknown)}; known: {', '.join(ROWS)}")
    print(f"load average {os.getloadavg()[0]:.2f}")
    with Rig("dhan", {"WS_MAX_QUEUE": "4096"}) as rig:
        arm(rig)
        for row in args.rows:
            {"fanout": fanout, "latency": latency, "stalled": stalled, "recorder": recorder}[row](rig, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
