"""What an open page sees move over Socket.IO: one thread for all tabs, no broker call while none is open.

Events: ``state`` (every second: session, feed, desk, limits), ``books`` (orders, positions and funds, when
they have changed), ``order_update`` (one row, at once), and what ``tell`` is given. Ticks come from the feed
itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import urllib3
from flask import Flask, request

from brokers.errors import AlgoError
from brokers.model import OrderUpdate, Position
from gateway.api import present
from gateway.api.health import readiness
from gateway.api.parts import Parts
from gateway.store.queued import Step
from gateway.trading.limiter import Lane
from gateway.web.access import WebSessions
from gateway.web.dayline import DayLine
from gateway.web.sockets import SocketIO, join_room

log = logging.getLogger(__name__)

ROOM = "signed-in"
REST_S = 0.2
"""A burst of order updates is one reading of the books."""
SHOWN_AGAIN_S = 2.0
"""How old a book may be for the first paint of a page."""


class Live:
    """Socket.IO of one instance. Only signed-in web sessions get past ``connect``.

    ``tick_s``, ``slow_every``: the state moves every ``tick_s`` seconds; what costs a broker call (orders,
    positions, funds) every ``slow_every`` rounds, or at once after an order update.
    """

    def __init__(self, sessions: WebSessions, tick_s: float = 1.0, slow_every: int = 5) -> None:
        self._sessions = sessions
        self._tick_s = tick_s
        self._slow_every = slow_every
        self._io: Any = None
        self._parts: Parts | None = None
        self._http = urllib3.PoolManager(num_pools=1, maxsize=1, retries=False)
        self._tabs: dict[str, tuple[str, float]] = {}  # Socket.IO sid -> web session, its end
        self._stop = threading.Event()
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._reading = threading.Lock()
        self._books: dict[str, Any] = {}
        self._positions: list[Position] = []
        self._version = 0
        self._read_at = float("-inf")
        self._line: DayLine | None = None

    def attach(self, app: Flask, parts: Parts) -> None:
        self._parts = parts
        self._line = DayLine(parts.clock, parts.day_points)
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
        self._changed.set()

    @property
    def tabs(self) -> int:
        return len(self._tabs)

    @property
    def line(self) -> DayLine:
        assert self._line is not None
        return self._line

    def on_update(self, update: OrderUpdate) -> None:
        """A pushed order update: shown at once, and the books are read again soon."""
        if self._tabs and self._io is not None:
            strategy = self._now().desk.strategy_of(update.order.order_id)
            self._io.emit("order_update", present.order_row(update.order, strategy), to=ROOM)
        self._changed.set()

    def tell(self, event: str, body: dict[str, Any]) -> None:
        """Anything else an open page should hear of at once."""
        if self._tabs and self._io is not None:
            self._io.emit(event, body, to=ROOM)

    def look_again(self) -> None:
        """The books have changed in a way nobody pushes (a switched mode, a reset sandbox)."""
        self._read_at = float("-inf")
        self._changed.set()

    def disconnect(self, web_sid: str) -> None:
        """Close every tab of one web session (it signed out)."""
        for tab, (owner, _) in list(self._tabs.items()):
            if owner == web_sid:
                self._io.server.disconnect(tab)

    # -- what is shown ----------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that is known without asking the broker."""
        parts = self._now()
        session = parts.session.status()
        points = self.line.points(paper=parts.analyzing())
        return {
            "now_ms": parts.clock.time_ns() // 1_000_000,
            "mode": "analyze" if parts.analyzing() else "live",
            "state": readiness(parts),
            "session": {
                "message": session.message,
                "issued_at": session.issued_at.isoformat() if session.issued_at else None,
            },
            "desk": asdict(parts.desk.status()),
            "feed": self._feed(),
            "egress": parts.egress().plain(),
            "rates": [asdict(usage) for usage in parts.market.limiter.usage(Lane.ENTRY)],
            "pnl": asdict(points[-1]) if points else None,
            "waiting": _waiting(parts),
        }

    def books(self) -> dict[str, Any]:
        """Orders, positions and funds as last read; anew when nobody had them read for a while."""
        watched = bool(self._tabs and self._books)
        if not watched and self._now().clock.monotonic() - self._read_at > SHOWN_AGAIN_S:
            self._read()
        return self._books

    # -- the thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        rounds = 0
        while not self._stop.is_set():
            changed = self._changed.wait(self._tick_s)
            self._changed.clear()
            self._record()
            if not self._tabs or self._stop.is_set():
                self._stop.wait(self._tick_s)
                continue
            try:
                self._end_old_tabs()
                if changed or rounds % self._slow_every == 0 or not self._books:
                    self._read()
                self.line.add(self._positions, self._now().market.last_price, paper=self._now().analyzing())
                self._io.emit("state", self.state(), to=ROOM)
            except Exception:
                # top of the thread: the next look may be a good one
                log.exception("live pages failed")
            rounds += 1
            if changed:
                self._stop.wait(REST_S)

    def _record(self) -> None:
        """The line of the day goes on while nobody looks; no broker call."""
        try:
            assert self._parts is not None
            self.line.look(self._parts)
        except Exception:
            # a line for people: it must not end the thread that shows orders
            log.exception("the day's line")

    def _read(self) -> None:
        """Read the books; tell the tabs when they differ from before."""
        with self._reading:
            parts = self._now()
            found = {"mode": "analyze" if parts.analyzing() else "live", **self._read_books(parts)}
            self._read_at = parts.clock.monotonic()
            before = {name: self._books.get(name) for name in found}
            if _rows(found) != _rows(before):
                self._version += 1
            self._books = {**found, "version": self._version}
            if self._tabs:
                event, body = "books", self._books
                if _rows(found) == _rows(before):
                    event = "books_as_of"
                    body = {n: v["as_of_ms"] for n, v in found.items() if isinstance(v, dict)}
                self._io.emit(event, body, to=ROOM)

    def _read_books(self, parts: Parts) -> dict[str, Any]:
        desk, last_price = parts.desk, parts.market.last_price
        hear = parts.market.ticks.want
        paper = parts.analyzing()

        def orders() -> dict[str, Any]:
            book = desk.books.orders()
            hear(o.key for o in book.orders)
            rows = [present.order_row(o, book.strategies.get(o.order_id, "")) for o in book.orders]
            return {"rows": rows}

        def positions() -> dict[str, Any]:
            self._positions = found = desk.positions()
            hear(p.key for p in found)
            rows = []
            for one in found:
                row = present.position_row(one, last_price(one.key))
                row["realised"] = float(one.realized_pnl) if one.realized_pnl is not None else None
                rows.append(row)
            return {"rows": rows}

        def funds() -> dict[str, Any]:
            found = desk.funds()
            # OpenAlgo's "available cash" counts used margin in on Kotak and not on Dhan; this one compares
            free = found.available_margin
            row = present.funds_row(found) | ({} if free is None else {"free": f"{free:.2f}"})
            return {"row": row}

        def read(look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
            as_of = parts.clock.time_ns() // 1_000_000
            try:
                return {"as_of_ms": as_of, **look()}
            except AlgoError as exc:
                # a failed read is shown as what it is, never as an empty book
                return {"as_of_ms": as_of, "error": str(exc), "code": exc.code}

        books = {"orders": read(orders), "positions": read(positions), "funds": read(funds)}
        if "error" not in books["positions"]:
            self.line.add(self._positions, last_price, paper=paper)
        return books

    def _feed(self) -> dict[str, Any]:
        """The feed process's own word, over loopback."""
        settings = self._now().settings
        url = f"http://{settings.ws_host}:{settings.ws_port}/health/ready"
        try:
            answer = self._http.request("GET", url, timeout=0.5)
            body = answer.json()
        except (urllib3.exceptions.HTTPError, ValueError):
            return {"feed": {"state": "not running", "reason": "the feed process does not answer"}}
        return body if isinstance(body, dict) else {}

    def _now(self) -> Parts:
        """The parts of the mode of this moment."""
        assert self._parts is not None
        return self._parts.now() if self._parts.now is not None else self._parts

    # -- tabs -------------------------------------------------------------------------------------------

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
        if self._books:
            self._io.emit("books", self._books, to=_tab())
        self._changed.set()
        return None

    def _left(self, *_: object) -> None:
        self._tabs.pop(_tab(), None)


def _rows(books: dict[str, Any]) -> dict[str, Any]:
    """The books without the times of their reading."""
    return {
        name: {k: v for k, v in book.items() if k != "as_of_ms"} if isinstance(book, dict) else book
        for name, book in books.items()
    }


def _waiting(parts: Parts) -> int:
    """Orders that wait for a person's approval."""
    if parts.queue is None or not parts.queue.needs_approval:
        return 0
    return len(parts.queue.store.recent(steps=[Step.WAITING], most=200))


def _tab() -> str:
    return str(request.sid)  # type: ignore[attr-defined]  # set by Flask-SocketIO on its request
