"""Order probes against two simulated brokers with set delays: the report must say what was set.

Dhan answers orders after 20 ± 5 ms and Kotak after 35 ± 20 ms (nine steps of the normal distribution each),
one place in a hundred is taken and never answered. Judged: the figures of the report, the brokers' own order
books (nothing may be left), and the refusal beside an order of the other side.

    scripts/campaign compare [--count 300] [--seed 7] [--out report.html]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

from tests.e2e.fleet import Fleet
from tests.e2e.trader import OUR_WORDS, PLACE_PATHS, Trader

SET_MS = {"dhan": (20.0, 5.0), "kotak": (35.0, 20.0)}
ORDER_PATHS = {"dhan": "/v2/orders", "kotak": "/quick/order/"}
STEPS = 9
SLACK_MS = 4.0
"""By which what the machine adds of its own may change between the run without delays and the one with."""
BASE_ROUNDS = 60


@dataclass(frozen=True, slots=True)
class Figures:
    medians_ms: dict[str, float]
    difference_ms: tuple[float, float, float]
    unanswered: int
    orders: int


def delay(trader: Trader, lost: float) -> None:
    """Set the delays of one broker; rules are tried in turn, so each takes its share of what is left."""
    middle, spread = SET_MS[trader.name]
    if lost:
        match = {"path": PLACE_PATHS[trader.name], "method": "POST"}
        trader.sim("POST", "faults", {"kind": "drop_after", "match": match, "probability": lost})
    shape = NormalDist(middle, spread)
    for step in range(STEPS):
        late_ms = max(0.0, shape.inv_cdf((step + 0.5) / STEPS))
        rule: dict[str, Any] = {"kind": "delay", "delay_s": late_ms / 1e3}
        for method in ("POST", "PUT", "DELETE"):
            rule["match"] = {"path": ORDER_PATHS[trader.name], "method": method}
            trader.sim("POST", "faults", {**rule, "probability": 1 / (STEPS - step)})


def run(
    fleet: Fleet,
    count: int,
    seed: int,
    *,
    lost: float = 0.01,
    period_s: float = 1.0,
    out: Path | None = None,
    base_ms: dict[str, float] | None = None,
) -> Figures:
    """Probe, judge the report and both books (``AssertionError``). Leaves the brokers without faults.

    Args:
        base_ms: What each broker's median is without a set delay; without it nothing is judged that a busy
            machine could change.
    """
    traders = [Trader(fleet, name, fleet.key(name)) for name in SET_MS]
    page = out or fleet.home / "db" / "sim" / "comparison.html"
    asked = ("compare", "dhan", "kotak", "--orders", "--symbol", "SBIN", "--seed", str(seed), "--json")
    try:
        for one in traders:
            delay(one, lost)
        words = ("--count", str(count), "--period", str(period_s), "--out", str(page))
        done = fleet.algo(*asked, *words, timeout_s=count * period_s + 180)
    finally:
        for one in traders:
            one.sim("DELETE", "faults")
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    found = json.loads(done.stdout)
    figures = judge(found, count, base_ms)
    _nothing_left(traders, figures.orders)
    text = page.read_text()
    assert "<svg" in text
    assert "<script" not in text
    return figures


def base(fleet: Fleet, period_s: float) -> dict[str, float]:
    """Medians of both brokers without a set delay: what this machine adds."""
    words = ("--orders", "--count", str(BASE_ROUNDS), "--period", str(period_s), "--seed", "1", "--json")
    found = json.loads(fleet.ok("compare", "dhan", "kotak", *words))
    place = next(one for one in found["measures"] if one["name"] == "place: acknowledge")
    return {row["instance"]: row["p50"]["value"] * 1e3 for row in place["rows"]}


def judge(found: dict[str, Any], count: int, base_ms: dict[str, float] | None) -> Figures:
    measures = {one["name"]: one for one in found["measures"]}
    place = measures["place: acknowledge"]
    medians = {row["instance"]: row["p50"] for row in place["rows"]}
    for name, (middle, _) in SET_MS.items():
        one = medians[name]
        assert one["high"] * 1e3 >= middle, (name, one)
        if base_ms is not None:
            assert one["low"] * 1e3 <= middle + base_ms[name] + SLACK_MS, (name, one, base_ms)
    (pair,) = place["pairs"]
    low, value, high = (pair[end] * 1e3 for end in ("low", "value", "high"))
    if base_ms is not None:
        wanted = SET_MS["kotak"][0] + base_ms["kotak"] - SET_MS["dhan"][0] - base_ms["dhan"]
        assert low - SLACK_MS <= wanted <= high + SLACK_MS, (pair, base_ms)
    assert all(row["n"] == count for row in measures["place"]["rows"]), measures["place"]["rows"]
    assert len(found["verdicts"]) == len(found["measures"])
    shares = {one["name"]: one["rows"] for one in found["shares"]}
    return Figures(
        {name: one["value"] * 1e3 for name, one in medians.items()},
        (low, value, high),
        sum(row["count"] for row in shares["no answer"]),
        count * len(SET_MS),
    )


def _nothing_left(traders: list[Trader], orders: int) -> None:
    ended = 0
    for one in traders:
        rows = [row for row in one.at_broker() if row["symbol"] == "SBIN"]
        words = {OUR_WORDS[row["status"]] for row in rows}
        assert words <= {"cancelled", "rejected"}, (one.name, words)
        ended += len(rows)
    assert ended >= orders, f"{ended} of {orders} probes reached the brokers"


def refused_beside_the_other_side(fleet: Fleet) -> str:
    """A sell order at one instance keeps probes from all; what was said."""
    trader = Trader(fleet, "kotak", fleet.key("kotak"))
    high = round(round(trader.price() * 1.08 / 0.05) * 0.05, 2)
    status, body = trader.place("other-side", high, action="SELL")
    assert status == 200, body
    try:
        done = fleet.algo("compare", "dhan", "kotak", "--orders", "--count", "2")
    finally:
        status, answer = trader.post("cancelorder", strategy="bad day", orderid=body["orderid"])
        assert status == 200, answer
    assert done.returncode == 1, done.stdout
    assert "kotak: a working order on the other side (SELL)" in done.stderr, done.stderr
    return done.stderr.strip()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=300)
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--period", type=float, default=1.0)
    options.add_argument("--out", type=Path)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as home:
        fleet = Fleet(Path(home))
        fleet.init("dhan", "kotak")
        try:
            fleet.ok("up", "dhan", "kotak", "--sim", "-d")
            print(f"seed {asked.seed}, {asked.count} rounds", flush=True)
            base_ms = base(fleet, asked.period)
            print("without a set delay: " + ", ".join(f"{n} {ms:.1f} ms" for n, ms in base_ms.items()))
            period_s = asked.period
            figures = run(fleet, asked.count, asked.seed, period_s=period_s, out=asked.out, base_ms=base_ms)
            print(refused_beside_the_other_side(fleet))
        except AssertionError as exc:
            print(f"BROKEN: {exc}")
            sys.exit(1)
        finally:
            fleet.destroy()
    low, value, high = figures.difference_ms
    medians = ", ".join(f"{name} {ms:.1f} ms" for name, ms in figures.medians_ms.items())
    print(
        f"{figures.orders} probes: medians {medians}; difference {value:.1f} ms (95 % {low:.1f} to "
        f"{high:.1f}); {figures.unanswered} unanswered; nothing left at either broker"
    )


if __name__ == "__main__":
    main()
