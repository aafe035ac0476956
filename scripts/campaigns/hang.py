"""Processes that live and do nothing: stopped, deaf, or fed by a mute broker.

A stopped (SIGSTOP) api and feed, and a process that accepts and never answers, must be ``wedged`` and
replaced within 15 s; a feed whose broker falls silent must be ``degraded`` and hear again within 20 s in the
same process.

    scripts/campaign hang [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from brokers.venue import Venue
from supervisor.children import policy
from supervisor.children.policy import State
from supervisor.loop import Supervisor
from supervisor.plan import ChildSpec
from supervisor.state import RunFolder
from tests.e2e.fleet import Fleet, until
from tests.e2e.overseen import Overseen
from tests.e2e.trader import Trader
from tests.ports import free_ports

WEDGED_MOST_S = 15.0
MUTE_MOST_S = 20.0
SYMBOLS = "SBIN,RELIANCE,INFY"
DEAF = """
import os, pathlib, socket, sys, time
body = b'{"ready": true, "pid": %d}' % os.getpid()
answer = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = server.accept()
    while connection.recv(4096):
        if pathlib.Path(sys.argv[2]).exists():
            time.sleep(3600)
        connection.sendall(answer)
"""


@dataclass
class Figures:
    """Seconds: from the act until it was so."""

    wedged: dict[str, float] = field(default_factory=dict)
    replaced: dict[str, float] = field(default_factory=dict)
    degraded: dict[str, float] = field(default_factory=dict)
    heard_again: dict[str, float] = field(default_factory=dict)


def run(fleet: Fleet, stopped: list[str], muted: list[str], patience: float = 1.0) -> Figures:
    """Stop these children and silence the brokers of these instances at once; raises ``AssertionError``.

    The instances must be ready, and the feeds to be muted have ticked for a while: silence means something
    only then.

    Args:
        patience: How many times the promised seconds are allowed: other work of the machine counts too.
    """
    seen, figures = Overseen(fleet), Figures()
    traders = {name: Trader(fleet, name, "") for name in muted}
    begun = time.monotonic()
    feeds = {name: seen.pids()[f"{name}.feed"] for name in muted}
    for trader in traders.values():
        trader.sim("POST", "faults", {"kind": "silence", "match": {"socket": "feed"}})
    victims = {key: seen.kill(key, signal.SIGSTOP) for key in stopped}
    try:
        while len(figures.replaced) < len(victims) or len(figures.heard_again) < len(muted):
            since, rows, children = time.monotonic() - begun, seen.rows(), seen.children()
            for key, pid in victims.items():
                child = children[key]
                if child["state"] == "wedged":
                    figures.wedged.setdefault(key, since)
                if child["pid"] not in (None, pid) and child["state"] == "ready":
                    figures.replaced.setdefault(key, since)
            for name, trader in traders.items():
                _mute(name, trader, rows[name], feeds[name], since, figures)
            assert since < 2 * MUTE_MOST_S * patience, f"still {figures}\n{fleet.tails()}"
            time.sleep(0.1)
    finally:
        for pid in victims.values():
            _continue(pid)
        for trader in traders.values():
            trader.sim("DELETE", "faults")
    for key in stopped:
        assert key in figures.wedged, f"{key} was never called wedged: {figures}"
        assert figures.replaced[key] <= WEDGED_MOST_S * patience, figures
    for name in muted:
        assert name in figures.degraded, f"{name} was never called degraded: {figures}"
        assert figures.heard_again[name] <= MUTE_MOST_S * patience, figures
        assert seen.pids()[f"{name}.feed"] == feeds[name], f"{name}.feed was replaced"
    return figures


def _mute(
    name: str, trader: Trader, row: dict[str, object], pid: int, since: float, figures: Figures
) -> None:
    """Notice one mute feed; the broker talks again as soon as it was asked to."""
    feed = next(c for c in row["children"] if c["key"] == f"{name}.feed")  # type: ignore[attr-defined]
    assert feed["pid"] == pid, f"{name}.feed was replaced"
    if feed["state"] == "degraded" and name not in figures.degraded:
        assert "no frame for" in feed["reason"], feed
        figures.degraded[name] = since
        trader.sim("DELETE", "faults")
    age = row["last_tick_age_s"]
    if name in figures.degraded and isinstance(age, float) and age < 1.0:
        figures.heard_again.setdefault(name, since)


def _continue(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return


def deaf(home: Path) -> float:
    """Seconds until a process that accepts and never answers was replaced, under the rules of every day."""
    [port] = free_ports(1)
    spec = ChildSpec(
        key="t.api",
        role="api",
        instance="t",
        argv=(sys.executable, "-c", DEAF, str(port), str(home / "deaf")),
        health_url=f"http://127.0.0.1:{port}/health/ready",
        ports=(),
        after=(),
        log_path=home / "t.api.log",
        lock_path=home / "run" / "t.api.lock",
        cwd=home,
    )

    async def reached(condition: object, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # type: ignore[operator]
                await asyncio.sleep(0.02)

    async def play() -> float:
        boss = Supervisor(RunFolder(home, Venue.SIM), policy.Rules())
        slot = boss.start(spec)
        try:
            await reached(lambda: slot.child.state is State.READY, 30)
            first = slot.child.pid
            (home / "deaf").touch()
            begun = time.monotonic()
            await reached(lambda: slot.child.state is State.WEDGED, WEDGED_MOST_S)
            (home / "deaf").unlink()  # for the next one
            await reached(lambda: slot.child.state is State.READY and slot.child.pid != first, WEDGED_MOST_S)
            return time.monotonic() - begun
        finally:
            await boss.stop([spec.key])

    took_s = asyncio.run(play())
    assert took_s <= WEDGED_MOST_S, took_s
    return took_s


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign hang", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder))
        fleet.init("kotak", "dhan")
        try:
            fleet.ok("up", "kotak", "dhan", "--sim", "-d", "--symbols", SYMBOLS)
            for number in range(rounds):
                time.sleep(15.0)
                first, second = ("dhan", "kotak") if number % 2 else ("kotak", "dhan")
                figures = run(fleet, [f"{first}.api", f"{first}.feed"], [second])
                until(Overseen(fleet).all_ready, 30, "all ready")
                with tempfile.TemporaryDirectory() as other:
                    took_s = deaf(Path(other))
                print(
                    f"{figures}; deaf replaced after {took_s:.1f} s; load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
        finally:
            fleet.destroy()
    print(f"hang: {rounds} rounds, every hang replaced within {WEDGED_MOST_S:.0f} s, every mute feed kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
