"""A broker that does not exist: plain JSON over REST and WebSockets, in front of the simulated exchange."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyotp
from aiohttp import WSMsgType, web

from brokers.clock import IST, Clock
from brokers.sim import settings as sim
from brokers.sim.exchange.engine import Exchange
from brokers.sim.exchange.types import (
    Listing,
    NewOrder,
    Refusal,
    RefusalCode,
    Side,
    SimOrder,
    SimTrade,
    Snapshot,
    Status,
    Type,
)
from brokers.sim.faults import Faults

Row = dict[str, Any]
TYPES = {"MARKET": Type.MARKET, "LIMIT": Type.LIMIT, "STOP": Type.STOP_LIMIT}
TYPE_WORDS = {ours: word for word, ours in TYPES.items()}
PRODUCTS = {"DELIVERY": "CNC", "CARRY": "NRML", "INTRADAY": "MIS"}
PRODUCT_WORDS = {ours: word for word, ours in PRODUCTS.items()}
STATUS = {
    Status.TRANSIT: "SENT",
    Status.OPEN: "OPEN",
    Status.TRIGGER_PENDING: "WAITING",
    Status.PARTIAL: "PARTIAL",
    Status.FILLED: "DONE",
    Status.CANCELLED: "CANCELLED",
    Status.REJECTED: "REJECTED",
    Status.EXPIRED: "EXPIRED",
}
COLUMNS = "segment,token,code,name,kind,root,expiry,strike,lot,tick,freeze"


class Refused(Exception):
    """An answer that is not the one hoped for."""

    def __init__(self, http: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = (http, {"error": {"code": code, "message": message}})


def ms(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)


def place_of(listing: Listing) -> Row:
    return {"segment": listing.exchange, "token": str(listing.token), "code": listing.symbol}


def order_row(order: SimOrder) -> Row:
    new = order.new
    return {
        **place_of(new.listing),
        "orderId": order.order_id,
        "side": new.side.value,
        "type": TYPE_WORDS[new.type],
        "product": PRODUCT_WORDS[new.product],
        "quantity": new.quantity,
        "price": str(new.price),
        "trigger": str(new.trigger),
        "status": STATUS[order.status],
        "filled": order.filled,
        "average": str(order.average),
        "tag": new.tag,
        "reason": order.reason,
        "exchangeOrderId": order.exchange_order_id,
        "placedAt": ms(order.created_at),
        "updatedAt": ms(order.updated_at),
    }


def trade_row(trade: SimTrade) -> Row:
    return {
        **place_of(trade.listing),
        "tradeId": trade.trade_id,
        "orderId": trade.order_id,
        "side": trade.side.value,
        "product": PRODUCT_WORDS[trade.product],
        "quantity": trade.quantity,
        "price": str(trade.price),
        "tradedAt": ms(trade.at),
    }


def tick_row(market: Snapshot, mode: str) -> Row:
    """``ltp``, ``quote`` or ``depth``; rupees."""
    listing = market.listing

    def price(units: int) -> float:
        return float(listing.rupees(units))

    row: Row = {"x": listing.exchange, "t": str(listing.token), "p": price(market.ltp_paise)}
    row["at"] = ms(market.last_trade_at)
    if mode == "ltp":
        return row
    row |= {"o": price(market.open_paise), "h": price(market.high_paise), "l": price(market.low_paise)}
    row |= {"c": price(market.prev_close_paise), "a": price(market.average_paise), "v": market.volume}
    row |= {"oi": market.oi, "q": market.last_quantity, "tb": market.total_buy, "ts": market.total_sell}
    if mode == "depth":
        for side, levels in (("b", market.bids), ("s", market.asks)):
            row[side] = [[price(one.price_paise), one.quantity, one.orders] for one in levels]
    return row


class Tokens:
    """JSON Web Tokens without a signature; those of an account end together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._live: dict[str, str] = {}

    def make(self, account: str) -> str:
        ends = int((self._clock.now() + timedelta(hours=12)).timestamp())
        claims = json.dumps({"sub": account, "exp": ends, "n": len(self._live)}).encode()
        token = f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}."
        self._live[token] = account
        return token

    def account(self, token: str) -> str:
        return self._live.get(token, "")

    def expire(self, account: str) -> None:
        self._live = {token: its for token, its in self._live.items() if its != account} | {"": ""}


