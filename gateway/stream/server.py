"""The WebSocket server of the feed process, and three plain HTTP pages on the same port."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from brokers import registry
from brokers.clock import Clock
from brokers.errors import AlgoError, InvalidRequest
from gateway.http.gate import shown
from gateway.scopes import ALL, Scope
from gateway.scopes import shown as scope_names
from gateway.settings import StreamRules
from gateway.stream import protocol
from gateway.stream.credentials import KeyCheck, Visitors
from gateway.stream.door import Gate, json_page, text_page
from gateway.stream.encode import LABELS
from gateway.stream.fanout import Fanout, Holder
from gateway.stream.hub import Around, Channel
from gateway.stream.orders import Follower, OrderChannel
from gateway.stream.outbox import Connection, Outbox, Turns
from gateway.tickets import Visitor

log = logging.getLogger(__name__)

AUTH_TIMEOUT = 4401
WRONG_KEYS = 5
PAGE = 0
"""In place of a key's id: one of the instance's own pages."""
WRITE_LIMIT = (1024 * 1024, 256 * 1024)


@dataclass(frozen=True, slots=True)
class ServerRules:
    """Limits beyond the env's ``StreamRules``; seconds and bytes."""

    stalled_after_s: float = 30.0
    key_check_s: float = 0.4
    max_message_bytes: int = 1024 * 1024
    housekeeping_s: float = 0.25


@dataclass(slots=True)
class ServerCounts:
    """Since the start of the process."""

    connections: int = 0
    stalled: int = 0
    revoked: int = 0
    refused_upgrades: int = 0
    wrong_keys: int = 0
    closed_sent: int = 0
    closed_replaced: int = 0


class Client:
    """One WebSocket connection; a consumer of the hub."""

    listens = True

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self.connection = connection
        self.outbox = outbox
        self.key_id: int | None = None
        self.scopes: frozenset[Scope] = ALL
        self.visitor: Visitor | None = None
        self.wrong_keys = 0
        self.wants_orders = False
        self.follower: Follower | None = None
        self.gone = False

    def push(self, channel: Channel[Holder], frame: bytes) -> None:
        self.outbox.push(channel, frame)

    def refused(self, channel: Channel[Holder], reason: str) -> None:
        name = channel.name
        item = protocol.Item(name.exchange, name.symbol, name.mode)
        broker = channel.broker
        reply = protocol.subscribed([protocol.item_failed(item, reason, broker)], broker)
        self.outbox.push_order(protocol.as_frame(reply))


Page = Callable[[], tuple[int, Mapping[str, Any] | str]]
"""One plain HTTP page: its status, and JSON or text."""


def _around() -> Around:
    """A market that never closes and a feed that is always up: for a server without either."""
    return Around(time.monotonic(), time.time_ns(), "", bool)


