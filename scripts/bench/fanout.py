#!/usr/bin/env python3
"""How many WebSocket messages a second the feed side delivers: synthetic ticks -> hub -> N raw clients.

The product's own hub, encoder and server run in one process, the clients in another. The reference in the
same run is the plain way: ``json.dumps`` and ``websockets.broadcast`` once per tick. Ticks are made as fast
as every client takes them (none ever falls behind), so what is printed is loss-free.

    python scripts/bench/fanout.py --clients 10 --symbols 100 --mode LTP --seconds 5
    python scripts/bench/fanout.py --rate 2000 …       fixed ticks/s: latency is then worth reading
    python scripts/bench/fanout.py --serve 8765 --zmq tcp://127.0.0.1:5999
                                                       ticks from a PUB there, any key is good
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import multiprocessing
import os
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvloop
import zmq
import zmq.asyncio
from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from brokers.clock import SystemClock
from brokers.model import Depth, Instrument, InstrumentKey, Level, Mode, Tick
from gateway.scopes import Grant
from gateway.settings import StreamRules
from gateway.stream.client import Facts
from gateway.stream.door import Gate, listening_socket
from gateway.stream.fanout import Fanout
from gateway.stream.hub import Hub, Want
from gateway.stream.server import StreamServer

MARK = b'"market_data"'
LTT = b'"ltt":'
BOOK = Depth(
    tuple(Level(800.0 - i / 20, 100 + i, 3) for i in range(5)),
    tuple(Level(800.05 + i / 20, 100 + i, 3) for i in range(5)),
)


class Table:
    """Every symbol exists."""

    def __init__(self) -> None:
        self._known: dict[InstrumentKey, Instrument] = {}

    def by_key(self, key: InstrumentKey) -> Instrument:
        if key not in self._known:
            self._known[key] = Instrument(
                key, key.symbol, "NSE_EQ", key.symbol, key.symbol, "EQ", 1, Decimal("0.01")
            )
        return self._known[key]

    def find(self, text: str, exchange: str | None = None) -> None:
        return None

    def nearest(self, symbol: str, exchange: str, n: int = 3) -> list[str]:
        return []

    def count(self) -> int:
        return 1


def ignore(want: Want) -> None:
    """No broker to tell."""


class AnyKey:
    def verify(self, text: str) -> Grant:
        return Grant(1)

    def live(self) -> None:
        return None


def ticks(symbols: int, mode: Mode) -> Iterator[Tick]:
    """Round robin; ``last_trade_ms`` carries the monotonic microsecond of its making."""
    keys = [InstrumentKey("NSE", f"SYM{i:03d}") for i in range(symbols)]
    n = 0
    while True:
        yield Tick(
            key=keys[n % symbols],
            mode=mode,
            received_ns=time.time_ns(),
            ltp=10000 + n % 1000 / 100,
            last_trade_ms=time.monotonic_ns() // 1000,
            last_quantity=25,
            average_price=10005.5,
            volume=1234567,
            total_buy_quantity=400000,
            total_sell_quantity=410000,
            open=10010.0,
            high=10100.0,
            low=9900.0,
            prev_close=10001.0,
            oi=0,
            depth=(lambda: BOOK) if mode is Mode.DEPTH else None,
        )
        n += 1


async def pump(
    one: Callable[[], None], rate: float, until_s: float, is_behind: Callable[[], bool], batch: int
) -> int:
    """Make ticks until the time is over, in bursts as a broker's packets come; returns how many."""
    made, began = 0, time.monotonic()
    while (now := time.monotonic()) < until_s:
        due = int(rate * (now - began)) - made if rate else batch
        for _ in range(due):
            one()
        made += due
        await asyncio.sleep(0 if not rate else 0.0005)
        while is_behind():
            await asyncio.sleep(0.0002)
    return made


