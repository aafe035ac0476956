#!/usr/bin/env python3
"""Speed of REST and of orders: one simulated instance beside a bare Flask route, in one run.

    python scripts/bench/rest.py                                every row
    python scripts/bench/rest.py --rows ping,quotes --seconds 2 --rounds 8
    python scripts/bench/rest.py --rows order --orders 400 --broker kotak --broker-ms 20 --json out.json

Starts its own simulated broker, api and feed process in a temporary home on free ports (``rig.py``) with the
REST rate limits raised, and a Flask app with one constant route on the same server
(``gateway/http/server.py``) in a process of its own. Rows:

  order      live orders, one every 0.18 s (the broker's windows stay): the client's latency minus what the
             simulated broker had the request in hand (it reports that, ``/_sim/times``). Reading and writing
             HTTP in the simulator stays in our figure, so it is an upper bound; the second figure subtracts
             sent to acknowledged as the journal has it. CPU is the api process's, idle CPU subtracted.
  sandbox    orders in analyze mode, closed loop, 1 and 10 connections
  ping       closed loop, 10 connections, in turns with the bare route: ratios are medians over the turns
  quotes     the same, from the tick cache
  orderbook  closed loop, 1 and 10 connections, ``--orders`` orders in the book
  beside     live orders with and without 100 quotes a second, in turns

One JSON line per measurement; ``--json FILE`` keeps them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import load
import rig as rigs
from flask import Flask
from load import closed_loop, cpu_s, paced, post, quantiles

sys.path.insert(0, str(rigs.ROOT))

ORDERS_PER_S = 5.5
QUOTES_PER_S = 100.0
PLACE = re.compile(r"POST .*(/orders|/place)")
"""A place call at either simulated broker."""


def serve_bare(port: int) -> None:
    """The reference: a Flask app with one constant route and nothing else, on the gateway's own server."""
    from gateway.http.server import Server  # noqa: PLC0415
    from gateway.runtime import SWITCH_S  # noqa: PLC0415

    app = Flask("bare")

    @app.post("/bare")
    def bare() -> dict[str, Any]:
        return {"status": "success", "data": {"message": "pong"}}

    sys.setswitchinterval(SWITCH_S)
    Server(app, "127.0.0.1", port).serve_forever()


