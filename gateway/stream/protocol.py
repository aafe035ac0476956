"""OpenAlgo's WebSocket messages: text -> request, facts -> reply. Pure.

Source: openalgo-api section 4; input aliases of section 8 row 21.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from brokers.errors import InvalidRequest
from brokers.model import Exchange, Mode, OrderStatus, OrderUpdate
from gateway.stream.encode import LABELS, text_frame
from gateway.stream.topics import DEPTH_LEVELS, pin

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
    """The instruments of a subscribe or unsubscribe: ``symbols`` (or ``instruments``), or ``symbol``
    + ``exchange``.

    Raises:
        InvalidRequest: Code ``INVALID_PARAMETERS`` or ``INVALID_MODE``; nothing of the message is done.
    """
    mode = mode_of(fields.get("mode", Mode.QUOTE.name))
    listed = fields.get("symbols", fields.get("instruments"))
    if listed is None and "symbol" in fields:
        listed = [{"symbol": fields["symbol"], "exchange": fields.get("exchange")}]
    if not isinstance(listed, list) or not listed:
        raise InvalidRequest("Give symbols, or symbol and exchange", code="INVALID_PARAMETERS")
    return [_item(entry, mode) for entry in listed]


def _item(entry: object, mode: Mode) -> Item:
    if isinstance(entry, str):
        key = pin(entry)
        return Item(key.exchange, key.symbol, mode)
    if isinstance(entry, dict):
        exchange, symbol = entry.get("exchange"), entry.get("symbol")
        if isinstance(exchange, str) and isinstance(symbol, str) and exchange.strip() and symbol.strip():
            own = entry.get("mode")
            return Item(exchange.strip().upper(), symbol.strip(), mode if own is None else mode_of(own))
    raise InvalidRequest(
        "Each instrument needs a symbol and an exchange; exchanges: " + ", ".join(Exchange),
        code="INVALID_PARAMETERS",
    )


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


def item_ok(exchange: str, symbol: str, mode: Mode, broker: str, state: str) -> Reply:
    """One accepted instrument. ``depth`` is the number of levels really served."""
    return {
        "symbol": symbol,
        "exchange": exchange,
        "status": "success",
        "mode": LABELS[mode],
        "depth": DEPTH_LEVELS,
        "broker": broker,
        "state": state,
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
    """Section 4, "Order updates". Prices leave as numbers; nothing is computed with them after this."""
    order = update.order
    pending = 0 if order.status.is_final else max(0, order.quantity - order.filled_quantity)
    return {
        "type": "order_update",
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
