"""Sandbox: in analyze mode nothing touches the broker, and no acknowledged paper order is ever lost.

Real processes: a simulated broker, an api and a feed. Promises:

* ``quiet``: 500 operations of every kind and 100 mode flips under load make no call to the broker and open no
  socket to it (its own call counter, and the api process's connections, looked at all the time);
* ``mixed``: orders sent while the mode flips are each in exactly the books of the mode their answer names;
* ``killed``: after kill -9 under load every acknowledged paper order is in the book, and no margin is left
  blocked once all are cancelled;
* ``shapes``: the same calls answer the same keys and types in both modes.

    scripts/campaign sandbox [--operations 500] [--flips 100] [--kills 20] [--seed 1] [--broker dhan]
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.gateway.sandbox.processes import Broken, Rig, Watch, promise, running

SYMBOLS = ("SBIN", "RELIANCE", "INFY", "TCS")
READS = ("orderbook", "tradebook", "positionbook", "holdings", "funds", "pnl/symbols")


class Operations:
    """Every kind of order and book operation, drawn at random."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig = rig
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._prices = {symbol: rig.price(symbol) for symbol in SYMBOLS}
        self._open: list[tuple[str, str]] = []
        self.done: dict[str, int] = {}

    def draw(self) -> Callable[[], object]:
        with self._lock:
            name = self._random.choice(
                ("place",) * 6
                + ("modify", "cancel", "read", "read", "read", "status", "position")
                + ("smart", "basket", "split", "option", "cancel_all", "close", "older")
            )
            symbol = self._random.choice(SYMBOLS)
            kind = self._random.choice(("MARKET", "LIMIT", "SL", "SL-M"))
            action = self._random.choice(("BUY", "SELL"))
            read = self._random.choice(READS)
            self.done[name] = self.done.get(name, 0) + 1
        position = {"symbol": symbol, "exchange": "NSE", "product": "MIS"}
        split = {**self._rig.order(symbol=symbol, quantity=5), "splitsize": 2}
        calls: dict[str, Callable[[], object]] = {
            "place": lambda: self._place(symbol, kind, action),
            "modify": lambda: self._modify(),
            "cancel": lambda: self._cancel(),
            "read": lambda: self._told(read),
            "status": lambda: self._status(),
            "position": lambda: self._told("openposition", strategy="c", **position),
            "smart": lambda: self._smart(symbol),
            "basket": lambda: self._basket(symbol),
            "split": lambda: self._told("splitorder", **split),
            "option": lambda: self._option(),
            "cancel_all": lambda: self._perhaps_ended("cancelallorder", {"strategy": "c"}),
            "close": lambda: self._told("closeposition", strategy="c"),
            "older": lambda: self._told("orders/place", **older(self._rig.order(symbol=symbol))),
        }
        return calls[name]

    def _told(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self._rig.ok(path, **body)
        promise(answer.get("mode") == "analyze", f"{path} does not say analyze: {answer}")
        return answer

    def _place(self, symbol: str, kind: str, action: str) -> None:
        terms = prices_of(kind, action, self._prices[symbol])
        order = self._rig.order(symbol=symbol, pricetype=kind, action=action, **terms)
        answer = self._told("placeorder", **order)
        if kind != "MARKET":
            with self._lock:
                self._open.append((answer["orderid"], symbol))

    def _some(self) -> tuple[str, str] | None:
        with self._lock:
            return self._open.pop(self._random.randrange(len(self._open))) if self._open else None

    def _modify(self) -> None:
        if (some := self._some()) is None:
            return
        price = round(self._prices[some[1]] * 0.9)
        order = self._rig.order(symbol=some[1], pricetype="LIMIT", price=price, quantity=2)
        order |= {"orderid": some[0], "disclosed_quantity": 0, "trigger_price": 0}
        self._perhaps_ended("modifyorder", order)

    def _cancel(self) -> None:
        if (some := self._some()) is not None:
            self._perhaps_ended("cancelorder", {"orderid": some[0], "strategy": "c"})

    def _perhaps_ended(self, path: str, body: dict[str, Any]) -> None:
        status, answer = self._rig.post(path, **body)
        promise(answer.get("mode") == "analyze", f"{path}: {status} {answer}")
        # somebody else's cancelallorder was faster, or it traded; or an order was still being placed
        fine = status == 200 or answer.get("code") in ("ORDER_NOT_OPEN", "OUTCOME_UNKNOWN")
        promise(fine, f"{path}: {status} {answer}")

    def _status(self) -> None:
        rows = self._told("orderbook")["data"]["orders"]
        if rows:
            self._told("orderstatus", strategy="c", orderid=rows[-1]["orderid"])

    def _smart(self, symbol: str) -> None:
        with self._lock:
            target = self._random.choice((-3, 0, 2, 5))
        self._told("placesmartorder", **self._rig.order(symbol=symbol), position_size=target)

    def _basket(self, symbol: str) -> None:
        names = ("symbol", "exchange", "action", "quantity", "pricetype", "product")
        item = {k: v for k, v in self._rig.order(symbol=symbol).items() if k in names}
        answer = self._told("basketorder", strategy="c", orders=[item, {**item, "action": "SELL"}])
        promise(all(r["status"] == "success" for r in answer["results"]), f"basket: {answer}")

    def _option(self) -> None:
        expiry = self.expiry()
        order = {"strategy": "c", "underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": expiry}
        order |= {
            "offset": "ATM",
            "option_type": "CE",
            "action": "BUY",
            "quantity": self._lot,
            "product": "MIS",
        }
        self._told("optionsorder", **order)

    def expiry(self) -> str:
        answer = self._rig.ok("expiry", symbol="NIFTY", exchange="NFO", instrumenttype="options")
        rows = self._rig.ok("search", query="NIFTY FUT", exchange="NFO")["data"]
        self._lot = next(row["lotsize"] for row in rows if row["name"] == "NIFTY")
        return str(answer["data"][0]).replace("-", "")


def older(order: dict[str, Any]) -> dict[str, Any]:
    return {("price_type" if k == "pricetype" else k): v for k, v in order.items()}


def prices_of(kind: str, action: str, price: float) -> dict[str, Any]:
    """Terms far enough from the market to rest, on whole rupees."""
    below, above = round(price * 0.93), round(price * 1.07)
    if kind == "LIMIT":
        return {"price": below if action == "BUY" else above}
    if kind == "SL-M":
        return {"trigger_price": above if action == "BUY" else below}
    if kind == "SL":
        trigger = above if action == "BUY" else below
        return {"trigger_price": trigger, "price": trigger + (1 if action == "BUY" else -1)}
    return {}


def quiet(rig: Rig, *, operations: int, flips: int, seed: int) -> str:
    """No call to the broker, no socket. Flips happen between batches, so that no operation means the live
    account; readers that mean no account run all the time.
    """
    rig.analyze(True)
    warm(rig)
    work = Operations(rig, seed)
    work.expiry()
    batches = max(1, flips // 2)
    watch = Watch(rig)
    load = Load(rig, ("ping", "analyzer"))
    try:
        with ThreadPoolExecutor(5) as pool:
            for number in range(batches):
                count = operations * (number + 1) // batches - operations * number // batches
                for future in [pool.submit(work.draw()) for _ in range(count)]:
                    future.result()
                rig.analyze(False)
                rig.analyze(True)
    finally:
        load.end()
        watch.stop()
    watch.end()
    kinds = " ".join(f"{name}={count}" for name, count in sorted(work.done.items()))
    return (
        f"quiet: {operations} operations ({kinds}), {2 * batches} flips, {load.count} readings beside them, "
        f"{watch.looks} looks at sockets: no call but the live account's own polls, no new socket"
    )


class Load:
    """Requests that mean no account, all the time, on two threads."""

    def __init__(self, rig: Rig, paths: tuple[str, ...]) -> None:
        self._rig, self._paths = rig, paths
        self._stop = threading.Event()
        self.count = 0
        self._pool = ThreadPoolExecutor(2)
        self._futures = [self._pool.submit(self._run) for _ in range(2)]

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            for path in self._paths:
                self._rig.ok(path)
                self.count += 1

    def end(self) -> None:
        self._stop.set()
        for future in self._futures:
            future.result()
        self._pool.shutdown()


def warm(rig: Rig) -> None:
    """Wait until the feed streams what will be traded."""
    for symbol in SYMBOLS:
        rig.until(
            lambda symbol=symbol: rig.post("placeorder", **rig.order(symbol=symbol))[0] == 200,
            f"a first price of {symbol}",
        )
    rig.ok("closeposition", strategy="c")


# --- mixed


def mixed(rig: Rig, *, orders: int, flips: int, seed: int) -> str:
    """Orders on five connections while the mode flips: each is where its answer says, and only there."""
    rig.analyze(True)
    warm(rig)
    before_live = {row["id"] for row in rig.control("orders")}
    before_paper = {row["orderid"] for row in rig.ok("orderbook")["data"]["orders"]}
    stop = threading.Event()
    rng = random.Random(seed)

    def flip() -> int:
        for number in range(flips):
            rig.analyze(bool(number % 2))
            stop.wait(rng.random() * 0.02)
        rig.analyze(True)
        return flips

    def place(number: int) -> tuple[str, str]:
        status, answer = rig.post(
            "placeorder", **rig.order(symbol=SYMBOLS[number % 4], quantity=1 + number % 3)
        )
        code = answer.get("code", "")
        promise(status == 200 or code == "RATE_LIMITED", f"{status} {answer}")
        return answer.get("orderid", ""), answer.get("mode", "live")

    with ThreadPoolExecutor(6) as pool:
        flipping = pool.submit(flip)
        answers = list(pool.map(place, range(orders)))
        flipping.result()
    live = {order_id for order_id, mode in answers if mode == "live" and order_id}
    paper = {order_id for order_id, mode in answers if mode == "analyze" and order_id}
    at_broker = {row["id"] for row in rig.control("orders")} - before_live
    on_paper = {row["orderid"] for row in rig.ok("orderbook")["data"]["orders"]} - before_paper
    promise(at_broker == live, f"broker and answers differ: {at_broker ^ live}")
    promise(on_paper == paper, f"sandbox and answers differ: {on_paper ^ paper}")
    promise(paper, "some orders went to the sandbox")
    both = f"{len(live)} live, {len(paper)} on paper"
    return f"mixed: {orders} orders during {flips} flips: {both}, each in one place"


# --- killed


def killed(rig: Rig, *, kills: int, seed: int) -> str:
    """Kill -9 of the api under load; what was acknowledged is in the book of the next one."""
    rig.analyze(True)
    warm(rig)
    rng = random.Random(seed)
    price = round(rig.price("SBIN") * 0.93)
    acknowledged: dict[str, int] = {}
    for _ in range(kills):
        dead = threading.Event()
        taken: list[tuple[str, int]] = []

        def load(worker: int, dead: threading.Event = dead, taken: list[tuple[str, int]] = taken) -> None:
            mine = random.Random(f"{seed} {worker}")
            while not dead.is_set():
                quantity = mine.randint(1, 9)
                limit = {"pricetype": "LIMIT", "price": price} if mine.random() < 0.5 else {}
                with contextlib.suppress(OSError, http.client.HTTPException):
                    status, answer = rig.post("placeorder", **rig.order(quantity=quantity, **limit))
                    if status == 200:
                        taken.append((answer["orderid"], quantity))

        with ThreadPoolExecutor(6) as pool:
            futures = [pool.submit(load, worker) for worker in range(6)]
            time.sleep(0.1 + rng.random() * 0.4)
            rig.kill("api")
            dead.set()
            for future in futures:
                future.result()
        acknowledged.update(taken)
        rig.start_api()
        rows = {r["orderid"]: r for r in rig.ok("orderbook")["data"]["orders"]}
        lost = {i for i, q in acknowledged.items() if i not in rows or rows[i]["quantity"] != q}
        promise(not lost, f"acknowledged and lost: {sorted(lost)[:5]} of {len(acknowledged)}")
        promise(rig.ok("analyzer")["data"]["analyze_mode"], "the mode survived")
    rows = rig.ok("orderbook")["data"]["orders"]
    traded = sum(r["filled_quantity"] * (1 if r["action"] == "BUY" else -1) for r in rows)
    held = sum(p["quantity"] for p in rig.ok("positionbook")["data"])
    promise(traded == held, f"fills {traded} and position {held} differ")
    warm(rig)
    rig.ok("cancelallorder", strategy="c")
    rig.ok("closeposition", strategy="c")
    promise(rig.ok("funds")["data"]["utiliseddebits"] == "0.00", "margin is left blocked")
    return f"killed: {kills} kills, {len(acknowledged)} acknowledged orders, none lost"


# --- shapes


def shapes(rig: Rig) -> str:
    """The same calls in both modes: what live answers has, analyze answers have, with the same types."""
    found: dict[str, dict[str, Any]] = {}
    for mode in ("live", "analyze"):
        rig.analyze(mode == "analyze")
        warm(rig)
        found[mode] = {name: shape(body) for name, body in calls(rig, mode)}
    for name, live in found["live"].items():
        paper = found["analyze"][name]
        # a new paper account has no holdings: there is no row to compare
        empty = tuple(
            f"{k}[]" for k, t in paper.items() if t == "list" and not any(k + "[]" in x for x in paper)
        )
        wanted = {k: t for k, t in live.items() if not k.startswith(empty)} if empty else live
        missing = [f"{k}: {t} and {paper.get(k)}" for k, t in wanted.items() if not fits(t, paper.get(k))]
        promise(not missing, f"{name}: {missing}")
        promise("mode" in paper, f"{name} does not tell the mode")
    return f"shapes: {len(found['live'])} calls answer the same keys and types in both modes"


OPTIONAL = ("message", "sent", "ltp", "pnl")
"""Keys a live answer has only sometimes: price protection told, a price known."""


def fits(live: str, paper: str | None) -> bool:
    return paper is not None and (live == paper or {live, paper} <= {"int", "float"})


def calls(rig: Rig, mode: str) -> Iterator[tuple[str, dict[str, Any]]]:
    price = rig.price("SBIN")
    limit = rig.order(pricetype="LIMIT", price=round(price * 0.93))

    def paced(path: str, **body: Any) -> dict[str, Any]:
        for _ in range(20):
            status, answer = rig.post(path, **body)
            if status != 429:
                promise(status == 200, f"{mode} {path}: {status} {answer}")
                return answer
            time.sleep(0.3)
        raise Broken(f"{path} stays limited")

    placed = paced("placeorder", **limit)
    yield "placeorder", placed
    change = {"orderid": placed["orderid"], "disclosed_quantity": 0, "trigger_price": 0}
    yield "modifyorder", paced("modifyorder", **{**limit, **change, "price": round(price * 0.94)})
    yield "orderstatus", paced("orderstatus", strategy="c", orderid=placed["orderid"])
    yield "cancelorder", paced("cancelorder", strategy="c", orderid=placed["orderid"])
    yield "placeorder MARKET", without(paced("placeorder", **rig.order(quantity=2)))
    yield "placesmartorder", without(paced("placesmartorder", **rig.order(), position_size=3))
    names = ("symbol", "exchange", "action", "quantity", "pricetype", "product", "price")
    item = {k: v for k, v in limit.items() if k in names}
    yield "basketorder", paced("basketorder", strategy="c", orders=[item])
    yield "splitorder", paced("splitorder", **{**limit, "quantity": 4}, splitsize=2)
    yield "openposition", paced("openposition", strategy="c", symbol="SBIN", exchange="NSE", product="MIS")
    for path in ("orderbook", "tradebook", "positionbook", "holdings", "funds"):
        yield path, without(paced(path))
    yield "orders", paced("orders/place", **older(limit))
    yield "cancelallorder", paced("cancelallorder", strategy="c")
    yield "closeposition", paced("closeposition", strategy="c")
    status, refused = rig.post("placeorder", **rig.order(symbol="NOSUCH"))
    yield "refused", {**refused, "status_code": status}
    status, refused = rig.post("cancelorder", strategy="c", orderid="12345")
    yield "not found", {**refused, "status_code": status}


def without(body: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in body.items() if k not in OPTIONAL}


def shape(value: Any, path: str = "") -> dict[str, str]:
    """Every key with its type; of a list the first row stands for all."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for key, inner in value.items():
            if key not in OPTIONAL or not path:
                found |= shape(inner, f"{path}.{key}" if path else key)
        return found
    if isinstance(value, list):
        return {path: "list", **(shape(value[0], f"{path}[]") if value else {})}
    return {path: type(value).__name__}


# --- speed, told only


def speed(rig: Rig, *, orders: int) -> str:
    rig.analyze(True)
    warm(rig)
    said = []
    for connections in (1, 10):
        times: list[float] = []

        def one(_: int, times: list[float] = times) -> None:
            began = time.perf_counter()
            rig.ok("placeorder", **rig.order(action="BUY" if len(times) % 2 else "SELL"))
            times.append((time.perf_counter() - began) * 1000)

        began = time.perf_counter()
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(one, range(orders)))
        rate = orders / (time.perf_counter() - began)
        said.append(f"{connections} connections: p50 {statistics.median(times):.2f} ms, {rate:.0f} orders/s")
    return "speed (load generator on the same cores): " + "; ".join(said)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign sandbox")
    parser.add_argument("--operations", type=int, default=500)
    parser.add_argument("--flips", type=int, default=100)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broker", default="dhan", choices=("dhan", "kotak"))
    given = parser.parse_args(argv)
    print(f"sandbox campaign: seed {given.seed}, {given.broker}, {os.cpu_count()} cores", flush=True)
    with running(given.broker) as rig:
        steps: tuple[Callable[[], str], ...] = (
            lambda: quiet(rig, operations=given.operations, flips=given.flips, seed=given.seed),
            lambda: mixed(rig, orders=given.operations, flips=given.flips, seed=given.seed),
            lambda: shapes(rig),
            lambda: killed(rig, kills=given.kills, seed=given.seed),
            lambda: speed(rig, orders=1000),
        )
        for step in steps:
            try:
                print(step(), flush=True)
            except Broken as exc:
                print(f"BROKEN: {exc}", flush=True)
                return 1
    print("sandbox: every promise held", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
