"""Load mode of a simulated broker: ticks at a set rate whose loss and latency can be measured from outside.

A hundred symbols (``NSE:SYM000`` … ``SYM099``, tick size 0.01) exist beside the universe once the mode is
armed. Tick number n goes to symbol n mod count and carries n in its price: 10000 + (n mod 1,000,000) / 100
rupees. The monotonic nanosecond of its sending is written to slot n mod 1,000,000 of a shared memory block
of 64-bit integers; a second block gets the number sent and the nanoseconds it took. That is the layout of
``scripts/bench/ticks.py``, which makes both blocks and hands in their names.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from multiprocessing import resource_tracker, shared_memory
from typing import Protocol

from aiohttp import web

from brokers.errors import InvalidRequest
from brokers.sim.exchange.types import Kind, Listing

log = logging.getLogger(__name__)

COUNT = 100
SEQ_MOD = 1_000_000
BASE_PAISE = 1_000_000
MOST_RATE = 200_000.0
MOST_SECONDS = 2 * 86_400.0
MOST_PACKED = 100
_FIRST_TOKEN = 960_001
_BACKLOG_BYTES = 1 << 20
_FLAT_OUT_BURST = 200

LISTINGS: tuple[Listing, ...] = tuple(
    Listing(
        exchange="NSE",
        symbol=f"SYM{number:03d}",
        token=_FIRST_TOKEN + number,
        kind=Kind.EQUITY,
        name=f"Load {number:03d}",
        root=f"SYM{number:03d}",
        isin="",
        lot_size=1,
        tick_paise=1,
        freeze_qty=100_000,
        base_paise=BASE_PAISE,
    )
    for number in range(COUNT)
)


def number_of(token: int) -> int | None:
    """Which load symbol an NSE token is, None for a listing of the universe."""
    number = token - _FIRST_TOKEN
    return number if 0 <= number < COUNT else None


class Lane(Protocol):
    """A venue's way out for load ticks."""

    def arm(self) -> None:
        """Show the load symbols in the instrument file from now on."""
        ...

    def put(self, number: int, paise: int) -> None:
        """Encode one tick of a symbol for each of its readers."""
        ...

    def flush(self, packed: int) -> None:
        """Write what was put, at most ``packed`` packets a message."""
        ...

    def backlog(self) -> int:
        """Most bytes that wait in the buffer of one reader."""
        ...

    def readers(self) -> int:
        """Symbols that somebody subscribed to."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``POST /_sim/load`` asks for.

    Attributes:
        rate: Ticks a second over all symbols; 0 sends as fast as every reader takes them.
        symbols: The first so many of the load symbols take part.
        packed: Packets put into one message when a burst has several.
        sent_at, count: Names of the shared memory blocks; empty for none.
    """

    rate: float
    seconds: float
    symbols: int = COUNT
    packed: int = 1
    sent_at: str = ""
    count: str = ""

    @classmethod
    def read(cls, body: object) -> Plan:
        """Check a request. Raises ``InvalidRequest`` naming the first wrong field."""
        if not isinstance(body, Mapping):
            raise InvalidRequest("the body is a JSON object")
        unknown = set(body) - set(cls.__slots__)
        if unknown:
            raise InvalidRequest(f"unknown: {', '.join(sorted(map(str, unknown)))}")
        return cls(
            rate=_number(body, "rate", 0.0, 0.0, MOST_RATE),
            seconds=_number(body, "seconds", 0.0, 0.0, MOST_SECONDS),
            symbols=int(_number(body, "symbols", COUNT, 1, COUNT)),
            packed=int(_number(body, "packed", 1, 1, MOST_PACKED)),
            sent_at=_text(body, "sent_at"),
            count=_text(body, "count"),
        )


def _number(body: Mapping[str, object], name: str, default: float, least: float, most: float) -> float:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InvalidRequest(f"{name} is a number from {least:g} to {most:g}")
    return float(value)


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} is the name of a shared memory block")
    return value


