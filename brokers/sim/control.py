"""The control endpoints of a simulator: what tests and the supervisor ask beside the broker's protocol."""

from __future__ import annotations

import json
import os
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from brokers.clock import Clock
from brokers.errors import InvalidRequest
from brokers.sim.exchange.engine import Exchange
from brokers.sim.exchange.types import BookLevel, SimOrder, Snapshot, rupees
from brokers.sim.faults import CONTROL, DRAWN_S, FAULT, Faults
from brokers.sim.venue import Venue

MOST_TIMES = 20_000


@dataclass(frozen=True, slots=True)
class InHand:
    """How long this broker had one request in hand, faults included.

    Reading the request's head and writing the answer are not in it.

    Attributes:
        began_ns: The host's monotonic clock.
        fault: The kind of the rule that struck, None without one.
        drawn_s: The delay drawn for that rule; the timer that keeps it may oversleep.
    """

    call: str
    began_ns: int
    ns: int
    fault: str | None
    drawn_s: float | None


class Calls:
    """Every request of the broker's protocol by ``METHOD path-template``: refused and dropped ones too.

    Attributes:
        times: The newest ones, in the order in which they were done with.
        arrivals: (call, monotonic seconds at which it arrived) of the newest ones, oldest first.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.times: deque[InHand] = deque(maxlen=MOST_TIMES)
        self.arrivals: deque[tuple[str, float]] = deque(maxlen=MOST_TIMES)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(CONTROL):
            return await handler(request)
        resource = request.match_info.route.resource
        call = f"{request.method} {resource.canonical if resource is not None else request.path}"
        self._counts[call] += 1
        self.arrivals.append((call, time.monotonic()))
        began = time.monotonic_ns()
        try:
            return await handler(request)
        finally:
            lasted = time.monotonic_ns() - began
            self.times.append(InHand(call, began, lasted, request.get(FAULT), request.get(DRAWN_S)))

    def view(self) -> dict[str, int]:
        return dict(sorted(self._counts.items()))

    def clear(self) -> None:
        self._counts.clear()
        self.times.clear()
        self.arrivals.clear()


class Control:
    """Handlers under ``/_sim/``; loopback only, no authentication."""

    def __init__(
        self, *, venue: Venue, exchange: Exchange, faults: Faults, calls: Calls, clock: Clock
    ) -> None:
        self._venue = venue
        self._exchange = exchange
        self._faults = faults
        self._calls = calls
        self._clock = clock

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/_sim/health", self.health),
            web.get("/_sim/faults", self.faults),
            web.post("/_sim/faults", self.add_fault),
            web.delete("/_sim/faults", self.clear_faults),
            web.get("/_sim/orders", self.orders),
            web.get("/_sim/calls", self.calls),
            web.delete("/_sim/calls", self.clear_calls),
            web.get("/_sim/times", self.times),
            web.get("/_sim/frames", self.frames),
            web.get("/_sim/arrivals", self.arrivals),
            web.post("/_sim/tokens", self.tokens),
            web.post("/_sim/expire", self.expire),
            web.get("/_sim/snapshot", self.snapshot),
        ]

    async def health(self, request: web.Request) -> web.Response:
        universe = self._exchange.universe
        return web.json_response(
            {
                "status": "ok",
                "pid": os.getpid(),
                "broker": self._venue.name,
                "venue": "sim",
                "seed": universe.seed,
                "universe": universe.size,
                "date": universe.today.isoformat(),
                "now": self._clock.now().isoformat(),
            }
        )

    async def faults(self, request: web.Request) -> web.Response:
        return web.json_response([rule.view() for rule in self._faults.rules()])

    async def add_fault(self, request: web.Request) -> web.Response:
        """One rule or a list of rules; answers them as understood."""
        body = await _json(request)
        rules = [self._faults.add(item) for item in (body if isinstance(body, list) else [body])]
        return web.json_response([rule.view() for rule in rules])

    async def clear_faults(self, request: web.Request) -> web.Response:
        """All rules, or the one of ``?id=``."""
        number = request.query.get("id")
        if number is not None and not number.isdigit():
            raise InvalidRequest("id is a number")
        return web.json_response({"cleared": self._faults.clear(int(number) if number else None)})

    async def orders(self, request: web.Request) -> web.Response:
        """Every order in the broker's books of the day, also those whose answer was dropped."""
        return web.json_response([_order_view(order) for order in self._exchange.orders()])

    async def calls(self, request: web.Request) -> web.Response:
        return web.json_response(self._calls.view())

    async def clear_calls(self, request: web.Request) -> web.Response:
        self._calls.clear()
        self._faults.held.clear()
        return web.json_response({})

    async def times(self, request: web.Request) -> web.Response:
        """The broker's own part in each call since the counts were cleared, for who knows the whole."""
        return web.json_response([asdict(one) for one in self._calls.times])

    async def frames(self, request: web.Request) -> web.Response:
        """Every frame a ``lag`` struck since the counts were cleared: what was set, and what became of it."""
        return web.json_response([held.view() for held in self._faults.held])

    async def arrivals(self, request: web.Request) -> web.Response:
        """When each call arrived since the counts were cleared, for tests of the rate windows."""
        return web.json_response([{"call": call, "at_s": at} for call, at in self._calls.arrivals])

    async def tokens(self, request: web.Request) -> web.Response:
        return web.json_response(dict(self._venue.issue(await _account(request))))

    async def expire(self, request: web.Request) -> web.Response:
        self._venue.expire(await _account(request))
        return web.json_response({"status": "ok"})

    async def snapshot(self, request: web.Request) -> web.Response:
        exchange, symbol = request.query.get("exchange", ""), request.query.get("symbol", "")
        listing = self._exchange.universe.find(exchange, symbol)
        if listing is None:
            raise web.HTTPNotFound(text=json.dumps({"message": f"no listing {exchange}:{symbol}"}))
        return web.json_response(_snapshot_view(self._exchange.snapshot(listing)))


