"""What the benchmarks share: a light HTTP client, CPU seconds of processes, percentiles."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, TypeVar

import psutil

try:
    import uvloop
except ImportError:  # Windows has none
    uvloop = None  # type: ignore[assignment]

T = TypeVar("T")
SUCCESS = b'"status":"success"'


class Wire(asyncio.Protocol):
    """One keep-alive connection, one request at a time; answers must carry ``Content-Length``.

    Costs the client about 30 µs a request, so that it does not become the bottleneck on two cores.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: Any = None

    @classmethod
    async def open(cls, port: int) -> Wire:
        _, wire = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body. Raises ``ConnectionError`` when the server hung up."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._answer is None or self._answer.done():
            return
        head = bytes(self._buffer[:end]).lower()
        at = head.find(b"content-length:") + 15
        stop = head.find(b"\r\n", at)
        size = int(head[at : stop if stop > 0 else len(head)])
        if len(self._buffer) < end + 4 + size:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + size])
        self._buffer.clear()
        self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server hung up"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def post(path: str, port: int, body: dict[str, Any]) -> bytes:
    """A whole request."""
    payload = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


@dataclass(slots=True)
class Run:
    """What one load did. Latencies in milliseconds, in the order of their ends."""

    took_ms: list[float] = field(default_factory=list)
    status: Counter[str] = field(default_factory=Counter)
    good: int = 0
    seconds: float = 0.0
    sample: str = ""
    bytes: int = 0

    def note(self, began: float, status: int, body: bytes) -> None:
        self.took_ms.append((time.perf_counter() - began) * 1000)
        self.status[str(status)] += 1
        self.bytes += len(body)
        if status == 200 and SUCCESS in body:
            self.good += 1
        elif not self.sample:
            self.sample = body[:200].decode("utf-8", "replace")

    @property
    def per_s(self) -> float:
        return len(self.took_ms) / self.seconds if self.seconds else 0.0

    def view(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "n": len(self.took_ms),
            "good": self.good,
            "per_s": round(self.per_s, 1),
            **quantiles(self.took_ms),
            "status": dict(self.status),
        }
        return found | ({"failed_sample": self.sample} if self.sample else {})


async def closed_loop(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Run:
    """As fast as answers come, on each connection; every connection walks through ``requests``."""
    run = Run()
    began = time.perf_counter()
    stop_at = began + seconds

    async def one(turn: Iterator[bytes]) -> None:
        wire = await Wire.open(port)
        while (at := time.perf_counter()) < stop_at:
            run.note(at, *await wire.ask(next(turn)))
        wire.close()

    await asyncio.gather(*(one(cycle(requests)) for _ in range(connections)))
    run.seconds = time.perf_counter() - began
    return run


async def paced(port: int, requests: Sequence[bytes], per_s: float, count: int | None, until: Any) -> Run:
    """One request every ``1 / per_s`` seconds on one connection: ``count``, or until an event is set."""
    run = Run()
    wire = await Wire.open(port)
    turn = cycle(requests)
    began = due = time.perf_counter()
    while (count is None or len(run.took_ms) < count) and not (until and until.is_set()):
        wait_s = due - time.perf_counter()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        # a late one is measured from its own start, and the next is not hurried
        due = max(due + 1 / per_s, time.perf_counter())
        at = time.perf_counter()
        run.note(at, *await wire.ask(next(turn)))
    wire.close()
    run.seconds = time.perf_counter() - began
    return run


def run(main: Coroutine[Any, Any, T]) -> T:
    factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop if uvloop else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """``p50_ms``, ``p90_ms``, ``p99_ms``, ``max_ms``."""
    ordered = sorted(values)
    if not ordered:
        return {}

    def at(p: float) -> float:
        return round(ordered[min(len(ordered) - 1, round(p * (len(ordered) - 1)))], 3)

    return {"p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "max_ms": at(1.0)}


def cpu_s(pid: int) -> float:
    """User and system seconds of a process, its ended threads included."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def machine() -> dict[str, Any]:
    """What figures depend on."""
    one, five, _ = os.getloadavg()
    model = ""
    try:
        with open("/proc/cpuinfo") as lines:
            model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        pass
    return {"cores": os.cpu_count(), "cpu": model, "load_1m": round(one, 2), "load_5m": round(five, 2)}
