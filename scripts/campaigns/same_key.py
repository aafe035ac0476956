"""One ``client_order_id``, posted a thousand times at once: one broker order, a thousand equal answers.

With the default limits of requests; also after a restart, and while every slot of the broker's window is
taken.

    scripts/campaign same_key [--posts 1000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.station import Station
from tests.e2e.trader import Answer

DEFAULTS = {"ORDER_RATE_LIMIT": "10 per second", "API_RATE_LIMIT": "50 per second"}
AT_ONCE = 120
"""Connections at the same moment; a request that finds none free waits for its turn."""


@dataclass(frozen=True, slots=True)
class Figures:
    posts: int
    spent_s: float
    after_restart: int
    while_full: int


def essence(answer: Answer) -> tuple[int, Any, Any, Any]:
    """What must be equal: everything but that one of them was the first."""
    status, body = answer
    return status, body.get("status"), body.get("orderid"), body.get("code")


def at_once(work: Callable[[], Answer], count: int) -> list[Answer]:
    with ThreadPoolExecutor(min(AT_ONCE, count)) as pool:
        return [f.result() for f in [pool.submit(work) for _ in range(count)]]


def run(station: Station, posts: int) -> Figures:
    """Raises ``AssertionError`` when an answer differs or a second order is made."""
    trader = station.open()
    price = trader.price()
    trader.fault("delay", delay_s=0.3)  # all of them meet the first one in flight
    begun = time.monotonic()
    answers = at_once(lambda: trader.place("the one", price), posts)
    spent_s = time.monotonic() - begun
    first = essence(answers[0])
    assert first[0] == 200, answers[0]
    different = [a for a in answers if essence(a) != first]
    assert not different, f"{len(different)} of {posts} answers differ from {first}: {different[0]}"
    assert sum("repeated" not in body for _, body in answers) == 1, "one of them was the first"
    tag = next(row["tag"] for row in station.rows() if row["client_order_id"] == "the one")
    assert len(trader.behind(tag)) == 1, "one intent, one order"
    # every slot taken: entries wait or are refused, the repeat is answered
    later = posts // 10
    with ThreadPoolExecutor(24) as pool:
        others = [pool.submit(trader.place, f"other-{n}", price) for n in range(24)]
        full = [trader.place("the one", price) for _ in range(later)]
        refused = sum(f.result()[0] == 429 for f in others)
    assert refused, "the windows were not full"
    assert {essence(a) for a in full} == {first}
    station.kill()
    station.start()
    station.ready()
    again = at_once(lambda: trader.place("the one", price), later)
    assert {essence(a) for a in again} == {first}, again[0]
    assert all(body.get("repeated") for _, body in again)
    assert len(trader.behind(tag)) == 1
    station.check_rows()
    status, body = trader.place("the one", price, quantity="2")
    assert (status, body["code"]) == (400, "CLIENT_ORDER_ID_REUSED")
    return Figures(posts, spent_s, later, later)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign same_key", description=__doc__)
    parser.add_argument("--posts", type=int, default=1000)
    options = parser.parse_args()
    for name in ("dhan", "kotak"):
        with tempfile.TemporaryDirectory() as home:
            station = Station(Path(home), name, **DEFAULTS)
            try:
                found = run(station, options.posts)
            finally:
                station.close()
        print(
            f"same_key {name}: {found.posts} posts in {found.spent_s:.1f} s, one order, equal answers; "
            f"{found.while_full} more with full windows, {found.after_restart} after a restart"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