class ZenithVenue:
    """The ``brokers.sim.venue.Venue`` of Zenith."""

    name = "zenith"

    def __init__(self, exchange: Exchange, faults: Faults, clock: Clock) -> None:
        self._exchange = exchange
        self._faults = faults
        self._clock = clock
        self._tokens = Tokens(clock)
        self._wants: dict[web.WebSocketResponse, dict[Listing, str]] = {}
        self._listeners: dict[web.WebSocketResponse, str] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        yield web.post("/v1/login", self._login)
        for method, path, call in (
            ("POST", "/orders", self._place),
            ("PUT", "/orders/{id}", self._modify),
            ("DELETE", "/orders/{id}", self._cancel),
            ("GET", "/orders", self._orders),
            ("GET", "/trades", self._trades),
            ("GET", "/portfolio/positions", self._positions),
            ("GET", "/portfolio/holdings", self._holdings),
            ("GET", "/funds", self._funds),
            ("POST", "/margin", self._margin),
            ("POST", "/quotes", self._quotes),
            ("GET", "/history", self._history),
        ):
            yield web.route(method, f"/v1{path}", self._guarded(call, write=path.startswith("/orders")))
        yield web.get("/instruments.csv", self._file)
        yield web.get("/feed", self._feed)
        yield web.get("/orders", self._order_feed)

    async def start(self) -> None:
        self._exchange.on_order(self._on_order)
        self._exchange.on_market(self._on_market)

    async def stop(self) -> None:
        for socket in [*self._wants, *self._listeners]:
            await socket.close()

    def issue(self, account: str) -> Mapping[str, object]:
        return {"token": self._tokens.make(account)}

    def expire(self, account: str) -> None:
        self._tokens.expire(account)

    # --- REST

    def _guarded(
        self, call: Callable[[str, web.Request, Row], Any], *, write: bool
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                account = self._tokens.account(
                    request.headers.get("Authorization", "").removeprefix("Bearer ")
                )
                if not account or self._faults.token_expired(account):
                    raise Refused(401, "AUTH", "Session expired")
                if write and request.method != "GET" and self._faults.ip_refused(account):
                    raise Refused(403, "IP", "Address not registered")
                body = json.loads(await request.read() or b"{}")
                return web.json_response(call(account, request, body))
            except Refusal as exc:
                http = 404 if exc.code is RefusalCode.NOT_FOUND else 400
                return web.json_response({"error": {"code": exc.code.name, "message": exc.text}}, status=http)
            except Refused as exc:
                return web.json_response(exc.answer[1], status=exc.answer[0])

        return handle

    async def _login(self, request: web.Request) -> web.Response:
        body = await request.json()
        if not pyotp.TOTP(sim.TOTP_SECRET).verify(str(body.get("totp")), valid_window=1):
            answer = {"error": {"code": "TOTP", "message": "Invalid TOTP"}}
            return web.json_response(answer, status=401)
        return web.json_response(self.issue(str(body["client"])))

    def _listing(self, segment: object, token: object) -> Listing:
        found = self._exchange.universe.by_token(str(segment), int(str(token)))
        if found is None:
            raise Refused(400, "INPUT", "Unknown instrument")
        return found

    def _new(self, account: str, body: Row, kind: Type) -> NewOrder:
        return NewOrder(
            account=account,
            listing=self._listing(body["segment"], body["token"]),
            side=Side(body["side"]),
            type=kind,
            product=PRODUCTS[body["product"]],
            quantity=int(body["quantity"]),
            price=Decimal(body["price"]),
            trigger=Decimal(body.get("trigger", 0)),
            disclosed=int(body.get("disclosed", 0)),
            tag=str(body.get("tag", "")),
        )

    def _place(self, account: str, request: web.Request, body: Row) -> Row:
        return {"orderId": self._exchange.submit(self._new(account, body, TYPES[body["type"]])).order_id}

    def _modify(self, account: str, request: web.Request, body: Row) -> Row:
        order = self._exchange.modify(
            account,
            request.match_info["id"],
            type=TYPES[body["type"]],
            quantity=int(body["quantity"]),
            price=Decimal(body["price"]),
            trigger=Decimal(body["trigger"]),
            disclosed=int(body["disclosed"]),
        )
        return {"orderId": order.order_id}

    def _cancel(self, account: str, request: web.Request, body: Row) -> Row:
        return {"orderId": self._exchange.cancel(account, request.match_info["id"]).order_id}

    def _orders(self, account: str, request: web.Request, body: Row) -> list[Row]:
        return [order_row(order) for order in self._exchange.account(account).orders.values()]

    def _trades(self, account: str, request: web.Request, body: Row) -> list[Row]:
        return [trade_row(trade) for trade in self._exchange.account(account).trades]

    def _last(self, listing: Listing) -> Decimal:
        return listing.rupees(self._exchange.snapshot(listing).ltp_paise)

    def _positions(self, account: str, request: web.Request, body: Row) -> list[Row]:
        return [
            {
                **place_of(one.listing),
                "product": PRODUCT_WORDS[one.product],
                "net": one.net,
                "average": str(one.average),
                "realized": str(one.realized),
                "unrealized": str(one.unrealized(self._last(one.listing))),
                "bought": one.bought[0],
                "sold": one.sold[0],
            }
            for one in self._exchange.account(account).positions()
        ]

    def _holdings(self, account: str, request: web.Request, body: Row) -> list[Row]:
        return [
            {
                **place_of(one.listing),
                "quantity": one.quantity,
                "average": str(one.average),
                "last": str(self._last(one.listing)),
            }
            for one in self._exchange.account(account).holdings()
        ]

    def _funds(self, account: str, request: web.Request, body: Row) -> Row:
        funds = self._exchange.account(account).funds()
        return {
            "cash": str(funds.available),
            "collateral": str(funds.collateral),
            "used": str(funds.utilised),
            "realized": str(funds.realized),
            "unrealized": str(funds.unrealized),
        }

    def _margin(self, account: str, request: web.Request, body: Row) -> Row:
        return {"total": str(self._exchange.margin_required(self._new(account, body, Type.LIMIT)))}

    def _quotes(self, account: str, request: web.Request, body: Row) -> Row:
        listings = [self._listing(*pair) for pair in body["instruments"]]
        return {"quotes": [tick_row(self._exchange.snapshot(one), "depth") for one in listings]}

    def _history(self, account: str, request: web.Request, body: Row) -> Row:
        ask = request.query
        start, end = (
            datetime.combine(date.fromisoformat(ask[name]) + timedelta(days=more), time(0), IST).astimezone(
                UTC
            )
            for name, more in (("from", 0), ("to", 1))
        )
        listing = self._listing(ask["segment"], ask["token"])
        word = {"minute": "1m", "day": "D"}[ask["interval"]]
        bars = self._exchange.prices.candles(listing, start, end, word, until=self._clock.now())
        if not bars:
            raise Refused(404, "NODATA", "No candles")
        rows = []
        for bar in bars:
            prices = (bar.open_paise, bar.high_paise, bar.low_paise, bar.close_paise)
            shown = [float(listing.rupees(one)) for one in prices]
            rows.append([int(bar.opens_at.timestamp()), *shown, bar.volume, bar.oi])
        return {"candles": rows}

    async def _file(self, request: web.Request) -> web.Response:
        lines = [COLUMNS]
        for one in self._exchange.universe.listings:
            strike, tick = one.rupees(one.strike_paise), one.rupees(one.tick_paise)
            name = one.name.replace(",", " ")
            cells = (one.exchange, one.token, one.symbol, name, one.kind.value, one.root, one.expiry or "")
            lines.append(",".join(map(str, (*cells, strike, one.lot_size, tick, one.freeze_qty))))
        return web.Response(text="\n".join(lines), content_type="text/csv")

    # --- sockets

    async def _open(self, name: str, request: web.Request) -> tuple[web.WebSocketResponse, str]:
        """A socket and the account its first message logs in; empty when it was refused."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self._faults.attach(name, socket, request)
        account = self._tokens.account(str(json.loads((await socket.receive()).data).get("login")))
        await socket.send_json({"type": "welcome" if account else "refused"})
        if not account:
            await socket.close()
        return socket, account

    async def _feed(self, request: web.Request) -> web.WebSocketResponse:
        socket, account = await self._open("feed", request)
        wants: dict[Listing, str] = {}
        try:
            if account:
                self._wants[socket] = wants
                async for message in socket:
                    if message.type is WSMsgType.TEXT:
                        await self._asked(socket, wants, json.loads(message.data))
        finally:
            self._wants.pop(socket, None)
            for listing in wants:
                self._exchange.unwatch(listing)
        return socket

    async def _asked(self, socket: web.WebSocketResponse, wants: dict[Listing, str], ask: Row) -> None:
        for pair in ask.get("unsubscribe", ()):
            listing = self._listing(*pair)
            if wants.get(listing) == ask["mode"]:
                del wants[listing]
                self._exchange.unwatch(listing)
        listings = [self._listing(*pair) for pair in ask.get("subscribe", ())]
        for listing in listings:
            if listing not in wants:
                self._exchange.watch(listing)
            wants[listing] = ask["mode"]
        if listings:
            rows = [tick_row(self._exchange.snapshot(one), ask["mode"]) for one in listings]
            await self._send(socket, "feed", {"type": "ticks", "rows": rows})

    async def _order_feed(self, request: web.Request) -> web.WebSocketResponse:
        socket, account = await self._open("orders", request)
        try:
            if account:
                self._listeners[socket] = account
                async for _ in socket:
                    pass
        finally:
            self._listeners.pop(socket, None)
        return socket

    def _on_order(self, order: SimOrder, trade: SimTrade | None) -> None:
        for socket, account in self._listeners.items():
            if account == order.new.account:
                self._soon(socket, "orders", {"type": "order", "row": order_row(order)})

    def _on_market(self, news: list[Snapshot]) -> None:
        for socket, wants in self._wants.items():
            rows = [tick_row(one, wants[one.listing]) for one in news if one.listing in wants]
            if rows:
                self._soon(socket, "feed", {"type": "ticks", "rows": rows})

    def _soon(self, socket: web.WebSocketResponse, name: str, message: Row) -> None:
        task = asyncio.get_running_loop().create_task(self._send(socket, name, message))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, socket: web.WebSocketResponse, name: str, message: Row) -> None:
        for piece in self._faults.frame(name, json.dumps(message)):
            with suppress(ConnectionError):
                await socket.send_str(str(piece))


def make(exchange: Exchange, faults: Faults, clock: Clock, base_url: str) -> ZenithVenue:
    """As the ``make`` of every simulated broker."""
    exchange.order_id = lambda at, number: f"Z{at.astimezone(IST):%y%m%d}{number:06d}"
    return ZenithVenue(exchange, faults, clock)
