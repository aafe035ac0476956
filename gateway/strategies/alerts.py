"""From an alert to the orders it means. Pure: the strategy, the alert and the time decide.

Source: openalgo-api, section 6, "Strategy webhook logic" and "Chartink".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from brokers.clock import IST
from brokers.errors import InvalidRequest
from brokers.model import Action
from gateway.strategies.model import Mapped, Strategy, TradingMode, time_in_india

ALERT_TIMES = ("alert_time", "timenow", "time", "timestamp", "triggered_at")
"""Fields that say when an alert fired: with one of them, equal bodies are the same alert."""
ID_FIELDS = ("client_order_id", "alert_id")
LARGEST = 10**9
KEYWORDS: tuple[tuple[str, Action, bool], ...] = (
    ("BUY", Action.BUY, False),
    ("SELL", Action.SELL, True),
    ("SHORT", Action.SELL, False),
    ("COVER", Action.BUY, True),
)
"""Word in a Chartink scan's name, side, is it an exit; the first found counts."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One order an alert means: an endpoint of ``/api/v1`` and the body it would be sent."""

    kind: str
    body: Mapping[str, Any]


def of_alert(strategy: Strategy, alert: Mapping[str, Any], now: datetime) -> Wanted:
    """The order of one alert (TradingView, the SDK's ``Strategy``, any platform).

    Raises:
        InvalidRequest: A field is missing or wrong, the symbol is not mapped, or it is not the time for it.
    """
    mapped = _mapped(strategy, _text(alert, "symbol"))
    action = _action(alert)
    size = _size(alert.get("position_size"))
    if strategy.mode is TradingMode.BOTH:
        _check_sign(action, size)
        assert size is not None
        _check_time(strategy, now, is_exit=size == 0)
        return smart_order(strategy, mapped, action, size, mapped.quantity if size else 0)
    entry = Action.BUY if strategy.mode is TradingMode.LONG else Action.SELL
    _check_time(strategy, now, is_exit=action is not entry)
    if action is not entry:
        return smart_order(strategy, mapped, action, 0, 0)
    quantity = mapped.quantity if size is None else abs(size)
    if not quantity:
        raise InvalidRequest("position_size must not be 0 when a position is to be opened")
    return Wanted("placeorder", _body(strategy, mapped, action, quantity))


def of_scan(strategy: Strategy, scan: Mapping[str, Any], now: datetime) -> list[Wanted]:
    """The orders of a Chartink scan: one for each stock that is mapped, in the scan's order, none twice.

    Raises:
        InvalidRequest: No keyword in the scan's name, or it is not the time for it.
    """
    name = _text(scan, "scan_name").upper()
    found = next(((action, is_exit) for word, action, is_exit in KEYWORDS if word in name), None)
    if found is None:
        raise InvalidRequest("scan_name must hold one of BUY, SELL, SHORT, COVER")
    action, is_exit = found
    _check_time(strategy, now, is_exit=is_exit)
    stocks = dict.fromkeys(part.strip().upper() for part in _text(scan, "stocks").split(","))
    mapped = [known for stock in stocks if stock and (known := strategy.mapped(stock)) is not None]
    if is_exit:
        return [smart_order(strategy, one, action, 0, 0) for one in mapped]
    return [Wanted("placeorder", _body(strategy, one, action, one.quantity)) for one in mapped]


def smart_order(strategy: Strategy, mapped: Mapped, action: Action, target: int, quantity: int) -> Wanted:
    body = _body(strategy, mapped, action, quantity) | {"position_size": str(target)}
    return Wanted("placesmartorder", body)


def square_off(strategy: Strategy, mapped: Mapped) -> Wanted:
    """To zero, whatever is held; the side does not count then."""
    return smart_order(strategy, mapped, Action.SELL, 0, 0)


def identity(strategy: Strategy, alert: Mapping[str, Any], header: str | None, now: datetime) -> str | None:
    """What makes a repeated alert the same one; None when nothing in it can tell.

    The ``Idempotency-Key`` header or an id in the body; else, if the body says when the alert fired, the
    whole body on this day (Chartink's ``triggered_at`` has no date). Without any of these, an equal body may
    be a second order that was meant, and counts as one.

    Raises:
        InvalidRequest: The id is empty or longer than 64 characters.
    """
    given = header if header is not None else next((alert[n] for n in ID_FIELDS if n in alert), None)
    if given is not None:
        text = str(given).strip()
        if not 1 <= len(text) <= 64:
            raise InvalidRequest("the id of an alert must have 1 to 64 characters")
        return f"{strategy.id}|id|{text}"
    if not any(alert.get(name) for name in ALERT_TIMES):
        return None
    body = msgspec.json.encode(dict(sorted(alert.items())), order="sorted")
    day = now.astimezone(IST).date().isoformat()
    return f"{strategy.id}|body|{day}|{hashlib.sha256(body).hexdigest()}"


def _body(strategy: Strategy, mapped: Mapped, action: Action, quantity: int) -> dict[str, Any]:
    return {
        "strategy": strategy.name,
        "symbol": mapped.key.symbol,
        "exchange": str(mapped.key.exchange),
        "action": action.value,
        "quantity": str(quantity),
        "pricetype": "MARKET",
        "product": mapped.product.value,
    }


def _text(alert: Mapping[str, Any], name: str) -> str:
    value = alert.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(f"Missing required field: {name}")
    return value


def _mapped(strategy: Strategy, symbol: str) -> Mapped:
    mapped = strategy.mapped(symbol)
    if mapped is None:
        raise InvalidRequest(
            f"No mapping found for symbol {symbol[:64]} in strategy {strategy.name}", code="SYMBOL_NOT_FOUND"
        )
    return mapped


def _action(alert: Mapping[str, Any]) -> Action:
    text = _text(alert, "action").strip().upper()
    if text not in (Action.BUY, Action.SELL):
        raise InvalidRequest("action must be BUY or SELL")
    return Action(text)


def _size(value: Any) -> int | None:
    """A signed whole number; decimals are cut off (TradingView sends them). None when absent."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool):
            raise InvalidOperation
        number = Decimal(str(value))
        if not number.is_finite() or number.copy_abs() > LARGEST:
            raise InvalidOperation
    except InvalidOperation as exc:
        raise InvalidRequest("position_size must be a number") from exc
    return int(number)


def _check_sign(action: Action, size: int | None) -> None:
    if size is None:
        raise InvalidRequest("position_size is required when the trading mode is BOTH")
    if action is Action.BUY and size < 0:
        raise InvalidRequest("position_size must not be negative with action BUY")
    if action is Action.SELL and size > 0:
        raise InvalidRequest("position_size must not be positive with action SELL")


def _check_time(strategy: Strategy, now: datetime, *, is_exit: bool) -> None:
    hours = strategy.hours
    if hours is None:
        return
    last = hours.square_off if is_exit else hours.end
    at = time_in_india(now)
    if hours.start <= at <= last:
        return
    what = "Exits" if is_exit else "Entries"
    raise InvalidRequest(
        f"{what} of {strategy.name} are taken from {hours.start:%H:%M} to {last:%H:%M} IST",
        code="OUTSIDE_HOURS",
    )
