"""kill -9 of the supervisor, again and again, and a new one each time: nobody notices.

No child is restarted or started twice, each new supervisor has adopted all within 3 s, and no line the
children log meanwhile is lost.

    scripts/campaign adoption [--kills 100]
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from supervisor.running import ensure_supervisor
from tests.e2e.fleet import Fleet, until
from tests.e2e.overseen import Overseen

ADOPTED_MOST_S = 3.0


class Marks:
    """Makes one feed log a line with a number of its own, thirty a second: a refused request is one line."""

    def __init__(self, fleet: Fleet, name: str) -> None:
        self._port = fleet.ports[name]["WEBSOCKET_PORT"]
        self._log = fleet.home / "db" / "sim" / "log" / f"{name}.feed.log"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.03):
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            connection.request("GET", f"/mark-{self.sent}-", headers={"Host": "mark.example"})
            assert connection.getresponse().status == 403
            connection.close()
            self.sent += 1

    def check(self) -> None:
        """Every line stands in the log, once."""
        self._stop.set()
        self._thread.join(15)
        # the last answer may leave before its line is written
        until(lambda: f"/mark-{self.sent - 1}-" in self._log.read_text(), 5, "the last line")
        text = self._log.read_text()
        wrong = [n for n in range(self.sent) if text.count(f"/mark-{n}-") != 1]
        assert self.sent
        assert not wrong, f"of {self.sent} lines these are lost or doubled: {wrong[:10]}"


def run(fleet: Fleet, kills: int) -> list[float]:
    """Seconds to adopt, of each kill; raises ``AssertionError``."""
    seen = Overseen(fleet)
    until(seen.all_ready, 30, "all ready")
    pids, restarts = seen.pids(), seen.restarts()
    marks, took = Marks(fleet, sorted(fleet.ports)[0]), []
    for _ in range(kills):
        seen.kill_supervisor()
        begun = time.monotonic()
        ensure_supervisor(seen.folder)
        until(seen.all_ready, 15, f"all adopted\n{fleet.tails()}")
        took.append(time.monotonic() - begun)
        assert seen.pids() == pids
        assert seen.restarts() == restarts
    doubled = {name: count for name, count in seen.copies().items() if count > 1}
    assert not doubled, doubled
    marks.check()
    assert not seen.zombies()
    return took


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign adoption", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    kills = parser.parse_args().kills
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder))
        fleet.init("kotak", "dhan")
        try:
            fleet.ok("up", "kotak", "dhan", "--sim", "-d")
            took = run(fleet, kills)
        finally:
            fleet.destroy()
    slow = sum(one > ADOPTED_MOST_S for one in took)
    print(
        f"adoption: {kills} kills, 0 restarts, 0 second copies, no line lost; adopted in "
        f"{statistics.median(took):.2f} s (median), {max(took):.2f} s (worst), {slow} above "
        f"{ADOPTED_MOST_S:.0f} s; load {os.getloadavg()[0]:.1f}"
    )
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