@dataclass(slots=True)
class Facts:
    """What replies need to know about the instance. ``adapter_status`` and ``around`` (what a
    subscription's state depends on) are asked anew each time.
    """

    broker: str
    user: str
    adapter_status: Callable[[], str]
    around: Callable[[], Around] = _around
    pages: Mapping[str, Page] = field(default_factory=dict)


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
        self._visitors = visitors
        self._fanout = fanout
        self._orders = orders
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
        self._actions: dict[str, Callable[[Client, Mapping[str, Any]], Awaitable[protocol.Reply | None]]] = {
            "authenticate": self._authenticate,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "unsubscribe_all": self._unsubscribe_all,
            "subscribe_orders": self._orders_on,
            "unsubscribe_orders": self._orders_off,
            "get_broker_info": self._broker_info,
            "get_supported_brokers": self._supported_brokers,
            "get_subscriptions": self._subscriptions,
            "ping": self._ping,
        }

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
            self._leave_orders(client)

    def _grace_over(self, client: Client) -> None:
        if client.key_id is None:
            self._spawn(client.connection.close(AUTH_TIMEOUT, "auth timeout"))

    async def _answer(self, client: Client, message: str | bytes) -> None:
        fields: Mapping[str, Any] = {}
        try:
            action, fields = protocol.parse(message)
            if client.key_id is None and action not in protocol.NEED_NO_KEY:
                raise InvalidRequest("Authenticate first", code="NOT_AUTHENTICATED")
            _allow(client, action, fields)
            reply = await self._actions[action](client, fields)
        except AlgoError as exc:
            reply = protocol.error(exc.code, str(exc))
        except ConnectionClosed:
            raise
        except Exception:
            error_id = uuid.uuid4().hex[:12]
            log.exception("request failed", extra={"error_id": error_id})
            reply = protocol.error("SERVER_ERROR", f"Internal error {error_id}")
        if reply is not None:
            await self._reply(client, fields, reply)

    async def _reply(self, client: Client, fields: Mapping[str, Any], reply: protocol.Reply) -> None:
        if "request_id" in fields:
            reply["request_id"] = fields["request_id"]
        # what came before the question stands before the answer
        client.outbox.flush()
        await client.connection.send(protocol.encode(reply).decode())

    # actions -------------------------------------------------------------------------------------------

    async def _authenticate(self, client: Client, fields: Mapping[str, Any]) -> protocol.Reply | None:
        text = fields.get("api_key") or fields.get("apikey")
        if not text and self._visitors is not None and isinstance(ticket := fields.get("ticket"), str):
            client.visitor = self._visitors.redeem(ticket)
            if client.visitor is not None:
                client.key_id, client.scopes = PAGE, ALL
                return protocol.authenticated(self._facts.broker, self._facts.user)
            text = "no key"
        if not isinstance(text, str) or not text:
            return protocol.error("AUTHENTICATION_ERROR", "API key is required", auth=True)
        # the longest key anybody was ever issued is far below this
        grant = await asyncio.to_thread(self._keys.verify, text) if len(text) <= 256 else None
        if grant is None:
            client.wrong_keys += 1
            self.counts.wrong_keys += 1
            reply = protocol.error("AUTHENTICATION_ERROR", "Invalid API key", auth=True)
            if client.wrong_keys < WRONG_KEYS:
                return reply
            await self._reply(client, fields, reply)
            await client.connection.close(AUTH_TIMEOUT, "too many wrong keys")
            return None
        client.key_id, client.scopes = grant.id, grant.scopes
        return protocol.authenticated(self._facts.broker, self._facts.user)

    async def _subscribe(self, client: Client, fields: Mapping[str, Any]) -> protocol.Reply | None:
        if protocol.channel_of(fields) is not None:
            await self._follow_orders(client, fields)
            return None
        items = protocol.items(fields)
        outcomes = await self._fanout.subscribe(client, items, still=lambda: not client.gone)
        broker, results, joined = self._facts.broker, [], []
        around = self._facts.around()
        for outcome in outcomes:
            channel = outcome.channel
            if channel is None:
                results.append(protocol.item_failed(outcome.item, outcome.error, broker))
                continue
            name = channel.name
            state, why = channel.status(around)
            results.append(
                protocol.item_ok(
                    name.exchange,
                    name.symbol,
                    name.mode,
                    broker,
                    state.value,
                    depth=channel.depth_served(),
                    why=why or channel.entry.too_deep,
                )
            )
            if outcome.new:
                joined.append(channel)
        await self._reply(client, fields, protocol.subscribed(results, broker))
        for channel in joined:
            # the client may have let go, or gone, while the answer was on its way
            if client in channel.holders:
                self._fanout.show_newest(client, channel)
        return None

    async def _unsubscribe(self, client: Client, fields: Mapping[str, Any]) -> protocol.Reply:
        if protocol.channel_of(fields) is not None:
            self._leave_orders(client)
            return protocol.orders_left()
        outcomes = await self._fanout.unsubscribe(client, protocol.items(fields))
        broker, done, failed = self._facts.broker, [], []
        for outcome in outcomes:
            if outcome.channel is None:
                failed.append(protocol.item_failed(outcome.item, outcome.error, broker))
            else:
                done.append(self._let_go(client, outcome.channel))
        return protocol.unsubscribed(done, failed, broker)

    async def _unsubscribe_all(self, client: Client, fields: Mapping[str, Any]) -> protocol.Reply:
        done = [self._let_go(client, channel) for channel in self._fanout.drop(client)]
        return protocol.unsubscribed(done, [], self._facts.broker)

    def _let_go(self, client: Client, channel: Channel[Holder]) -> protocol.Reply:
        client.outbox.forget(channel)
        name = channel.name
        return {
            "symbol": name.symbol,
            "exchange": name.exchange,
            "status": "success",
            "mode": LABELS[name.mode],
            "broker": self._facts.broker,
        }

    async def _follow_orders(self, client: Client, fields: Mapping[str, Any]) -> None:
        """Replay from ``from_seq``, then live; a second subscription starts anew from where it says."""
        if self._orders is None:
            raise InvalidRequest("There is no order journal here", code="INVALID_PARAMETERS")
        follower = await self._orders.follow(client.outbox, protocol.from_seq(fields))
        self._leave_orders(client)
        await self._reply(client, fields, protocol.orders_followed(follower.seq))
        if not client.gone and client.key_id is not None:
            self._leave_orders(client)
            client.follower = follower
            self._orders.begin(follower)

    def _leave_orders(self, client: Client) -> None:
        if client.follower is not None and self._orders is not None:
            self._orders.stop(client.follower)
            client.follower = None

    async def _orders_on(self, client: Client, fields: Mapping[str, Any]) -> protocol.Reply:
        client.wants_orders = True
        return {"type": "subscribe_orders", "status": "success", "message": "Subscribed to order updates"}

    async def _orders_off(self, client: Client, fields: Mapping[str, Any]) -> protocol.Reply:
        client.wants_orders = False
        return {
            "type": "unsubscribe_orders",
            "status": "success",
            "message": "Unsubscribed from order updates",
        }

    async def _broker_info(self, client: Client, fields: Mapping[str, Any]) -> protocol.Reply:
        return {
            "type": "broker_info",
            "status": "success",
            "broker": self._facts.broker,
            "adapter_status": self._facts.adapter_status(),
            "user_id": self._facts.user,
        }

    async def _supported_brokers(self, client: Client, fields: Mapping[str, Any]) -> protocol.Reply:
        brokers = registry.names()
        return {"type": "supported_brokers", "status": "success", "brokers": brokers, "count": len(brokers)}

    async def _subscriptions(self, client: Client, fields: Mapping[str, Any]) -> protocol.Reply:
        around = self._facts.around()
        held = [
            {
                "symbol": c.name.symbol,
                "exchange": c.name.exchange,
                "mode": LABELS[c.name.mode],
                "state": state.value,
                "seq": c.seq,
                "depth": c.depth_served(),
                "message": why,
            }
            for c in self._fanout.hub.held(client)
            for state, why in (c.status(around),)
        ]
        return {"type": "subscriptions", "status": "success", "subscriptions": held, "count": len(held)}

    async def _ping(self, client: Client, fields: Mapping[str, Any]) -> protocol.Reply:
        return protocol.pong(fields, self._clock.time_ns() // 1_000_000)

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
        if self._visitors is None or not any(client.visitor for client in self.clients):
            return
        gone = await asyncio.to_thread(self._visitors.signed_out)
        now_s = self._clock.now().timestamp()
        for client in list(self.clients):
            visitor = client.visitor
            if visitor and (visitor.until <= now_s or (gone is not None and visitor.seat in gone)):
                client.visitor = None
                self._cut(client, "the web session has ended")

    def _cut(self, client: Client, why: str) -> None:
        client.key_id = None
        client.wants_orders = False
        self._leave_orders(client)
        self._fanout.drop(client)
        self.counts.revoked += 1
        self._spawn(client.connection.close(AUTH_TIMEOUT, why))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _allow(client: Client, action: str, fields: Mapping[str, Any]) -> None:
    """Raises ``InvalidRequest`` (SCOPE_MISSING) where the client's key may not have what it asks for."""
    needed = protocol.scope_of(action, fields)
    if needed is not None and needed not in client.scopes:
        has = ", ".join(scope_names(client.scopes)) or "none"
        said = f"This API key has not the scope '{needed.value}'; it has {has}"
        raise InvalidRequest(said, code="SCOPE_MISSING")


def _peer(connection: ServerConnection) -> str:
    address = connection.remote_address
    return f"{address[0]}:{address[1]}" if address else "unknown"
