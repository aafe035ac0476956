"""What an open dashboard sees move: one thread, one snapshot for all tabs, nothing while no tab is open."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import urllib3
from flask import Flask, request

from brokers.errors import AlgoError
from brokers.model import OrderUpdate
from gateway.api import present
from gateway.api.health import readiness
from gateway.api.parts import Parts
from gateway.web.access import WebSessions
from gateway.web.sockets import SocketIO, join_room

log = logging.getLogger(__name__)

MOST_TICKS = 40
MOST_ORDERS = 50
ROOM = "dashboard"


class Live:
    """Socket.IO of one instance. Only signed-in web sessions get past ``connect``.

    ``tick_s``, ``slow_every``: ticks and state move every ``tick_s`` seconds; what costs a broker call
    (orders, funds) every ``slow_every`` rounds, or at once after an order update.
    """

    def __init__(self, sessions: WebSessions, tick_s: float = 1.0, slow_every: int = 10) -> None:
        self._sessions = sessions
        self._tick_s = tick_s
        self._slow_every = slow_every
        self._io: Any = None
        self._parts: Parts | None = None
        self._http = urllib3.PoolManager(num_pools=1, maxsize=1, retries=False)
        self._tabs: dict[str, tuple[str, float]] = {}  # Socket.IO sid -> web session, its end
        self._stop = threading.Event()
        self._orders_changed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._slow: dict[str, Any] = {}

    def attach(self, app: Flask, parts: Parts) -> None:
        self._parts = parts
        self._io = SocketIO(
            app,
            async_mode="threading",
            cors_allowed_origins=None,  # same origin only; the gate has checked it already
            manage_session=False,
            max_http_buffer_size=16 * 1024,
            serve_client=False,
        )
        self._io.on_event("connect", self._connected)
        self._io.on_event("disconnect", self._left)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._orders_changed.set()

    @property
    def tabs(self) -> int:
        return len(self._tabs)

    def on_update(self, update: OrderUpdate) -> None:
        """A pushed order update: shown at once, and the books are read again soon."""
        if self._tabs and self._io is not None:
            self._io.emit("order_update", present.order_row(update.order, ""), to=ROOM)
        self._orders_changed.set()

    def tell(self, event: str, body: dict[str, Any]) -> None:
        """Anything else an open page should hear of at once."""
        if self._tabs and self._io is not None:
            self._io.emit(event, body, to=ROOM)

    def disconnect(self, web_sid: str) -> None:
        """Close every tab of one web session (it signed out)."""
        for tab, (owner, _) in list(self._tabs.items()):
            if owner == web_sid:
                self._io.server.disconnect(tab)

    def _end_old_tabs(self) -> None:
        """A socket outlives the cookie it was opened with; the web session's end ends it."""
        for tab, (owner, until) in list(self._tabs.items()):
            if not self._sessions.alive(owner, until):
                self._io.server.disconnect(tab)

    def _connected(self, _auth: object = None) -> bool | None:
        if self._sessions.user_id() is None:
            return False
        self._tabs[_tab()] = (self._sessions.sid, self._sessions.until)
        join_room(ROOM)
        self._orders_changed.set()
        return None

    def _left(self, *_: object) -> None:
        self._tabs.pop(_tab(), None)

    def _run(self) -> None:
        rounds = 0
        while not self._stop.is_set():
            changed = self._orders_changed.wait(self._tick_s)
            if not self._tabs or self._stop.is_set():
                self._orders_changed.clear()
                self._stop.wait(self._tick_s)
                continue
            self._orders_changed.clear()
            try:
                self._end_old_tabs()
                if changed or rounds % self._slow_every == 0 or not self._slow:
                    self._slow = self._read_books()
                self._io.emit("snapshot", self._snapshot(), to=ROOM)
            except Exception:
                log.exception("dashboard snapshot failed")
            rounds += 1
            if changed:
                self._stop.wait(0.2)  # a burst of updates is one reading of the books

    def _snapshot(self) -> dict[str, Any]:
        assert self._parts is not None
        ticks = self._parts.market.ticks.newest(MOST_TICKS)
        return {
            "now_ms": self._parts.clock.time_ns() // 1_000_000,
            "state": readiness(self._parts),
            "desk": asdict(self._parts.desk.status()),
            "feed": self._feed(),
            "ticks": sorted(ticks, key=lambda tick: (tick["exchange"], tick["symbol"])),
            **self._slow,
        }

    def _read_books(self) -> dict[str, Any]:
        assert self._parts is not None
        desk, last_price = self._parts.desk, self._parts.market.last_price
        hear = self._parts.market.ticks.want

        def orders() -> list[dict[str, Any]]:
            found = desk.orders()
            hear(o.key for o in found)
            rows = [present.order_row(o, desk.strategy_of(o.order_id)) for o in found]
            rows.sort(key=lambda row: str(row["timestamp"]), reverse=True)
            return rows[:MOST_ORDERS]

        def positions() -> list[dict[str, Any]]:
            found = desk.positions()
            hear(p.key for p in found)
            return [present.position_row(p, last_price(p.key)) for p in found]

        def funds() -> dict[str, str]:
            found = desk.funds()
            # OpenAlgo's "available cash" counts used margin in on Kotak and not on Dhan; this one compares
            free = found.available_margin
            return present.funds_row(found) | ({} if free is None else {"free": f"{free:.2f}"})

        return {
            "orders": _or_reason(orders),
            "positions": _or_reason(positions),
            "funds": _or_reason(funds),
        }

    def _feed(self) -> dict[str, Any]:
        """The feed process's own word, over loopback."""
        assert self._parts is not None
        settings = self._parts.settings
        url = f"http://{settings.ws_host}:{settings.ws_port}/health/ready"
        try:
            answer = self._http.request("GET", url, timeout=0.5)
            body = answer.json()
        except (urllib3.exceptions.HTTPError, ValueError):
            return {"feed": {"state": "not running", "reason": "the feed process does not answer"}}
        return body if isinstance(body, dict) else {}


def _or_reason(read: Callable[[], Any]) -> Any:
    """A failed read is shown as what it is, never as an empty book."""
    try:
        return read()
    except AlgoError as exc:
        return {"error": str(exc), "code": exc.code}


def _tab() -> str:
    return str(request.sid)  # type: ignore[attr-defined]  # set by Flask-SocketIO on its request
