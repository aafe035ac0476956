#!/usr/bin/env python3
"""From `algo up` to ready, and back after SIGKILL, with 200,000 instruments on disk; memory of an instance.

Two instances, their two simulated brokers and the market-data store's process, second start (the
instrument tables are on disk); a further instance has its simulated broker to start too; beside it, in the
same run, what a bare interpreter and the imports alone take on this machine at this moment, and the processor
seconds of all processes.

    python scripts/bench/cold_start.py [--rounds 5] [--home DIR]      keeps DIR for the next time when given
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.e2e.fleet import Fleet, until
from tests.e2e.overseen import Overseen

SYMBOLS = "SBIN,RELIANCE,INFY,TCS,NSE_INDEX:NIFTY"
FULL = ("--sim", "-d", "--sim-universe", "full", "--symbols", SYMBOLS, "--timeout", "300")
IMPORTS = (
    "gateway.runtime",
    "gateway.stream.runtime",
    "supervisor.loop",
    "brokers.sim.app",
    "historify.puller.app",
)
PROMISED_S = {"two instances": 6.0, "a further instance": 2.5, "api back": 2.5, "feed back": 1.5}
PROMISED_MB = 160.0


def timed(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def imports() -> Iterator[tuple[str, float]]:
    yield "bare interpreter", timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
    for name in IMPORTS:
        yield (
            name,
            timed(lambda name=name: subprocess.run([sys.executable, "-c", f"import {name}"], check=True)),
        )


def back(seen: Overseen, key: str) -> float:
    """SIGKILL until ready again; a feed also until a tick of what it was subscribed to has come."""
    name = key.partition(".")[0]
    begun, pid = time.monotonic(), seen.kill(key)
    seen.replaced(key, pid, 60)
    if key.endswith(".feed"):
        wanted = len(SYMBOLS.split(","))
        until(lambda: _ticking(seen.rows()[name], wanted), 60, "its subscriptions tick")
    return time.monotonic() - begun


def _ticking(row: dict[str, object], wanted: int) -> bool:
    age, subscribed = row["last_tick_age_s"], row["subscribed"]
    return isinstance(age, float) and isinstance(subscribed, int) and subscribed >= wanted


def memory_mb(seen: Overseen, name: str) -> dict[str, float]:
    pids = seen.pids()
    return {
        role: psutil.Process(pids[f"{name}.{role}"]).memory_full_info().pss / 1e6 for role in ("api", "feed")
    }


def cpu_seconds(seen: Overseen) -> str:
    """What every process took until all were ready: on two cores no start is quicker than half the sum."""
    took = {key: sum(psutil.Process(pid).cpu_times()[:2]) for key, pid in seen.pids().items()}
    return f"CPU {sum(took.values()):.1f} s: " + ", ".join(f"{key} {s:.2f}" for key, s in took.items())


def run(home: Path, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in PROMISED_S}
    fleet = Fleet(home)
    fleet.init("kotak", "dhan")
    seen = Overseen(fleet)
    try:
        print("first start, which fills the instrument tables…", flush=True)
        print(f"  {timed(lambda: fleet.ok('up', 'kotak', 'dhan', *FULL)):.1f} s")
        until(
            lambda: all((r["instruments"] or {}).get("state") == "ok" for r in seen.rows().values()),
            300,
            "synced",
        )
        print(f"  instruments: { {n: r['instruments']['rows'] for n, r in seen.rows().items()} }")
        for _ in range(rounds):
            fleet.ok("down")
            found["two instances"].append(timed(lambda: fleet.ok("up", "kotak", "dhan", *FULL)))
            print(f"  {cpu_seconds(seen)}", flush=True)
            fleet.ok("down", "dhan")
            found["a further instance"].append(timed(lambda: fleet.ok("up", "dhan", *FULL)))
            for role in ("api", "feed"):
                found[f"{role} back"].append(back(seen, f"dhan.{role}"))
            until(seen.all_ready, 60, "all ready")
        memory = memory_mb(seen, "dhan")
        total = sum(memory.values())
        shown = ", ".join(f"{role} {mb:.0f}" for role, mb in memory.items())
        print(f"memory of the second instance: {shown}: {total:.0f} MB PSS (promised {PROMISED_MB:.0f})")
    finally:
        fleet.destroy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    for name, took in imports():
        print(f"{name:24} {took * 1000:6.0f} ms")
    with contextlib.ExitStack() as stack:
        home = options.home or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = run(home, options.rounds)
    for name, took in found.items():
        print(
            f"{name:20} median {statistics.median(took):.2f} s, worst {max(took):.2f} s of {len(took)} "
            f"(promised {PROMISED_S[name]} s)"
        )
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
