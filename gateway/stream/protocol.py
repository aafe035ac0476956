"""OpenAlgo's WebSocket messages: text -> request, facts -> reply. Pure.

Source: openalgo-api section 4; input aliases of section 8 row 21.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from brokers.errors import InvalidRequest
from brokers.model import Exchange, Mode, Order, OrderStatus, OrderUpdate
from gateway.scopes import Scope
from gateway.stream.encode import LABELS, text_frame
from gateway.stream.topics import DEPTH_LEVELS, pin, split_levels

if TYPE_CHECKING:
    # the database's module; whoever only speaks the protocol need not load it
    from gateway.store.orderlog import OrderEvent

_decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode
_MODES = {
    **{m.name: m for m in Mode},
    **{str(int(m)): m for m in Mode},
}
ACTIONS = frozenset(
    {
        "authenticate",
        "subscribe",
        "unsubscribe",
        "unsubscribe_all",
        "subscribe_orders",
        "unsubscribe_orders",
        "get_broker_info",
        "get_supported_brokers",
        "get_subscriptions",
        "ping",
    }
)
ORDERS = "orders"
"""The one channel that is not a market-data subscription."""
NEED_NO_KEY = frozenset({"authenticate", "ping", "get_supported_brokers"})
Reply = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """One instrument of a subscribe or unsubscribe, as the caller spelled it."""

    exchange: str
    symbol: str
    mode: Mode


def parse(message: str | bytes) -> tuple[str, Mapping[str, Any]]:
    """One message -> (action, its fields).

    Raises:
        InvalidRequest: Code ``INVALID_JSON`` or ``INVALID_ACTION``.
    """
    if not isinstance(message, str):
        raise InvalidRequest("Send JSON as text, not as a binary message", code="INVALID_JSON")
    try:
        fields = _decode(message)
    # msgspec answers nesting beyond its limit with RecursionError
    except (msgspec.MsgspecError, RecursionError, ValueError) as exc:
        raise InvalidRequest("Invalid JSON message", code="INVALID_JSON") from exc
    if not isinstance(fields, dict):
        raise InvalidRequest("Send a JSON object", code="INVALID_JSON")
    action = fields.get("action") or fields.get("type")
    if action == "auth":
        action = "authenticate"
    if not isinstance(action, str) or action not in ACTIONS:
        raise InvalidRequest(f"Invalid action: {str(action)[:40]}", code="INVALID_ACTION")
    return action, fields


def mode_of(value: object) -> Mode:
    """1-3 or a label in any case.

    Raises:
        InvalidRequest: Code ``INVALID_MODE``.
    """
    found = _MODES.get(str(value).upper())
    if found is None:
        raise InvalidRequest(
            f"Invalid mode: {str(value)[:40]}. Use 1 (LTP), 2 (Quote) or 3 (Depth)", code="INVALID_MODE"
        )
    return found


def items(fields: Mapping[str, Any]) -> list[Item]:
    """The instruments of a subscribe or unsubscribe.

    From ``symbols`` (or ``instruments``), or ``symbol`` + ``exchange``.

    Raises:
        InvalidRequest: Code ``INVALID_PARAMETERS`` or ``INVALID_MODE``; nothing of the message is done.
    """
    mode = mode_of(fields.get("mode", Mode.QUOTE.name))
    levels = _levels(fields)
    listed = fields.get("symbols", fields.get("instruments"))
    if listed is None and "symbol" in fields:
        listed = [{"symbol": fields["symbol"], "exchange": fields.get("exchange")}]
    elif listed is None and (token := fields.get("exchange_token", fields.get("token"))) is not None:
        listed = [{"token": token, "exchange": fields.get("exchange")}]
    if not isinstance(listed, list) or not listed:
        raise InvalidRequest("Give symbols, or symbol and exchange", code="INVALID_PARAMETERS")
    return [_item(entry, mode, levels) for entry in listed]


def _levels(fields: Mapping[str, Any]) -> int:
    """Levels of a depth subscription (``depth``, or its alias ``depth_level``); 5 unless more is asked.

    Raises:
        InvalidRequest: Code ``INVALID_PARAMETERS``.
    """
    value = fields.get("depth", fields.get("depth_level", DEPTH_LEVELS))
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 999:
        raise InvalidRequest("depth is the number of levels: 5, 20, 50 or 200", code="INVALID_PARAMETERS")
    return value


def _item(entry: object, mode: Mode, levels: int) -> Item:
    if isinstance(entry, str):
        key = pin(entry)
        return Item(key.exchange, key.symbol, mode)
    if isinstance(entry, dict):
        exchange, symbol = entry.get("exchange"), entry.get("symbol")
        if symbol is None:
            # the SDK's own spelling of "by broker token"
            token = entry.get("exchange_token", entry.get("token"))
            symbol = str(token) if isinstance(token, int) and not isinstance(token, bool) else token
        if isinstance(exchange, str) and isinstance(symbol, str) and exchange.strip() and symbol.strip():
            own = entry.get("mode")
            mode = mode if own is None else mode_of(own)
            levels = _levels(entry) if "depth" in entry or "depth_level" in entry else levels
            symbol = symbol.strip()
            if mode is Mode.DEPTH and levels > DEPTH_LEVELS and split_levels(symbol)[1] is None:
                symbol = f"{symbol}:{levels}"
            return Item(exchange.strip().upper(), symbol, mode)
    raise InvalidRequest(
        "Each instrument needs a symbol and an exchange; exchanges: " + ", ".join(Exchange),
        code="INVALID_PARAMETERS",
    )


def scope_of(action: str, fields: Mapping[str, Any]) -> Scope | None:
    """What a key must be allowed for this; None: every key may. What takes nothing needs nothing.

    Raises:
        InvalidRequest: Code ``INVALID_PARAMETERS``, for a channel nobody knows.
    """
    if action == "subscribe_orders":
        return Scope.READ
    if action != "subscribe":
        return None
    return Scope.DATA if channel_of(fields) is None else Scope.READ


def channel_of(fields: Mapping[str, Any]) -> str | None:
    """``orders``, or None for market data.

    Raises:
        InvalidRequest: Code ``INVALID_PARAMETERS``.
    """
    channel = fields.get("channel")
    if channel is None or channel == ORDERS:
        return channel
    raise InvalidRequest(
        f"Unknown channel: {str(channel)[:40]}. Known: {ORDERS}; market data needs no channel",
        code="INVALID_PARAMETERS",
    )


def from_seq(fields: Mapping[str, Any]) -> int | None:
    """First number wanted of the ``orders`` channel; None: only what comes from now on.

    Raises:
        InvalidRequest: Code ``INVALID_PARAMETERS``.
    """
    value = fields.get("from_seq")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**63:
        raise InvalidRequest("from_seq is the first number wanted, 1 or more", code="INVALID_PARAMETERS")
    return value


def error(code: str, message: str, *, auth: bool = False) -> Reply:
    """``type`` only for authentication failures, so that the SDK shows the reason (section 8 row 24)."""
    head = {"type": "auth"} if auth else {}
    return {**head, "status": "error", "code": code, "message": message}


def authenticated(broker: str, user: str) -> Reply:
    return {
        "type": "auth",
        "status": "success",
        "message": "Authentication successful",
        "broker": broker,
        "user_id": user,
        "supported_features": {"ltp": True, "quote": True, "depth": True},
    }


def item_ok(
    exchange: str,
    symbol: str,
    mode: Mode,
    broker: str,
    state: str,
    *,
    depth: int = DEPTH_LEVELS,
    why: str = "",
) -> Reply:
    """One accepted instrument.

    ``depth`` is the number of levels really served, ``why`` goes with a state that is neither live nor
    pending.
    """
    more = {"message": why} if why else {}
    return {
        "symbol": symbol,
        "exchange": exchange,
        "status": "success",
        "mode": LABELS[mode],
        "depth": depth,
        "broker": broker,
        "state": state,
        **more,
    }


def item_failed(item: Item, message: str, broker: str) -> Reply:
    return {
        "symbol": item.symbol,
        "exchange": item.exchange,
        "status": "error",
        "message": message,
        "broker": broker,
    }


def subscribed(results: Sequence[Reply], broker: str) -> Reply:
    failed = any(r["status"] == "error" for r in results)
    return {
        "type": "subscribe",
        "status": "partial" if failed else "success",
        "subscriptions": list(results),
        "message": "Subscription processing complete",
        "broker": broker,
    }


def unsubscribed(successful: Sequence[Reply], failed: Sequence[Reply], broker: str) -> Reply:
    status = "success" if not failed else "partial" if successful else "error"
    return {
        "type": "unsubscribe",
        "status": status,
        "message": "Unsubscription processing complete",
        "successful": list(successful),
        "failed": list(failed),
        "broker": broker,
    }


def pong(fields: Mapping[str, Any], now_ms: int) -> Reply:
    reply: Reply = {"type": "pong", "status": "success", "server_timestamp": now_ms}
    if "timestamp" in fields:
        reply["client_timestamp"] = fields["timestamp"]
    if "_pingId" in fields:
        reply["_pingId"] = fields["_pingId"]
    return reply


def order_update(update: OrderUpdate, *, broker: str, user: str) -> Reply:
    """Section 4, "Order updates": what ``subscribe_orders`` and the ZeroMQ order topic carry."""
    return {"type": "order_update", **_order(update.order, broker, user)}


def order_event(event: OrderEvent, *, broker: str, user: str) -> Reply:
    """One message of the ``orders`` channel: OpenAlgo's order update and where it stands in the journal.

    ``event`` is the journal's word for what happened (``intent``, ``acknowledged``, ``update``,
    ``reconciled``, ``cancel`` …); terms and order id are those known when the message is made.
    """
    reply = {
        "type": "order_update",
        "channel": ORDERS,
        "seq": event.seq,
        "event": event.kind,
        "timestamp": event.at_ns // 1_000_000,
        "journal_id": event.journal_id,
        "client_order_id": event.client_order_id,
        "strategy": event.strategy,
        **_order(event.order, broker, user),
    }
    price = event.detail.get("trade_price")
    if price is not None:
        reply["trade_price"] = float(price)
    return reply


def orders_followed(seq: int) -> Reply:
    """``seq``: the number before the first one that will come."""
    return {
        "type": "subscribe",
        "channel": ORDERS,
        "status": "success",
        "seq": seq,
        "message": "Subscribed to the orders channel",
    }


def orders_left() -> Reply:
    return {
        "type": "unsubscribe",
        "channel": ORDERS,
        "status": "success",
        "message": "Unsubscribed from the orders channel",
    }


def _order(order: Order, broker: str, user: str) -> Reply:
    """Prices leave as numbers; nothing is computed with them after this."""
    pending = 0 if order.status.is_final else max(0, order.quantity - order.filled_quantity)
    return {
        "user_id": user,
        "mode": "live",
        "broker": broker,
        "orderid": order.order_id,
        "symbol": order.key.symbol,
        "exchange": order.key.exchange,
        "action": order.action.value,
        "quantity": order.quantity,
        "price": float(order.price),
        "trigger_price": float(order.trigger_price),
        "pricetype": order.price_type.value,
        "product": order.product,
        "order_status": order.status.value,
        "filled_quantity": order.filled_quantity,
        "pending_quantity": pending,
        "average_price": float(order.average_price),
        "rejection_reason": order.rejection_reason if order.status is OrderStatus.REJECTED else "",
    }


def as_frame(reply: Reply) -> bytes:
    """A reply as a whole WebSocket text frame, for the outbox."""
    return text_frame(encode(reply))