class Block:
    """A shared memory block of another process, seen as 64-bit integers; without a name, nothing."""

    def __init__(self, name: str, least: int) -> None:
        self._memory: shared_memory.SharedMemory | None = None
        self.slots: memoryview | None = None
        if not name:
            return
        try:
            memory = shared_memory.SharedMemory(name)
        except (OSError, ValueError) as exc:
            raise InvalidRequest(f"no shared memory block {name!r}: {exc}") from exc
        # it belongs to its maker: this process's tracker would remove it when the simulator ends;
        # the name the tracker knows it by is private (3.13 has track=False)
        with contextlib.suppress(KeyError):
            resource_tracker.unregister(memory._name, "shared_memory")  # type: ignore[attr-defined]
        self._memory = memory
        slots = memoryview(memory.buf or b"").cast("q")
        self.slots = slots
        if (size := len(slots)) < least:
            self.close()
            raise InvalidRequest(f"shared memory block {name!r} holds {size} numbers, {least} needed")

    def close(self) -> None:
        if self.slots is not None:
            self.slots.release()
            self.slots = None
        if self._memory is not None:
            self._memory.close()
            self._memory = None


class Load:
    """The generator of one simulated broker and its control endpoint."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._task: asyncio.Task[None] | None = None
        self._plan: Plan | None = None
        self.sent = 0

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/_sim/load", self._get),
            web.post("/_sim/load", self._post),
            web.delete("/_sim/load", self._delete),
        ]

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def stop(self) -> None:
        """End the run, if one is on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def start(self, plan: Plan) -> None:
        """Arm the mode and, with ``seconds`` above 0, send. A run that is on ends first.

        Raises:
            InvalidRequest: A shared memory block is missing or too small.
        """
        await self.stop()
        self._lane.arm()
        self._plan, self.sent = plan, 0
        if plan.seconds > 0:
            sent_at = Block(plan.sent_at, SEQ_MOD)
            try:
                count = Block(plan.count, 2)
            except InvalidRequest:
                sent_at.close()
                raise
            self._task = asyncio.create_task(self._run(plan, sent_at, count), name="load")

    async def _run(self, plan: Plan, sent_at: Block, count: Block) -> None:
        began = time.perf_counter()
        try:
            await self._send(plan, sent_at.slots, began)
        finally:
            if count.slots is not None:
                count.slots[1] = int((time.perf_counter() - began) * 1e9)
                count.slots[0] = self.sent
            sent_at.close()
            count.close()
            log.info("load mode sent %d ticks", self.sent)

    async def _send(self, plan: Plan, sent_at: memoryview | None, began: float) -> None:
        lane, rate = self._lane, plan.rate
        while (elapsed := time.perf_counter() - began) < plan.seconds:
            if lane.backlog() > _BACKLOG_BYTES:
                # nobody may lose a tick here: the rate falls instead, and the numbers show it
                await asyncio.sleep(0.001)
                continue
            until = int(rate * elapsed) + 1 if rate else self.sent + _FLAT_OUT_BURST
            burst = min(until - self.sent, 10 * _FLAT_OUT_BURST)
            for number in range(self.sent, self.sent + burst):
                slot = number % SEQ_MOD
                if sent_at is not None:
                    sent_at[slot] = time.monotonic_ns()
                lane.put(number % plan.symbols, BASE_PAISE + slot)
            self.sent += max(0, burst)
            lane.flush(plan.packed)
            # uvloop counts whole milliseconds: less than one would spin, and the machine is being measured
            await asyncio.sleep(0.0 if not rate else 0.001)

    def view(self) -> dict[str, object]:
        plan = self._plan
        return {
            "armed": plan is not None,
            "running": self.is_running,
            "sent": self.sent,
            "rate": plan.rate if plan else 0.0,
            "readers": self._lane.readers(),
            "backlog": self._lane.backlog(),
            "exchange": "NSE",
            "symbols": [listing.symbol for listing in LISTINGS],
        }

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self.view())

    async def _post(self, request: web.Request) -> web.Response:
        try:
            body: object = await request.json()
        except json.JSONDecodeError as exc:
            raise InvalidRequest(f"the body is not JSON: {exc}") from exc
        await self.start(Plan.read(body))
        return web.json_response(self.view())

    async def _delete(self, request: web.Request) -> web.Response:
        await self.stop()
        return web.json_response(self.view())


def binary_frame(payload: bytes | bytearray) -> bytes:
    """One unmasked binary WebSocket message (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x82, size)) + payload
    if size < 65_536:
        return b"\x82\x7e" + size.to_bytes(2, "big") + payload
    return b"\x82\x7f" + size.to_bytes(8, "big") + payload
