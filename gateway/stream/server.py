"""The WebSocket server of the feed process, and plain HTTP pages on the same port.

Connections come, are watched and go here; what a client may ask is in ``actions``.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from brokers.clock import Clock
from brokers.errors import AlgoError
from gateway.http.gate import shown
from gateway.settings import StreamRules
from gateway.stream import protocol
from gateway.stream.actions import Actions
from gateway.stream.client import AUTH_TIMEOUT, Client, Facts, ServerCounts
from gateway.stream.credentials import KeyCheck, Visitors
from gateway.stream.door import Gate, json_page, text_page
from gateway.stream.fanout import Fanout
from gateway.stream.orders import OrderChannel
from gateway.stream.outbox import Connection, Outbox, Turns

log = logging.getLogger(__name__)

WRITE_LIMIT = (1024 * 1024, 256 * 1024)


@dataclass(frozen=True, slots=True)
class ServerRules:
    """Limits beyond the env's ``StreamRules``; seconds and bytes."""

    stalled_after_s: float = 30.0
    key_check_s: float = 0.4
    max_message_bytes: int = 1024 * 1024
    housekeeping_s: float = 0.25


class StreamServer:
    """Serves one instance's ticks.

    Args:
        gate: Which ``Host`` and ``Origin`` may come in.
        orders: The ``orders`` channel; None where there is no journal to follow.
        visitors: Checks the tickets of this instance's pages; None: keys only.
    """

    def __init__(
        self,
        fanout: Fanout,
        keys: KeyCheck,
        gate: Gate,
        facts: Facts,
        clock: Clock,
        limits: StreamRules,
        rules: ServerRules | None = None,
        *,
        orders: OrderChannel | None = None,
        visitors: Visitors | None = None,
    ) -> None:
        self._fanout = fanout
        self._keys = keys
        self._gate = gate
        self._facts = facts
        self._clock = clock
        self._limits = limits
        self._rules = rules or ServerRules()
        self._server: Server | None = None
        self._turns: Turns | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.clients: set[Client] = set()
        self.counts = ServerCounts()
        self.actions = Actions(fanout, keys, facts, clock, self.counts, orders, visitors)

    async def start(self, sock: socket.socket) -> None:
        """Serve on a bound socket (see ``listening_socket``)."""
        loop = asyncio.get_running_loop()
        self._turns = Turns(loop)
        self._server = await serve(
            self._serve,
            sock=sock,
            create_connection=Connection,
            process_request=self._request,
            # ticks are small and written once for all; deflating would mean once per client
            compression=None,
            server_header=None,
            max_size=self._rules.max_message_bytes,
            write_limit=WRITE_LIMIT,
            ping_interval=self._limits.ping_interval_s,
            ping_timeout=self._limits.ping_timeout_s,
            close_timeout=1.0,
            logger=logging.getLogger("websockets.server"),
        )
        self._spawn(self._housekeeping())

    async def stop(self) -> None:
        """Close every client with 1001 (going away)."""
        for task in list(self._tasks):
            task.cancel()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def send_order(self, reply: protocol.Reply) -> None:
        """One order update to every client that asked for them."""
        frame = protocol.as_frame(reply)
        for client in self.clients:
            if client.wants_orders:
                client.outbox.push_order(frame)

    # one connection ------------------------------------------------------------------------------------

    def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Before the upgrade: who may come in, and the plain pages."""
        refusal = self._gate.refusal(request.headers.get_all("Host"), request.headers.get_all("Origin"))
        if refusal:
            self.counts.refused_upgrades += 1
            # without the query: programs put keys there
            log.warning("refused %s: %s", shown(request.path.partition("?")[0]), refusal)
            return json_page(403, {"status": "error", "message": refusal})
        if "websocket" in request.headers.get("Upgrade", "").lower():
            return None
        page = self._facts.pages.get(request.path.partition("?")[0])
        if page is None:
            known = sorted(self._facts.pages)
            return json_page(404, {"status": "error", "message": f"Not found. WebSocket, or one of {known}"})
        status, body = page()
        return text_page(status, body) if isinstance(body, str) else json_page(status, body)

    async def _serve(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Connection)
        assert self._turns is not None
        client: Client

        def overflow() -> None:
            log.warning("client %s keeps no room for order updates: closed", _peer(connection))
            connection.transport.abort()

        client = Client(
            connection, Outbox(connection, self._turns, most=self._limits.max_queue, overflow=overflow)
        )
        self.clients.add(client)
        self.counts.connections += 1
        loop = asyncio.get_running_loop()
        grace = loop.call_later(self._limits.auth_grace_s, self._grace_over, client)
        try:
            async for message in connection:
                await self._answer(client, message)
        except ConnectionClosed:
            pass
        finally:
            grace.cancel()
            client.gone = True
            self.clients.discard(client)
            self.counts.closed_sent += client.outbox.sent
            self.counts.closed_replaced += client.outbox.replaced
            self._fanout.drop(client)
            self.actions.leave_orders(client)

    def _grace_over(self, client: Client) -> None:
        if client.key_id is None:
            self._spawn(client.connection.close(AUTH_TIMEOUT, "auth timeout"))

    async def _answer(self, client: Client, message: str | bytes) -> None:
        fields: Mapping[str, Any] = {}
        try:
            action, fields = protocol.parse(message)
            reply = await self.actions.carry_out(client, action, fields)
        except AlgoError as exc:
            reply = protocol.error(exc.code, str(exc))
        except ConnectionClosed:
            raise
        except Exception:
            # top of a request: the client gets an id, the log the rest
            error_id = uuid.uuid4().hex[:12]
            log.exception("request failed", extra={"error_id": error_id})
            reply = protocol.error("SERVER_ERROR", f"Internal error {error_id}")
        if reply is not None:
            await client.reply(fields, reply)

    # housekeeping --------------------------------------------------------------------------------------

    async def _housekeeping(self) -> None:
        loop = asyncio.get_running_loop()
        keys_due = 0.0
        while True:
            await asyncio.sleep(self._rules.housekeeping_s)
            self._cut_stalled(loop.time())
            if loop.time() >= keys_due and self.clients:
                keys_due = loop.time() + self._rules.key_check_s
                await self._cut_revoked()

    def _cut_stalled(self, now_s: float) -> None:
        for client in list(self.clients):
            if client.outbox.stalled_s(now_s) >= self._rules.stalled_after_s:
                self.counts.stalled += 1
                log.warning("client %s took no byte for too long: closed", _peer(client.connection))
                # a close frame would wait behind what it does not read
                client.connection.transport.abort()

    async def _cut_revoked(self) -> None:
        await self._cut_signed_out()
        live = await asyncio.to_thread(self._keys.live)
        if live is None:
            return
        for client in list(self.clients):
            if client.key_id is not None and client.visitor is None and client.key_id not in live:
                self._cut(client, "API key revoked")

    async def _cut_signed_out(self) -> None:
        visitors = self.actions.visitors
        if visitors is None or not any(client.visitor for client in self.clients):
            return
        gone = await asyncio.to_thread(visitors.signed_out)
        now_s = self._clock.now().timestamp()
        for client in list(self.clients):
            visitor = client.visitor
            if visitor and (visitor.until <= now_s or (gone is not None and visitor.seat in gone)):
                client.visitor = None
                self._cut(client, "the web session has ended")

    def _cut(self, client: Client, why: str) -> None:
        client.key_id = None
        client.wants_orders = False
        self.actions.leave_orders(client)
        self._fanout.drop(client)
        self.counts.revoked += 1
        self._spawn(client.connection.close(AUTH_TIMEOUT, why))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _peer(connection: ServerConnection) -> str:
    address = connection.remote_address
    return f"{address[0]}:{address[1]}" if address else "unknown"
