"""Simulated instances behind the route, with faults on every edge, and counters at their exchanges.

An instance is what ``gateway.api.routed`` promises: the real fence, a journal that survives its crashes, one
order at the exchange for each journaled id. Bytes may arrive late, after the route has given up waiting.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.api.routed import Fence
from supervisor.routing.choose import Look, seen
from supervisor.routing.forward import Forwarder, Parts
from supervisor.routing.journal import Journal
from supervisor.routing.model import Lost, NotSent, Order, Row

NAMES = ("dhan", "kotak")


class Killed(BaseException):
    """The route's process ends here."""


class Ticking:
    """A clock that only moves when somebody waits."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def time_ns(self) -> int:
        self.now_s += 0.001
        return int(self.now_s * 1e9)

    def monotonic(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass
class Instance:
    """``journal[id]``: the answer that stands, None while it is unknown. ``exchange``: orders by id."""

    name: str
    fence: Fence = field(default_factory=Fence)
    journal: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    exchange: Counter[str] = field(default_factory=Counter)
    held: set[str] = field(default_factory=set)
    up: bool = True
    mode: str = "live"
    blocked: str = ""
    late: list[Row] = field(default_factory=list)
    calls: int = 0

    def standing(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "ready": True,
            "waiting_for": [],
            "executes": True,
            "semi_auto": False,
            "blocked": self.blocked,
            "market_open": True,
            "books": {"positions": sorted(self.held), "orders": []},
        }

    def crash(self) -> None:
        """And start again: what was in memory is gone, what was on disk is looked for at the broker."""
        self.fence = Fence()
        self.late.clear()  # connections died with it

    def evidence(self) -> None:
        """The settler has found what the broker has of everything unknown."""
        for client_id, answer in self.journal.items():
            if answer is None:
                sent = self.exchange[client_id] > 0
                self.journal[client_id] = self.success(client_id) if sent else self.refusal("never sent")

    def carry_out(self, row: Row, fate: str = "fine") -> dict[str, Any]:
        """As ``POST /internal/routed/call``. ``fate`` is one of ``FATES``."""
        client_id = row.order.client_order_id
        self.calls += 1
        with self.fence.passing(client_id, row.attempt) as passes:
            if not passes:
                answer = {"status": "error", "code": "ORDER_CLOSED", "message": "closed"}
                return {"http": 409, "answer": answer, "journaled": client_id in self.journal}
            if client_id not in self.journal:
                if fate == "refuse":
                    return {"http": 503, "answer": self.refusal("NOT_READY", False), "journaled": False}
                if fate == "crash before":
                    raise ConnectionResetError
                self.journal[client_id] = None
                if fate == "crash while":
                    raise ConnectionResetError
                if fate == "reject":
                    self.journal[client_id] = self.refusal("ORDER_REJECTED")
                else:
                    self.exchange[client_id] += 1
                    self.held.add(row.contract)
                    if fate == "crash after":
                        raise ConnectionResetError
                    if fate != "unknown":
                        self.journal[client_id] = self.success(client_id)
        return self.answered(client_id)

    def answered(self, client_id: str) -> dict[str, Any]:
        answer = self.journal[client_id]
        if answer is None:
            answer = {**self.refusal("OUTCOME_UNKNOWN"), "order_status": "unknown", "journal_id": 1}
        http = 200 if answer["status"] == "success" else 504 if "UNKNOWN" in answer["code"] else 400
        return {"http": http, "answer": answer, "journaled": True}

    def settle(self, row: Row) -> dict[str, Any]:
        client_id = row.order.client_order_id
        state = self.fence.close(client_id, row.attempt, lambda: client_id in self.journal)
        return {"state": state, **(self.answered(client_id) if state == "known" else {})}

    def success(self, client_id: str) -> dict[str, Any]:
        return {"status": "success", "orderid": f"1{client_id}"}

    def refusal(self, code: str, journaled: bool = True) -> dict[str, Any]:
        return {"status": "error", "code": code, "message": code} | (
            {"order_status": "rejected"} if journaled else {}
        )


FATES = ("fine", "refuse", "reject", "unknown", "crash before", "crash while", "crash after")
ON_THE_WAY = ("there", "refused", "lost before", "lost after", "late", "garbage before", "garbage after")


class Faulty:
    """The link, with fates drawn from a seed. ``script`` overrides the draw: ``(way, fate)`` of each call."""

    def __init__(self, fleet: dict[str, Instance], rng: random.Random, harm: float) -> None:
        self.fleet, self.rng, self.harm = fleet, rng, harm
        self.script: list[tuple[str, str]] = []
        self.deaf: int = 0
        self.kill_at = ""

    def call(self, row: Row) -> Any:
        self._kill("before send")
        one = self.fleet[row.chosen.instance]
        way, fate = self._draw()
        if not one.up or way == "refused":
            raise NotSent("connection refused")
        if way == "late":
            one.late.append(row)
            self._kill("on the way")
            raise Lost("timed out")
        if way == "garbage before":
            return "<html>503</html>"
        if way == "lost before":
            raise Lost("reset")
        try:
            found = one.carry_out(row, fate)
        except ConnectionResetError:
            one.crash()
            raise Lost("reset") from None
        self._kill("after send")
        if way == "lost after":
            raise Lost("timed out")
        return {"garbage": True} if way == "garbage after" else found

    def settle(self, row: Row) -> Any:
        self._kill("before asking")
        one = self.fleet[row.chosen.instance]
        if not one.up or self.deaf > 0:
            self.deaf -= 1
            raise NotSent("connection refused")
        if self.rng.random() < self.harm / 3:
            raise Lost("timed out")
        return one.settle(row)

    def _draw(self) -> tuple[str, str]:
        if self.script:
            return self.script.pop(0)
        way = self.rng.choice(ON_THE_WAY) if self.rng.random() < self.harm else "there"
        fate = self.rng.choice(FATES) if self.rng.random() < self.harm else "fine"
        return way, fate

    def _kill(self, where: str) -> None:
        if self.kill_at == where:
            self.kill_at = ""
            raise Killed(where)


class World:
    """The route over simulated instances; ``restart`` is a kill -9 of its process."""

    def __init__(self, folder: Path, seed: int = 1, harm: float = 0.0, names: Sequence[str] = NAMES) -> None:
        self.fleet = {name: Instance(name) for name in names}
        self.rng = random.Random(seed)
        self.link = Faulty(self.fleet, self.rng, harm)
        self.clock = Ticking()
        self.path = folder / "route.db"
        self.journal = Journal(self.path, "sim")
        self.route = self._route()

    def restart(self) -> None:
        self.journal.close()
        self.journal = Journal(self.path, "sim")
        self.route = self._route()

    def _route(self) -> Forwarder:
        parts = Parts(self.journal, self.link, self.clock, self.looks, lambda e, s: f"{e}:{s.upper()}")
        return Forwarder(parts)

    def looks(self, exchange: str, symbol: str) -> list[Look]:
        last = self.journal.last_seen()
        found = []
        for name, one in self.fleet.items():
            if one.up:
                standing = one.standing()
                at = datetime.fromtimestamp(self.clock.now_s, UTC).isoformat()
                books = seen(standing, at)
                assert books is not None
                self.journal.see(name, books)
                found.append(Look(name, standing, feed_healthy=True))
            else:
                found.append(Look(name, error="connection refused", last=last.get(name)))
        return found

    def deliver(self) -> None:
        """Bytes that were on their way arrive now."""
        for one in self.fleet.values():
            rows, one.late = one.late, []
            for row in rows:
                one.carry_out(row)

    def sent(self, client_id: str) -> dict[str, int]:
        return {name: one.exchange[client_id] for name, one in self.fleet.items() if one.exchange[client_id]}


def order(client_id: str, symbol: str = "SBIN", endpoint: str = "placeorder", **more: Any) -> Order:
    body = {"exchange": "NSE", "symbol": symbol, "action": "BUY", "quantity": "1", **more}
    return Order(endpoint, {**body, "client_order_id": client_id})