async def product(args: argparse.Namespace, ready: Any, go: Any, done: Any) -> None:
    table = Table()
    fanout = Fanout(Hub(100_000, "bench"), want=ignore, table=lambda: table, monotonic=time.monotonic)
    limits = StreamRules(15.0, 1024, 60.0, 60.0, 100_000)
    sock = listening_socket("127.0.0.1", args.serve or 0)
    gate = Gate(("127.0.0.1",), (sock.getsockname()[1],))
    facts = Facts("bench", "bench", lambda: "connected")
    server = StreamServer(fanout, AnyKey(), gate, facts, SystemClock(), limits)
    await server.start(sock)
    if args.serve:
        await from_zmq(args.zmq, fanout)
    ready.put(sock.getsockname()[1])
    await asyncio.to_thread(go.wait)
    source = ticks(args.symbols, Mode[args.mode])
    cpu, began = time.process_time(), time.monotonic()

    def is_behind() -> bool:
        return any(c.outbox.behind for c in server.clients)

    made = await pump(
        lambda: fanout.publish(next(source)), args.rate, began + args.seconds, is_behind, args.batch
    )
    took = time.monotonic() - began
    done.put(
        {
            "ticks": made,
            "ticks_per_s": round(made / took),
            "server_cpu": round((time.process_time() - cpu) / took, 2),
            "replaced": sum(c.outbox.replaced for c in server.clients),
        }
    )
    await asyncio.sleep(1.5)
    await server.stop()


async def reference(args: argparse.Namespace, ready: Any, go: Any, done: Any) -> None:
    """The plain way, LTP frames whatever the mode."""
    clients: set[Any] = set()

    async def handler(ws: Any) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in ws:
                kind = "auth" if "authenticate" in str(message) else "subscribe"
                await ws.send(json.dumps({"type": kind, "status": "success"}))
                clients.add(ws)

    async with serve(handler, "127.0.0.1", 0, compression=None, write_limit=(1 << 20, 1 << 18)) as server:
        ready.put(next(iter(server.sockets)).getsockname()[1])
        await asyncio.to_thread(go.wait)
        source = ticks(args.symbols, Mode[args.mode])
        cpu, began, seq = time.process_time(), time.monotonic(), 0

        def one() -> None:
            nonlocal seq
            seq += 1
            tick = next(source)
            data = {
                "symbol": tick.key.symbol,
                "exchange": "NSE",
                "mode": "ltp",
                "ltp": round(tick.ltp, 2),
                "ltt": tick.last_trade_ms,
                "timestamp": tick.received_ns // 1_000_000,
                "seq": seq,
            }
            frame = {
                "type": "market_data",
                "symbol": tick.key.symbol,
                "exchange": "NSE",
                "mode": 1,
                "data": data,
            }
            broadcast(clients, json.dumps({**frame, "broker": "bench"}))

        def is_behind() -> bool:
            return any(ws.paused for ws in clients)

        made = await pump(one, args.rate, began + args.seconds, is_behind, args.batch)
        took = time.monotonic() - began
        done.put(
            {
                "ticks": made,
                "ticks_per_s": round(made / took),
                "server_cpu": round((time.process_time() - cpu) / took, 2),
            }
        )
        await asyncio.sleep(1.5)


async def from_zmq(address: str, fanout: Fanout) -> None:
    """Ticks from a publisher elsewhere, in OpenAlgo's JSON."""
    sub = zmq.asyncio.Context().socket(zmq.SUB)
    sub.setsockopt(zmq.SUBSCRIBE, b"")
    sub.setsockopt(zmq.RCVHWM, 0)
    sub.connect(address)
    print("serving", file=sys.stderr, flush=True)
    while True:
        _, payload = await sub.recv_multipart()
        data = json.loads(payload)
        key = InstrumentKey(data["exchange"], data["symbol"])
        fanout.publish(Tick(key, Mode[data["mode"].upper()], time.time_ns(), data["ltp"], data["timestamp"]))


def run_server(kind: str, args: argparse.Namespace, ready: Any, go: Any, done: Any) -> None:
    work = product if kind == "product" else reference
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(args, ready, go, done))


# clients -----------------------------------------------------------------------------------------------


