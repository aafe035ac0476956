"""Live order updates: a JSON message for every change of an order of the account.

The documented keys are PascalCase, live traffic was camelCase: camelCase here, ``?case=pascal`` for the
other. A login is not answered; a bad one closes the socket.

Source: Dhan API v2, Live Order Update.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import msgspec
from aiohttp import web

from brokers.sim.dhan import ids, shapes
from brokers.sim.dhan.gate import Desk
from brokers.sim.dhan.ids import Directory
from brokers.sim.dhan.sockets import Keepalive, Socket, admit
from brokers.sim.exchange.types import Listing, SimOrder, SimTrade, Status, Type

LOGIN_S = 40.0
_LOGIN = 42
_PRODUCT = {"CNC": "C", "INTRADAY": "I", "MARGIN": "M", "MTF": "F"}
_ORDER_TYPE = {Type.LIMIT: "LMT", Type.MARKET: "MKT", Type.STOP_LIMIT: "SL", Type.STOP_MARKET: "SLM"}
_STATUS = {
    Status.TRANSIT: "Transit",
    Status.OPEN: "Pending",
    Status.TRIGGER_PENDING: "Pending",
    Status.PARTIAL: "Part_Traded",
    Status.FILLED: "Traded",
    Status.CANCELLED: "Cancelled",
    Status.REJECTED: "Rejected",
    Status.EXPIRED: "Expired",
}


class Updates:
    """Serves ``/order-update``."""

    def __init__(self, desk: Desk, keepalive: Keepalive | None = None) -> None:
        self._desk = desk
        self.keepalive = keepalive or Keepalive()
        self._sockets: dict[str, list[tuple[Socket, bool]]] = {}

    def routes(self) -> Iterator[web.RouteDef]:
        yield web.get("/order-update", self._serve)

    def accounts(self) -> set[str]:
        """Who is logged in now."""
        return {account for account, entries in self._sockets.items() if entries}

    async def stop(self) -> None:
        sockets = [socket for entries in self._sockets.values() for socket, _ in entries]
        await asyncio.gather(*(socket.goodbye() for socket in sockets))

    async def expire(self, account: str) -> None:
        await asyncio.gather(*(socket.goodbye() for socket, _ in list(self._sockets.get(account, ()))))

    def on_order(self, order: SimOrder, trade: SimTrade | None) -> None:
        """Tell the account's sockets how the order stands now."""
        entries = self._sockets.get(order.new.account)
        if not entries:
            return
        ltp = self._desk.exchange.snapshot(order.new.listing).ltp_paise / 100
        data = update(order, trade, self._desk.directory, ltp)
        for socket, pascal in entries:
            named = data if pascal else {key[0].lower() + key[1:]: value for key, value in data.items()}
            socket.put(msgspec.json.encode({"Data": named, "Type": "order_alert"}).decode())

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = Socket("order-update", request, self._desk.faults, self.keepalive)
        await socket.open()
        try:
            await self._attend(request, socket)
        finally:
            await socket.end()
        return socket.ws

    async def _attend(self, request: web.Request, socket: Socket) -> None:
        try:
            async with asyncio.timeout(LOGIN_S):
                first = await socket.receive()
        except TimeoutError:
            first = None
        account = self._login(first)
        if not account:
            await socket.goodbye()
            return
        socket.account = account
        entry = (socket, request.query.get("case") == "pascal")
        entries = self._sockets.setdefault(account, [])
        entries.append(entry)
        try:
            while await socket.receive() is not None:
                pass  # nothing is expected after the login
        finally:
            entries.remove(entry)

    def _login(self, message: str | bytes | None) -> str:
        """The account a login names; empty when it is none."""
        try:
            body = json.loads(message or "")
            login = body["LoginReq"]
            if login["MsgCode"] != _LOGIN or body["UserType"] != "SELF":
                return ""
            token, client_id = str(login["Token"]), str(login["ClientId"])
        except (ValueError, TypeError, KeyError):
            return ""
        return admit(token, client_id, self._desk.tokens, self._desk.faults)[0]


def update(order: SimOrder, trade: SimTrade | None, directory: Directory, ltp: float) -> dict[str, object]:
    """``Data`` of a message, keys as documented.

    Args:
        trade: The fill that caused it, if one did.
        ltp: Rupees, for ``RefLtp``.
    """
    last = {"RefLtp": ltp, "CorrelationId": order.new.tag or "NA"}
    return _order(order, trade, directory) | _contract(order.new.listing) | last


def _order(order: SimOrder, trade: SimTrade | None, directory: Directory) -> dict[str, object]:
    """What was asked for and what became of it."""
    new = order.new
    listing = new.listing
    unit = ids.units_per_lot(listing)
    product = shapes.order_product(order)
    exchange, segment = ids.home(listing)
    last = trade.price if trade else order.trades[-1].price if order.trades else 0
    return {
        "Exchange": exchange,
        "Segment": segment,
        "Source": "P",
        "SecurityId": str(directory.id(listing)),
        "ClientId": new.account,
        "ExchOrderNo": order.exchange_order_id or "0",
        "OrderNo": order.order_id,
        "Product": _PRODUCT[product],
        "TxnType": new.side.value[0],
        "OrderType": _ORDER_TYPE[new.type],
        "Validity": new.validity,
        "DiscQuantity": new.disclosed // unit,
        "DiscQtyRem": new.disclosed // unit,
        "RemainingQuantity": order.remaining // unit,
        "Quantity": new.quantity // unit,
        "TradedQty": order.filled // unit,
        "Price": float(new.price),
        "TriggerPrice": float(new.trigger),
        "TradedPrice": float(last),
        "AvgTradedPrice": round(float(order.average), 4),
        "AlgoOrdNo": "",
        "OffMktFlag": "1" if new.extra.get("afterMarketOrder") == "1" else "0",
        "OrderDateTime": shapes.ist_text(order.created_at),
        "ExchOrderTime": shapes.ist_text(order.accepted_at),
        "LastUpdatedTime": shapes.ist_text(order.updated_at),
        "Remarks": "NR",
        "MktType": "NL",
        "ReasonDescription": order.reason or "CONFIRMED",
        "LegNo": 1,
        "Instrument": ids.instrument(listing),
        "Symbol": ids.trading_symbol(listing),
        "ProductName": product,
        "Status": _STATUS[order.status],
    }


def _contract(listing: Listing) -> dict[str, object]:
    """What the instrument is."""
    unit = ids.units_per_lot(listing)
    option = ids.is_option(listing)
    expiry = f"{listing.expiry} 00:00:00" if listing.expiry else shapes.NEVER
    return {
        "LotSize": 1 if unit > 1 else listing.lot_size,
        "StrikePrice": listing.strike_paise / 100 if option else "",
        "ExpiryDate": expiry,
        "OptType": listing.kind.value if option else "XX",
        "DisplayName": ids.display_name(listing),
        "Isin": listing.isin,
        "Series": ids.series(listing),
        "GoodTillDaysDate": shapes.NEVER,
        "TickSize": listing.tick_paise / 100,
        "AlgoId": "0",
        "Multiplier": unit,
    }
