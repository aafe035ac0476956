#!/usr/bin/env python3
"""Which WSGI server carries the api process? Measure, with idle Socket.IO tabs open.

    python scripts/bench/wsgi.py                       every server that is installed
    python scripts/bench/wsgi.py --servers own,gthread --seconds 5 --tabs 20

Each server runs the same Flask + Flask-SocketIO (threading) app in its own process: one trivial JSON route.
The load is keep-alive HTTP/1.1 over raw asyncio streams (1 and 10 connections), first alone, then with idle
browser tabs (half WebSocket, half long polling). One JSON line per measurement. Candidates that are not
installed (gunicorn, waitress, cheroot) are skipped: install them in a throw-away virtual environment.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
from flask import Flask, request
from flask_socketio import SocketIO
from websockets.asyncio.client import connect

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ("werkzeug", "werkzeug-nodelay", "gthread", "waitress", "cheroot", "own")
NEEDS = {"gthread": "gunicorn", "waitress": "waitress", "cheroot": "cheroot"}
THREADS = 64


def make_app() -> Flask:
    """The same app for every server: a JSON echo and an idle Socket.IO."""
    app = Flask(__name__)
    app.secret_key = "bench"
    SocketIO(app, async_mode="threading", cors_allowed_origins="*")

    @app.post("/api/v1/ping")
    def ping():  # type: ignore[no-untyped-def]
        data = json.loads(request.get_data())
        return {"status": "success", "data": {"message": "pong", "key": len(data["apikey"])}}

    return app


def serve(server: str, port: int) -> None:
    """Run one candidate until killed."""
    app = make_app()
    if server.startswith("werkzeug"):
        from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415

        class Handler(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = server.endswith("nodelay")
            wbufsize = -1 if server.endswith("nodelay") else 0

            def log_request(self, *_: object) -> None: ...

        make_server("127.0.0.1", port, app, threaded=True, request_handler=Handler).serve_forever()
    elif server == "gthread":
        from gunicorn.app.base import BaseApplication  # noqa: PLC0415

        class InProcess(BaseApplication):  # type: ignore[misc]
            def load_config(self) -> None:
                for name, value in {
                    "bind": f"127.0.0.1:{port}",
                    "worker_class": "gthread",
                    "threads": THREADS,
                    "keepalive": 75,
                    "loglevel": "error",
                }.items():
                    self.cfg.set(name, value)

            def load(self) -> Flask:
                return app

        InProcess().run()
    elif server == "waitress":
        from waitress import serve as waitress_serve  # noqa: PLC0415

        waitress_serve(app, host="127.0.0.1", port=port, threads=THREADS, channel_timeout=75)
    elif server == "cheroot":
        from cheroot.wsgi import Server as Cheroot  # noqa: PLC0415

        Cheroot(("127.0.0.1", port), app, numthreads=THREADS, timeout=75).start()
    elif server == "own":
        sys.path.insert(0, str(ROOT))
        from gateway.http.server import Server  # noqa: PLC0415

        Server(app, "127.0.0.1", port).serve_forever()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Status, body, and whether the server closes the connection after this answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    closing = b"connection: close" in head
    at = head.find(b"content-length:")
    if at >= 0:
        size = int(head[at + 15 : head.index(b"\r\n", at)])
        return int(head[9:12]), await reader.readexactly(size), closing
    if b"transfer-encoding: chunked" not in head:
        return int(head[9:12]), await reader.read(-1) if closing else b"", closing
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return int(head[9:12]), body, closing


def http(method: str, path: str, port: int, body: bytes = b"") -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Connection: keep-alive\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def load(port: int, connections: int, seconds: float) -> dict[str, object]:
    """Closed loop on each connection; latency in ms. A closed connection is opened again and counted."""
    wire = http("POST", "/api/v1/ping", port, json.dumps({"apikey": "x" * 64}).encode())
    took: list[float] = []
    failed = reopened = 0
    stop_at = time.perf_counter() + seconds

    async def one() -> None:
        nonlocal failed, reopened
        reader = writer = None
        while time.perf_counter() < stop_at:
            began = time.perf_counter()
            try:
                if writer is None or reader is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    reopened += 1
                writer.write(wire)
                status, _, closing = await asyncio.wait_for(read_answer(reader), 5)
                failed += status != 200
                if closing:
                    writer.close()
                    writer = None
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                failed += 1
                if writer is not None:
                    writer.close()
                writer = None
            took.append((time.perf_counter() - began) * 1000)
        if writer is not None:
            writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    took.sort()
    return {
        "rps": round(len(took) / seconds),
        "p50_ms": round(took[len(took) // 2], 3),
        "p99_ms": round(took[int(len(took) * 0.99)], 3),
        "max_ms": round(took[-1], 1),
        "failed": failed,
        "connects": reopened,
    }


class Tabs:
    """Idle browser tabs: they connect, answer pings and wait."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.alive: dict[str, int] = {"websocket": 0, "polling": 0}
        self.refused = 0

    async def websocket(self) -> None:
        url = f"ws://127.0.0.1:{self.port}/socket.io/?EIO=4&transport=websocket"
        try:
            async with connect(url, proxy=None, open_timeout=5) as ws:
                await ws.recv()
                await ws.send("40")
                await ws.recv()
                self.alive["websocket"] += 1
                async for frame in ws:
                    if frame == "2":
                        await ws.send("3")
        except Exception as exc:  # noqa: BLE001 (a candidate may offer no WebSocket at all)
            self.refused += 1
            print(f"    websocket tab: {type(exc).__name__}: {str(exc)[:90]}", file=sys.stderr)

    async def polling(self) -> None:
        base = "/socket.io/?EIO=4&transport=polling"
        reader = writer = None

        async def ask(method: str, path: str, body: bytes = b"") -> bytes:
            nonlocal reader, writer
            if reader is None or writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(http(method, path, self.port, body))
            _, answer, closing = await read_answer(reader)
            if closing:
                writer.close()
                reader = writer = None
            return answer

        sid = json.loads((await ask("GET", base))[1:])["sid"]
        await ask("POST", f"{base}&sid={sid}", b"40")
        self.alive["polling"] += 1
        while True:
            if b"2" in (await ask("GET", f"{base}&sid={sid}")).split(b"\x1e"):
                await ask("POST", f"{base}&sid={sid}", b"3")


