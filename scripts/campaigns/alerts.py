"""Alerts under kill -9: each alert with an id makes one order at the broker, however often its sender tries.

Senders post alerts to a strategy's webhook and repeat each until they hear 200; meanwhile the api process is
killed at random moments and started again. Every alert asks for a quantity of its own, so that its order is
recognised at the simulated broker. Promises: no quantity twice, none missing, no queued order left open.

    scripts/campaign alerts [--broker kotak] [--alerts 180] [--kills 40] [--seed 1]
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from rig import Rig, call

SYMBOLS = ("SBIN", "TCS", "INFY", "ITC", "RELIANCE")
SENDERS = 6
ENDED = frozenset({"done", "failed", "unknown", "expired"})


class Senders:
    """Post every alert until it is taken; ``posts`` counts the tries."""

    def __init__(self, port: int, path: str, alerts: int) -> None:
        self._port = port
        self._path = path
        self._numbers = iter(range(1, alerts + 1))
        self._lock = threading.Lock()
        self.posts = 0
        self.taken = 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(SENDERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while True:
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                return
            symbol = SYMBOLS[number % len(SYMBOLS)]
            body = {"symbol": symbol, "action": "BUY", "position_size": number, "alert_id": f"a{number}"}
            while True:
                with self._lock:
                    self.posts += 1
                try:
                    status, _ = call("POST", self._port, self._path, body)
                except (OSError, ValueError):
                    status = 0
                if status == 200:
                    break
                time.sleep(0.2)
            with self._lock:
                self.taken += 1
            time.sleep(1.0)  # spread over the kills; the broker takes nine orders a second


def campaign(broker: str, alerts: int, kills: int, seed: int) -> list[str]:
    """Broken promises; none is the good end."""
    choose = random.Random(seed)
    env = {"WEBHOOK_RATE_LIMIT": "100000 per second"}
    with Rig(broker, env, feed=False) as rig:
        symbols = [{"exchange": "NSE", "symbol": name, "quantity": 1, "product": "MIS"} for name in SYMBOLS]
        made = rig.internal(
            "POST", "/internal/strategies", {"name": "kills", "platform": "other", "symbols": symbols}
        )
        senders = Senders(rig.port, "/strategy/webhook/" + made["webhook_id"], alerts)
        senders.start()
        killed = 0
        while killed < kills and senders.busy:
            time.sleep(choose.uniform(0.05, 1.5))
            os.kill(rig.pid("api"), signal.SIGKILL)
            rig.restart("api")
            killed += 1
            print(
                f"kill {killed}: {senders.taken} of {alerts} alerts taken after {senders.posts} posts",
                flush=True,
            )
        end = time.monotonic() + 120 + alerts
        while senders.busy or _open(rig):
            if time.monotonic() > end:
                break
            time.sleep(0.5)
        return _judged(rig, alerts, killed, senders)


def _open(rig: Rig) -> int:
    rows = rig.internal("GET", "/internal/approvals?all=1")["orders"]
    return sum(row["state"] not in ENDED for row in rows)


def _judged(rig: Rig, alerts: int, killed: int, senders: Senders) -> list[str]:
    rows = rig.sim("GET", "/_sim/orders")
    seen = Counter(int(row["quantity"]) for row in rows)
    broken = [f"alert {n}: {count} orders at the broker" for n, count in sorted(seen.items()) if count > 1]
    shown = rig.internal("GET", "/internal/approvals?all=1")["orders"]
    refused = {int(row["request"]["quantity"]): row for row in shown if row["state"] in ("failed", "expired")}
    for number in itertools.filterfalse(seen.__contains__, range(1, alerts + 1)):
        told = refused.get(number)
        if told is None:
            broken.append(f"alert {number}: taken and lost")
        else:
            broken.append(f"alert {number}: {told['state']}: {told['answer'].get('message', '')}")
    if left := _open(rig):
        broken.append(f"{left} queued orders never ended")
    print(
        f"{alerts} alerts in {senders.posts} posts, {killed} kills: {sum(seen.values())} orders at the "
        f"broker, {len(seen)} different, {len(broken)} promises broken",
        flush=True,
    )
    return broken


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--broker", default="kotak")
    parser.add_argument("--alerts", type=int, default=180)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(words)
    print(f"seed {options.seed}", flush=True)
    broken = campaign(options.broker, options.alerts, options.kills, options.seed)
    for line in broken:
        print(line)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