@web.middleware
async def bad_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer ``InvalidRequest`` of the control endpoints as 400 with its message."""
    try:
        return await handler(request)
    except InvalidRequest as exc:
        return web.json_response({"message": str(exc)}, status=400)


async def _json(request: web.Request) -> object:
    try:
        body: object = await request.json()
    except ValueError as exc:
        raise InvalidRequest(f"the body is not JSON: {exc}") from exc
    return body


async def _account(request: web.Request) -> str:
    body = await _json(request)
    if not isinstance(body, dict) or not isinstance(body.get("account"), str):
        raise InvalidRequest('the body is {"account": "…"}')
    return str(body["account"])


def _order_view(order: SimOrder) -> dict[str, object]:
    new = order.new
    return {
        "id": order.order_id,
        "exchange_order_id": order.exchange_order_id,
        "tag": order.tag,
        "account": new.account,
        "exchange": new.listing.exchange,
        "symbol": new.listing.symbol,
        "side": new.side.value,
        "type": new.type.value,
        "product": new.product,
        "quantity": new.quantity,
        "price": str(new.price),
        "trigger": str(new.trigger),
        "status": order.status.value,
        "filled": order.filled,
        "average": str(order.average),
        "reason": order.reason,
        "modifications": order.modifications,
        "created_at": order.created_at.isoformat(),
        "updated_at": order.updated_at.isoformat(),
    }


def _snapshot_view(market: Snapshot) -> dict[str, object]:
    def levels(side: tuple[BookLevel, ...]) -> list[dict[str, object]]:
        return [
            {"price": float(rupees(x.price_paise)), "quantity": x.quantity, "orders": x.orders} for x in side
        ]

    return {
        "exchange": market.listing.exchange,
        "symbol": market.listing.symbol,
        "token": market.listing.token,
        "at": market.at.isoformat(),
        "seq": market.seq,
        "ltp": float(rupees(market.ltp_paise)),
        "open": float(rupees(market.open_paise)),
        "high": float(rupees(market.high_paise)),
        "low": float(rupees(market.low_paise)),
        "prev_close": float(rupees(market.prev_close_paise)),
        "average": float(rupees(market.average_paise)),
        "volume": market.volume,
        "oi": market.oi,
        "lower_circuit": float(rupees(market.lower_circuit_paise)),
        "upper_circuit": float(rupees(market.upper_circuit_paise)),
        "bids": levels(market.bids),
        "asks": levels(market.asks),
    }
