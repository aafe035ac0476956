"""A home that turns bad: a full disk, one that cannot be written, processes that die in a loop.

Each must lead to a clear state and message, leave the other instance alone, and be over when its cause is.

    scripts/campaign bad_home [--only disk,readonly,loop]      disk and readonly mount a small tmpfs: as root
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.fleet import Fleet, until
from tests.e2e.overseen import Overseen
from tests.e2e.trader import Trader

DISK_MB = 300
LOOP_WINDOW_S = 120.0
LOGINS_MOST = 3
"""What nobody asked for: ``gateway.brokerday.session.BUDGET``."""
LOGIN_PATHS = ("generateAccessToken", "tradeApiLogin")


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    """A folder on a disk of its own."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder]
        subprocess.run(mount, check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        try:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        if not file.write(b"\0" * size):
                            break
        except OSError as exc:
            if exc.errno != errno.ENOSPC:
                raise


def full_disk() -> str:
    """Orders are refused before they are sent, processes go on and are started again; then all is well."""
    with small_disk() as home:
        fleet = Fleet(home)
        fleet.init("kotak", "dhan")
        try:
            fleet.ok("up", "kotak", "dhan", "--sim", "-d", "--symbols", "SBIN")
            seen = Overseen(fleet)
            trader = Trader(fleet, "dhan", fleet.key("dhan"))
            price = trader.price()
            assert trader.place("before", price)[0] == 200
            pids, sent = seen.pids(), len(trader.at_broker())
            fill(home / "filler")
            status, body = trader.place("full", price)
            for number in range(50):  # the journal may still have room in its last page
                if status != 200:
                    break
                sent += 1
                status, body = trader.place(f"full-{number}", price)
            assert status >= 500, (status, body)
            assert body["status"] == "error"
            assert len(trader.at_broker()) == sent, "an order that could not be written down was sent"
            pid = seen.kill("dhan.feed")
            back_s = seen.replaced("dhan.feed", pid, 30)
            refused = fleet.algo("up", "--sim", "-d")
            assert "MB free on the disk" in refused.stderr, refused.stderr
            assert seen.rows()["kotak"]["state"] == "ready"
            (home / "filler").unlink()
            until(lambda: trader.place("after", price)[0] == 200, 30, "orders are accepted again")
            until(seen.all_ready, 30, "all ready again")
            now = seen.pids()
            assert {k for k in pids if now[k] != pids[k]} == {"dhan.feed"}, (pids, now)
            fleet.ok("down")
            why = f"HTTP {status} {body.get('code')}: {body['message']}"
            return f"orders refused with {why}; a killed feed back in {back_s:.1f} s"
        finally:
            fleet.destroy()


def read_only() -> str:
    """Refused before anything starts; and fine once it can be written."""
    with small_disk() as home:
        fleet = Fleet(home)
        fleet.init("dhan")
        subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
        try:
            refused = fleet.algo("up", "dhan", "--sim", "-d")
            assert refused.returncode == 2, refused
            assert "cannot be written" in refused.stderr
            assert "Traceback" not in refused.stderr
            assert not fleet.processes()
            assert "cannot be written" in fleet.algo("doctor").stdout
            subprocess.run(["mount", "-o", "remount,rw", str(home)], check=True)
            fleet.ok("up", "dhan", "--sim", "-d")
            fleet.ok("down")
            return next(line for line in refused.stderr.splitlines() if "cannot be written" in line)
        finally:
            fleet.destroy()


def logins(trader: Trader) -> int:
    calls = trader.sim("GET", "calls")
    return sum(n for path, n in calls.items() if any(word in path for word in LOGIN_PATHS))


def crash_loops() -> str:
    """An api that dies at its birth, and one that dies every 3 s: ``failed``, and few logins."""
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder))
        fleet.init("kotak", "dhan")
        try:
            fleet.ok("up", "kotak", "dhan", "--sim", "-d")
            seen = Overseen(fleet)
            said = []
            traders = {name: Trader(fleet, name, "") for name in fleet.ports}
            first = {name: logins(trader) for name, trader in traders.items()}
            assert all(first.values()), f"no login seen: {traders['dhan'].sim('GET', 'calls')}"
            for name, life_s in (("dhan", 0.0), ("kotak", 3.0)):
                took_s, deaths = _loop(seen, f"{name}.api", life_s)
                assert took_s <= LOOP_WINDOW_S, took_s
                shown = fleet.ok("status", name)
                assert f"{name}.api failed: " in shown
                assert "last lines of" in shown
                count = logins(traders[name])
                assert count <= LOGINS_MOST, f"{count} logins at the broker"
                other = "kotak" if name == "dhan" else "dhan"
                assert seen.rows()[other]["state"] == "ready"
                said.append(
                    f"dying {life_s:.0f} s after its start: failed after {took_s:.0f} s and {deaths} deaths, "
                    f"{count} logins"
                )
                fleet.ok("up", name, "--sim", "-d")
                assert seen.all_ready()
            return "; ".join(said)
        finally:
            fleet.destroy()


def _loop(seen: Overseen, key: str, life_s: float) -> tuple[float, int]:
    begun, deaths, killed = time.monotonic(), 0, None
    while (child := seen.children()[key])["state"] != "failed":
        pid = child["pid"]
        if pid not in (None, killed) and (child["uptime_s"] or 0.0) >= life_s:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            killed, deaths = pid, deaths + 1
        assert time.monotonic() - begun < 2 * LOOP_WINDOW_S, f"{key} never failed: {child}"
        time.sleep(0.02)
    return time.monotonic() - begun, deaths


PARTS = {"disk": full_disk, "readonly": read_only, "loop": crash_loops}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign bad_home", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS))
    for name in parser.parse_args().only.split(","):
        print(f"bad_home {name}: {PARTS[name]()}; load {os.getloadavg()[0]:.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