def send(sock: socket.socket, message: dict[str, Any]) -> None:
    data, mask = json.dumps(message).encode(), os.urandom(4)
    masked = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    sock.sendall(b"\x81" + size + mask + masked)


def wait_for(sock: socket.socket, kind: str) -> None:
    seen = b""
    while f'"{kind}"'.encode() not in seen:
        chunk = sock.recv(65536)
        if not chunk:
            raise ConnectionError(seen[-300:])
        seen += chunk


def open_client(port: int, args: argparse.Namespace) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(4096)
    assert b" 101 " in head, head
    send(sock, {"action": "authenticate", "api_key": "x" * 64})
    wait_for(sock, "auth")
    names = [{"symbol": f"SYM{i:03d}", "exchange": "NSE"} for i in range(args.symbols)]
    send(sock, {"action": "subscribe", "mode": args.mode, "symbols": names})
    wait_for(sock, "subscribe")
    sock.setblocking(False)
    return sock


def count(clients: list[socket.socket], done: Any) -> tuple[int, list[int], dict[str, Any]]:
    """Messages over all clients, sampled latencies in microseconds, and what the server said at the end."""
    selector = selectors.DefaultSelector()
    tails = {}
    for sock in clients:
        selector.register(sock, selectors.EVENT_READ)
        tails[sock.fileno()] = b""
    total, latencies, facts, quiet_at = 0, [], None, 0.0
    while True:
        for key, _ in selector.select(0.05):
            data = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
            now = time.monotonic_ns() // 1000
            if not data:
                selector.unregister(key.fileobj)
                continue
            # a mark cut in two by the chunk is found with the tail of the one before
            data = tails[key.fd] + data
            total += data.count(MARK)
            tails[key.fd] = data[-(len(MARK) - 1) :]
            at = data.rfind(LTT)
            if at >= 0 and (end := data.find(b",", at)) > 0:
                latencies.append(now - int(data[at + len(LTT) : end]))
            quiet_at = time.monotonic() + 0.5
        if facts is None and not done.empty():
            facts = done.get()
        if facts is not None and time.monotonic() > quiet_at:
            return total, latencies, facts


def measure(kind: str, args: argparse.Namespace) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    ready, done, go = context.Queue(), context.Queue(), context.Event()
    process = context.Process(target=run_server, args=(kind, args, ready, go, done))
    process.start()
    clients = [open_client(ready.get(timeout=30), args)]
    port = clients[0].getpeername()[1]
    clients += [open_client(port, args) for _ in range(args.clients - 1)]
    began = time.monotonic()
    go.set()
    total, latencies, facts = count(clients, done)
    for sock in clients:
        sock.close()
    process.join(10)
    latencies.sort()
    expected = facts["ticks"] * args.clients
    return {
        "what": kind,
        "mode": args.mode,
        "clients": args.clients,
        "symbols": args.symbols,
        "delivered": total,
        "delivered_per_s": round(total / min(args.seconds, time.monotonic() - began)),
        "lost": expected - total,
        **facts,
        "latency_ms_p50": round(latencies[len(latencies) // 2] / 1000, 2) if latencies else None,
        "latency_ms_p99": round(latencies[int(len(latencies) * 0.99)] / 1000, 2) if latencies else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--mode", choices=[m.name for m in Mode], default="LTP")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument(
        "--rate", type=float, default=0.0, help="ticks/s; 0: as fast as all clients take them"
    )
    parser.add_argument(
        "--batch", type=int, default=100, help="ticks made per turn of the loop with --rate 0"
    )
    parser.add_argument("--serve", type=int, default=0, metavar="PORT", help="only serve, ticks from --zmq")
    parser.add_argument("--zmq", default="tcp://127.0.0.1:5999")
    args = parser.parse_args()
    if args.serve:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(product(args, None, None, None))
    results = [measure(kind, args) for kind in ("product", "reference")]
    for result in results:
        print(json.dumps(result))
    ratio = results[0]["delivered_per_s"] / max(1, results[1]["delivered_per_s"])
    print(f"{results[0]['delivered_per_s']:,} messages/s; {ratio:.1f} times the reference in the same run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
