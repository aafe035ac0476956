"""What a client may ask for, and what it gets; the protocol's words themselves are in ``protocol``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from brokers import registry
from brokers.clock import Clock
from brokers.errors import InvalidRequest
from gateway.scopes import ALL
from gateway.scopes import shown as scope_names
from gateway.stream import protocol
from gateway.stream.client import AUTH_TIMEOUT, PAGE, Client, Facts, ServerCounts
from gateway.stream.credentials import KeyCheck, Visitors
from gateway.stream.encode import LABELS
from gateway.stream.fanout import Fanout, Holder
from gateway.stream.hub import Channel
from gateway.stream.orders import OrderChannel

WRONG_KEYS = 5

Action = Callable[[Client, Mapping[str, Any]], Awaitable[protocol.Reply | None]]


class Actions:
    """Carries out requests of authenticated clients, and the authentication itself.

    Args:
        orders: The ``orders`` channel; None where there is no journal to follow.
        visitors: Checks the tickets of this instance's pages; None: keys only.
    """

    def __init__(
        self,
        fanout: Fanout,
        keys: KeyCheck,
        facts: Facts,
        clock: Clock,
        counts: ServerCounts,
        orders: OrderChannel | None,
        visitors: Visitors | None,
    ) -> None:
        self.visitors = visitors
        self._fanout = fanout
        self._keys = keys
        self._facts = facts
        self._clock = clock
        self._counts = counts
        self._orders = orders
        self._actions: dict[str, Action] = {
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

    async def carry_out(
        self, client: Client, action: str, fields: Mapping[str, Any]
    ) -> protocol.Reply | None:
        """The reply, or None where it was sent already.

        Raises:
            InvalidRequest: No key yet, a key without the scope, or a request that cannot be met.
        """
        if client.key_id is None and action not in protocol.NEED_NO_KEY:
            raise InvalidRequest("Authenticate first", code="NOT_AUTHENTICATED")
        _allow(client, action, fields)
        return await self._actions[action](client, fields)

    async def _authenticate(self, client: Client, fields: Mapping[str, Any]) -> protocol.Reply | None:
        text = fields.get("api_key") or fields.get("apikey")
        if not text and self.visitors is not None and isinstance(ticket := fields.get("ticket"), str):
            client.visitor = self.visitors.redeem(ticket)
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
            self._counts.wrong_keys += 1
            reply = protocol.error("AUTHENTICATION_ERROR", "Invalid API key", auth=True)
            if client.wrong_keys < WRONG_KEYS:
                return reply
            await client.reply(fields, reply)
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
        await client.reply(fields, protocol.subscribed(results, broker))
        for channel in joined:
            # the client may have let go, or gone, while the answer was on its way
            if client in channel.holders:
                self._fanout.show_newest(client, channel)
        return None

    async def _unsubscribe(self, client: Client, fields: Mapping[str, Any]) -> protocol.Reply:
        if protocol.channel_of(fields) is not None:
            self.leave_orders(client)
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
        self.leave_orders(client)
        await client.reply(fields, protocol.orders_followed(follower.seq))
        if not client.gone and client.key_id is not None:
            self.leave_orders(client)
            client.follower = follower
            self._orders.begin(follower)

    def leave_orders(self, client: Client) -> None:
        """It follows the ``orders`` channel no more, if it did."""
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


def _allow(client: Client, action: str, fields: Mapping[str, Any]) -> None:
    """Raises ``InvalidRequest`` (SCOPE_MISSING) where the client's key may not have what it asks for."""
    needed = protocol.scope_of(action, fields)
    if needed is not None and needed not in client.scopes:
        has = ", ".join(scope_names(client.scopes)) or "none"
        said = f"This API key has not the scope '{needed.value}'; it has {has}"
        raise InvalidRequest(said, code="SCOPE_MISSING")
