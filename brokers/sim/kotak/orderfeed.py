"""The order feed at ``/realtime``: text frames, one per station of every order of the account.

Source: Kotak Neo clients v1, v2 and ``kotakneoapi`` 3.0.9 (connect text, ack); reported refusals and frames.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from aiohttp import WSMsgType, web

from brokers.sim.kotak import shapes
from brokers.sim.kotak.house import House
from brokers.sim.kotak.names import trading_symbol
from brokers.sim.kotak.policy import Word
from brokers.sim.kotak.sessions import TokenRefused
from brokers.sim.kotak.shapes import Row
from brokers.sim.kotak.sockets import Socket, Sockets, is_websocket

AUTHENTICATION_FAILED = "Authentication Failed"
FORMAT_INCORRECT = "session message format incorrect"


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def ack() -> str:
    return compact({"ak": "ok", "type": "cn", "task": "cn", "msg": "connected"})


def refusal(text: str) -> str:
    return compact({"ak": "nk", "type": "cn", "task": "cn", "msg": text})


def frame(kind: str, data: Row) -> str:
    """``kind`` is ``order`` or ``position``."""
    return compact({"type": kind, "data": data})


def parse(text: str) -> tuple[str, dict[str, str]]:
    """Read a client text: its form (``json`` or ``stripped``) and its fields; empty when it is neither.

    Stripped text is JSON with every quote and blank removed; a token holds no comma and no colon.
    """
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if isinstance(body, dict):
        return "json", {str(k): str(v) for k, v in body.items()}
    if not (text.startswith("{") and text.endswith("}")):
        return "stripped", {}
    pairs = (pair.partition(":") for pair in text[1:-1].split(","))
    return "stripped", {key: value for key, colon, value in pairs if colon}


class OrderFeed:
    """Every order-feed connection."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.sockets = Sockets("order_updates", house.faults)
        self._readers: dict[str, list[Socket]] = {}
        house.ledger.listen(self.on_order)

    def routes(self) -> Iterable[web.RouteDef]:
        yield web.get("/realtime", self.handle, allow_head=False)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One connection: connect text, ack, the account's present orders, then every change."""
        if not is_websocket(request):
            return web.Response(status=426, text="This is a WebSocket endpoint.")
        async with self.sockets.accept(request) as (ws, socket):
            account: str | None = None
            try:
                async for message in ws:
                    if message.type is WSMsgType.TEXT and account is None:
                        account = await self._connect(socket, message.data)
            finally:
                if account is not None:
                    self._readers[account].remove(socket)
        return ws

    async def _connect(self, socket: Socket, text: str) -> str | None:
        """Answer a connect text; the account when it was accepted. Heartbeats are not answered."""
        form, fields = parse(text)
        if fields.get("type") == "hb":
            return None
        wanted = self._house.knobs.order_feed_connect
        complete = fields.get("type") == "cn" and {"Authorization", "Sid", "src"} <= fields.keys()
        if not complete or wanted not in ("both", form):
            socket.send(refusal(FORMAT_INCORRECT))
            return None
        sessions = self._house.sessions
        try:
            grant = sessions.check(fields["Authorization"], fields["Sid"])
        except TokenRefused:
            grant = None
        if grant is None or self._house.faults.token_expired(grant.account):
            await socket.send_and_close(refusal(AUTHENTICATION_FAILED))
            return None
        socket.still_good = lambda: sessions.alive(grant)
        socket.send(ack())
        for order in self._house.exchange.account(grant.account).orders.values():
            socket.send(frame("order", self._house.ledger.current(order)))
        self._readers.setdefault(grant.account, []).append(socket)
        return grant.account

    def on_order(self, account: str, row: Row) -> None:
        """Push one station to every connection of the account; a fill also moves a position."""
        readers = self._readers.get(account, ())
        if not readers:
            return
        frames = [frame("order", row)]
        if row["fldQty"] and row["ordSt"] in (Word.OPEN.value, Word.COMPLETE.value) and float(row["avgPrc"]):
            frames += self._position(account, row)
        for socket in readers:
            for text in frames:
                socket.send(text)

    def _position(self, account: str, row: Row) -> list[str]:
        at = self._house.clock.now()
        return [
            frame("position", shapes.position_feed_row(position, account, at=at))
            for position in self._house.exchange.account(account).positions()
            if trading_symbol(position.listing) == row["trdSym"] and position.product == row["prod"]
        ]
