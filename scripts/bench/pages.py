#!/usr/bin/env python3
"""How busy a browser's main thread is with a market watch of many rows that all move.

The page, its api process and Chromium are real. The feed's place on its port is taken by a process that
speaks the feed's protocol and sends exactly ``rows × rate`` messages a second, whatever the simulator could
make. Busy is the CPU time of the main thread's tasks over the time that passed (Chromium's ``TaskDuration``
in thread ticks: on a shared machine the time by the clock also holds the waiting for a core).

    python scripts/bench/pages.py [--rows 300] [--rate 10] [--seconds 60] [--width 1440]

The promise (issue 7): 300 rows at 10 updates a second for 60 s, busy at most 30 %.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from playwright.sync_api import sync_playwright
from rig import Rig
from websockets.asyncio.server import ServerConnection, serve

from tests.e2e.browser import OWNER, SWITCHES
from tests.environment import chromium

PROMISE = 0.30
STEPS_A_S = 50
"""Messages leave in so many small bursts a second, as a feed's do."""


async def play(port: int, rows: int, rate: float) -> None:
    """The feed's side of one page after another."""

    async def visitor(socket: ServerConnection) -> None:
        sender: asyncio.Task[None] | None = None
        async for text in socket:
            asked = json.loads(text)
            if asked["action"] == "authenticate":
                await socket.send(json.dumps({"type": "auth", "status": "success"}))
            elif asked["action"] == "subscribe" and sender is None:
                sender = asyncio.create_task(send(socket, rows, rate))
        if sender is not None:
            sender.cancel()

    async with serve(visitor, "127.0.0.1", port, compression=None, ping_interval=None):
        await asyncio.Future()


async def send(socket: ServerConnection, rows: int, rate: float) -> None:
    prices = [1000.0 + number for number in range(rows)]
    moves = random.Random(7)
    began, sent, number = time.perf_counter(), 0, 0
    while True:
        due = int((time.perf_counter() - began) * rows * rate)
        for _ in range(due - sent):
            prices[number] = round(prices[number] + moves.choice((-0.05, 0.05)), 2)
            await socket.send(json.dumps(message(number, prices[number])))
            number = (number + 1) % rows
        sent = due
        await asyncio.sleep(1 / STEPS_A_S)


def message(number: int, price: float) -> dict[str, object]:
    """One quote, as the feed sends it."""
    close = 1000.0 + number
    data = {
        "ltp": price,
        "change": round(price - close, 2),
        "change_percent": round(100 * (price - close) / close, 4),
        "bid": price - 0.05,
        "ask": price + 0.05,
        "volume": 1_000_000 + int(price * 100) % 1000,
        "oi": 0,
        "open": close,
        "high": close + 10,
        "low": close - 10,
        "close": close,
        "timestamp": time.time_ns() // 1_000_000,
    }
    one = {"type": "market_data", "exchange": "NSE", "symbol": f"ROW{number:03d}", "mode": 2}
    return {**one, "topic": f"ROW{number:03d}.NSE", "data": data}


def feed(port: int, rows: int, rate: float) -> None:
    asyncio.run(play(port, rows, rate))


def measure(rig: Rig, args: argparse.Namespace) -> dict[str, float]:
    """Busy share of the main thread, and what of it were scripts and layout."""
    url = f"http://127.0.0.1:{rig.port}"
    code = rig.internal("GET", "/internal/status")["owner_code"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(SWITCHES))
        page = browser.new_page(viewport={"width": args.width, "height": 900})
        page.goto(f"{url}/")
        page.fill("[name=code]", code)
        page.fill("[name=username]", OWNER[0])
        page.fill("[name=password]", OWNER[1])
        page.fill("[name=repeat]", OWNER[1])
        page.click("main button[type=submit]")
        page.wait_for_url("**/start")
        symbols = [{"exchange": "NSE", "symbol": f"ROW{number:03d}"} for number in range(args.rows)]
        kept = page.evaluate(
            """async lists => (await fetch("/web/api/lists", {method: "PUT", body: JSON.stringify({lists}),
            headers: {"X-CSRF-Token": document.querySelector("meta[name=csrf-token]").content}})).status""",
            [{"name": "Many", "symbols": symbols}],
        )
        assert kept == 200, kept
        page.goto(f"{url}/watch")
        first = page.locator("#watch td.main").first
        while first.inner_text() == "–":
            page.wait_for_timeout(50)
        assert page.locator("#watch tbody").get_attribute("data-count") == str(args.rows)
        page.wait_for_timeout(2000)  # the page has settled
        devtools = page.context.new_cdp_session(page)
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        before, began = figures(devtools), time.perf_counter()
        shown = first.inner_text()
        page.wait_for_timeout(args.seconds * 1000)
        after, passed = figures(devtools), time.perf_counter() - began
        assert first.inner_text() != shown, "nothing moved"
        browser.close()
    parts = {"busy": "TaskDuration", "script": "ScriptDuration", "style": "RecalcStyleDuration"}
    parts["layout"] = "LayoutDuration"
    return {name: (after[metric] - before[metric]) / passed for name, metric in parts.items()}


def figures(devtools: object) -> dict[str, float]:
    found = devtools.send("Performance.getMetrics")  # type: ignore[attr-defined]
    return {one["name"]: one["value"] for one in found["metrics"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--rate", type=float, default=10.0, help="updates of each row a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--width", type=int, default=1440)
    args = parser.parse_args()
    with Rig("dhan", {"LOGIN_RATE_LIMIT_MIN": "60 per minute"}, feed=False) as rig:
        words = (rig.ports["WEBSOCKET_PORT"], args.rows, args.rate)
        child = multiprocessing.Process(target=feed, args=words, daemon=True)
        child.start()
        try:
            found = measure(rig, args)
        finally:
            child.terminate()
    load = os.getloadavg()[0]
    shares = ", ".join(f"{name} {share:.1%}" for name, share in found.items())
    print(f"{args.rows} rows, {args.rate:g} updates/s each, {args.seconds:g} s, load {load:.1f}: {shares}")
    kept = found["busy"] <= PROMISE
    print(f"main thread busy {found['busy']:.1%} of at most {PROMISE:.0%}: {'kept' if kept else 'BROKEN'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