class Bench:
    """The rows, over one rig and one bare process."""

    def __init__(self, rig: rigs.Rig, bare_port: int, bare_pid: int, args: argparse.Namespace) -> None:
        self.rig = rig
        self.bare_port = bare_port
        self.bare_pid = bare_pid
        self.args = args
        self.lines: list[dict[str, Any]] = []

    def report(self, row: str, **figures: Any) -> None:
        line = {"row": row, **figures, "load_1m": load.machine()["load_1m"]}
        self.lines.append(line)
        print(json.dumps(line), flush=True)

    def request(self, path: str, **body: Any) -> bytes:
        return post(f"/api/v1/{path}", self.rig.port, {"apikey": self.rig.key, **body})

    def limit_order(self) -> dict[str, Any]:
        """Rests in the book: a buy far below the market."""
        status, body = self.rig.api("quotes", {"symbol": self.args.symbol, "exchange": "NSE"})
        if status != 200:
            raise SystemExit(f"no quote for {self.args.symbol}: {body}")
        price = round(float(body["data"]["ltp"]) * 0.97, 0)
        return {
            "strategy": "bench",
            "symbol": self.args.symbol,
            "exchange": "NSE",
            "action": "BUY",
            "quantity": "1",
            "product": "MIS",
            "pricetype": "LIMIT",
            "price": str(price),
        }

    # -- rows

    def order(self) -> None:
        rig, orders = self.rig, self.args.orders
        body = self.limit_order()
        wire = [self.request("placeorder", **body)]
        load.run(paced(rig.port, wire, ORDERS_PER_S, 10, None))
        idle = self._idle_cpu()
        rig.sim("DELETE", "/_sim/calls")
        since_ns = time.time_ns()
        before = cpu_s(rig.pid("api"))
        run = load.run(paced(rig.port, wire, ORDERS_PER_S, orders, None))
        time.sleep(0.3)  # what the feed still pushes belongs to these orders
        cpu_ms = (cpu_s(rig.pid("api")) - before - idle * (run.seconds + 0.3)) * 1000 / len(run.took_ms)
        own = self._broker_ms()
        if len(own) != len(run.took_ms) or run.good != len(run.took_ms):
            raise SystemExit(f"{len(run.took_ms)} orders, {len(own)} at the broker, {run.view()}")
        stages = self._stages(since_ns)
        wired = [took - s["wire"] for took, s in zip(run.took_ms, stages, strict=False)]
        self.report(
            "order",
            orders=len(own),
            per_s=round(run.per_s, 2),
            broker_own_p50_ms=quantiles(own)["p50_ms"],
            client=quantiles(run.took_ms),
            overhead=quantiles([t - b for t, b in zip(run.took_ms, own, strict=True)]),
            overhead_without_wire=quantiles(wired),
            cpu_ms_per_order=round(cpu_ms, 3),
            stages_p50_ms={n: round(statistics.median(s[n] for s in stages), 3) for n in stages[0]},
        )

    def sandbox(self) -> None:
        status, answer = self.rig.api("analyzer/toggle", {"mode": True})
        if status != 200:
            self.report("sandbox", skipped=f"analyzer/toggle answers {status}: {answer.get('message')}")
            return
        wire = [
            self.request(
                "placeorder",
                strategy="bench",
                symbol=self.args.symbol,
                exchange="NSE",
                action=action,
                quantity="1",
                product="MIS",
                pricetype="MARKET",
            )
            for action in ("BUY", "SELL")
        ]
        try:
            load.run(closed_loop(self.rig.port, wire, 2, 0.5))
            for connections in (1, 10):
                self._plain("sandbox", wire, connections)
        finally:
            self.rig.api("analyzer/toggle", {"mode": False})

    def ping(self) -> None:
        self._beside_bare("ping", self.request("ping"))

    def quotes(self) -> None:
        wire = self.request("quotes", symbol=self.args.symbol, exchange="NSE")
        calls = self._quote_calls()
        self._beside_bare("quotes", wire, lambda: {"broker_quote_calls": self._quote_calls() - calls})

    def orderbook(self) -> None:
        missing = self.args.orders - self._book_size()
        if missing > 0:
            wire = [self.request("placeorder", **self.limit_order())]
            load.run(paced(self.rig.port, wire, ORDERS_PER_S, missing, None))
        size = self._book_size()
        for connections in (1, 10):
            self._plain("orderbook", [self.request("orderbook")], connections, orders=size)

    def beside(self) -> None:
        order = [self.request("placeorder", **self.limit_order())]
        quote = [self.request("quotes", symbol=self.args.symbol, exchange="NSE")]
        each = max(20, self.args.orders // 8)

        async def turn(busy: bool) -> list[float]:
            done = asyncio.Event()
            quotes = paced(self.rig.port, quote, QUOTES_PER_S, None, done)
            noise = asyncio.create_task(quotes) if busy else quotes.close()
            run = await paced(self.rig.port, order, ORDERS_PER_S, each, None)
            done.set()
            if noise is not None:
                found = await noise
                quoted.append(found.per_s)
            return run.took_ms

        quoted: list[float] = []
        alone: list[float] = []
        with_quotes: list[float] = []
        for _ in range(4):
            alone += load.run(turn(False))
            with_quotes += load.run(turn(True))
        a, b = quantiles(alone), quantiles(with_quotes)
        self.report(
            "beside",
            orders=len(alone),
            quotes_per_s=round(statistics.mean(quoted), 1),
            alone=a,
            with_quotes=b,
            p50_more_ms=round(b["p50_ms"] - a["p50_ms"], 2),
            p99_more_ms=round(b["p99_ms"] - a["p99_ms"], 2),
        )

    # -- parts

    def _plain(self, row: str, wire: list[bytes], connections: int, **more: Any) -> None:
        load.run(closed_loop(self.rig.port, wire, connections, 0.5))
        before = cpu_s(self.rig.pid("api"))
        run = load.run(closed_loop(self.rig.port, wire, connections, self.args.seconds * 2))
        cpu_ms = (cpu_s(self.rig.pid("api")) - before) * 1000 / max(1, len(run.took_ms))
        self.report(row, connections=connections, **run.view(), cpu_ms=round(cpu_ms, 3), **more)

    def _beside_bare(self, row: str, wire: bytes, more: Callable[[], dict[str, Any]] = dict) -> None:
        """In turns with the bare route, so that whatever else the machine does hits both."""
        bare_wire = post("/bare", self.bare_port, {"apikey": self.rig.key})
        for port, request in ((self.bare_port, bare_wire), (self.rig.port, wire)):
            load.run(closed_loop(port, [request], 10, 0.5))
        rates, tails, ours, theirs = [], [], [], []
        before, bare_before = cpu_s(self.rig.pid("api")), cpu_s(self.bare_pid)
        bad = 0
        for number in range(self.args.rounds):
            pair: dict[bool, load.Run] = {}
            for is_bare in (number % 2 == 0, number % 2 == 1):
                port, request = (self.bare_port, bare_wire) if is_bare else (self.rig.port, wire)
                pair[is_bare] = load.run(closed_loop(port, [request], 10, self.args.seconds))
            our, bare = pair[False], pair[True]
            bad += len(our.took_ms) - our.good
            ours.append(our)
            theirs.append(bare)
            rates.append(our.per_s / bare.per_s)
            tails.append(quantiles(our.took_ms)["p99_ms"] / quantiles(bare.took_ms)["p99_ms"])
        cpu_ms = (cpu_s(self.rig.pid("api")) - before) * 1000 / sum(len(r.took_ms) for r in ours)
        bare_ms = (cpu_s(self.bare_pid) - bare_before) * 1000 / sum(len(r.took_ms) for r in theirs)

        def median(runs: list[load.Run], name: str) -> float:
            return round(statistics.median(quantiles(r.took_ms)[name] for r in runs), 3)

        self.report(
            row,
            connections=10,
            rounds=len(ours),
            per_s=round(statistics.median(r.per_s for r in ours)),
            bare_per_s=round(statistics.median(r.per_s for r in theirs)),
            ratio=round(statistics.median(rates), 3),
            ratio_worst=round(min(rates), 3),
            p50_ms=median(ours, "p50_ms"),
            p99_ms=median(ours, "p99_ms"),
            bare_p50_ms=median(theirs, "p50_ms"),
            bare_p99_ms=median(theirs, "p99_ms"),
            p99_ratio=round(statistics.median(tails), 3),
            cpu_ms=round(cpu_ms, 3),
            bare_cpu_ms=round(bare_ms, 3),
            failed=bad,
            **more(),
        )

    def _idle_cpu(self) -> float:
        """Cores the api process uses when nobody asks it anything."""
        pid, began = self.rig.pid("api"), time.perf_counter()
        before = cpu_s(pid)
        time.sleep(4)
        return (cpu_s(pid) - before) / (time.perf_counter() - began)

    def _broker_ms(self) -> list[float]:
        return [t["ns"] / 1e6 for t in self.rig.sim("GET", "/_sim/times") if PLACE.fullmatch(t["call"])]

    def _stages(self, since_ns: int) -> list[dict[str, float]]:
        """Milliseconds between the stages of each order (O9), oldest first."""
        with closing(sqlite3.connect(f"file:{self.rig.settings.databases.main}?mode=ro", uri=True)) as db:
            rows = db.execute(
                "SELECT max(received_ns), max(checked_ns), max(journaled_ns), max(sent_ns), "
                "max(acknowledged_ns), max(answered_ns) "
                "FROM order_events e JOIN orders o ON o.id = e.journal_id "
                "WHERE o.origin = 'ours' AND o.created_ns > ? GROUP BY journal_id ORDER BY journal_id",
                (since_ns,),
            ).fetchall()
        names = ("check", "journal", "to_send", "wire", "outcome")
        return [
            {name: (row[i + 1] - row[i]) / 1e6 for i, name in enumerate(names)}
            for row in rows
            if None not in row
        ]

    def _book_size(self) -> int:
        status, body = self.rig.api("orderbook", {})
        return len(body["data"]["orders"]) if status == 200 else 0

    def _quote_calls(self) -> int:
        return int(self.rig.internal("GET", "/internal/status")["market"]["broker_quote_calls"])


ROWS = ("order", "sandbox", "ping", "quotes", "orderbook", "beside")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--broker", default="kotak", choices=("dhan", "kotak"))
    parser.add_argument("--symbol", default="SBIN")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one turn of ping, quotes, bare")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--orders", type=int, default=400)
    parser.add_argument("--broker-ms", type=float, default=20.0, help="what the simulated broker waits")
    parser.add_argument("--no-feed", action="store_true", help="no feed process: no pushed updates, no ticks")
    parser.add_argument("--quiet", type=float, default=0.0, help="wait for a one-minute load below this")
    parser.add_argument("--json", type=Path, help="also write the lines to this file")
    parser.add_argument("--keep-log", type=Path, help="copy the api process's log here at the end")
    parser.add_argument("--serve-bare", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = parse()
    if args.serve_bare:
        serve_bare(args.serve_bare)
        return
    rows = args.rows.split(",")
    if unknown := set(rows) - set(ROWS):
        raise SystemExit(f"unknown rows {sorted(unknown)}; known: {', '.join(ROWS)}")
    rigs.quiet(args.quiet, 600)
    bare_port = rigs.free_port()
    with rigs.Rig(args.broker, {"SYMBOLS": f"NSE:{args.symbol}"}, feed=not args.no_feed) as rig:
        bare = subprocess.Popen([sys.executable, __file__, "--serve-bare", str(bare_port)])
        try:
            bench = Bench(rig, bare_port, bare.pid, args)
            rigs.listening(bare_port)
            prepare(bench)
            print(f"api pid {rig.pid('api')}", file=sys.stderr)
            for row in rows:
                getattr(bench, row)()
        finally:
            bare.kill()
            bare.wait()
            if args.keep_log:
                args.keep_log.write_text(rig.tail("api", 100_000))
    if args.json:
        args.json.write_text("".join(json.dumps(line) + "\n" for line in bench.lines))


def prepare(bench: Bench) -> None:
    """Say what is measured, set the broker's own time, and wait until quotes come from ticks."""
    args, rig = bench.args, bench.rig
    bench.report(
        "setup",
        commit=rigs.commit(),
        machine=load.machine(),
        broker=f"simulated {rig.settings.broker}",
        broker_ms=args.broker_ms,
        raised=rigs.RAISED,
        feed=not args.no_feed,
        python=sys.version.split()[0],
    )
    if args.broker_ms > 0:
        match = {"path": "/orders$|/place$", "method": "POST"}
        rig.sim("POST", "/_sim/faults", {"kind": "delay", "match": match, "delay_s": args.broker_ms / 1000})
    end = time.monotonic() + 20
    while not args.no_feed and time.monotonic() < end:
        before = bench._quote_calls()
        rig.api("quotes", {"symbol": args.symbol, "exchange": "NSE"})
        if bench._quote_calls() == before:
            break
        time.sleep(0.5)


if __name__ == "__main__":
    main()