async def measure(server: str, port: int, pid: int, args: argparse.Namespace) -> None:
    async def report(connections: int, tabs: Tabs | None) -> None:
        await load(port, connections, 0.5)
        best = max([await load(port, connections, args.seconds) for _ in range(args.repeat)], key=_rps)
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        line = {
            "server": server,
            "connections": connections,
            "tabs": tabs.alive if tabs else None,
            **best,
            "rss_mb": round(sum(p.memory_info().rss for p in family) / 1e6, 1),
            "threads": sum(p.num_threads() for p in family),
        }
        print(json.dumps(line), flush=True)

    for connections in (1, 10):
        await report(connections, None)
    tabs = Tabs(port)
    waiting = [asyncio.create_task(tabs.websocket()) for _ in range(args.tabs // 2)]
    waiting += [asyncio.create_task(tabs.polling()) for _ in range(args.tabs - args.tabs // 2)]
    await asyncio.sleep(2)
    for connections in (1, 10):
        await report(connections, tabs)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


def _rps(result: dict[str, object]) -> int:
    return int(str(result["rps"]))


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"nothing listens on {port}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--repeat", type=int, default=2, help="keep the best of this many")
    parser.add_argument("--tabs", type=int, default=20)
    parser.add_argument("--serve", nargs=2, metavar=("SERVER", "PORT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve[0], int(args.serve[1]))
        return
    for server in args.servers.split(","):
        if server in NEEDS and importlib.util.find_spec(NEEDS[server]) is None:
            print(json.dumps({"server": server, "skipped": f"{NEEDS[server]} is not installed"}))
            continue
        port = free_port()
        child = subprocess.Popen(
            [sys.executable, __file__, "--serve", server, str(port)], start_new_session=True
        )
        try:
            wait_for(port)
            asyncio.run(measure(server, port, child.pid, args))
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


if __name__ == "__main__":
    main()
