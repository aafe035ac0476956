"""Forever orders: Dhan's GTT. Bodies and rows are pure functions, ``DhanForever`` sends and reads.

SINGLE has one leg (``ENTRY_LEG``). OCO has the stop in ``price``/``triggerPrice`` and the target in
``price1``/``triggerPrice1``; its list has one row per leg under one order id. Dhan's page names the first
pair the target, daily use by OpenAlgo the stop: here the lower trigger is the stop, whatever a row says.

Source: Dhan API v2, "Forever Order"; OpenAlgo's Dhan adapter for what the page leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote as url_quote

from brokers.contract import BrokerContext, InstrumentLookup, SessionSource
from brokers.dhan.calls import Calls, json_of
from brokers.dhan.mapping import orders, words
from brokers.errors import WireError
from brokers.model import (
    Action,
    Gtt,
    GttLeg,
    GttPlacement,
    GttRequest,
    GttState,
    Instrument,
    PriceType,
)
from brokers.transport import Transport

PATH = "/forever/orders"
ENTRY, STOP, TARGET = "ENTRY_LEG", "STOP_LOSS_LEG", "TARGET_LEG"
_STATES = {
    "CONFIRM": GttState.ACTIVE,
    "PENDING": GttState.ACTIVE,
    "TRANSIT": GttState.ACTIVE,
    "TRADED": GttState.TRIGGERED,
    "TRIGGERED": GttState.TRIGGERED,
    "PART_TRADED": GttState.TRIGGERED,
    "CANCELLED": GttState.CANCELLED,
    "EXPIRED": GttState.EXPIRED,
    "REJECTED": GttState.REJECTED,
}
# of the legs of an OCO the one that fired tells the whole; then an armed one
_LOUDEST = (
    GttState.TRIGGERED,
    GttState.ACTIVE,
    GttState.UNKNOWN,
    GttState.REJECTED,
    GttState.EXPIRED,
    GttState.CANCELLED,
)
_PRICE_TYPES = {"LIMIT": PriceType.LIMIT, "MARKET": PriceType.MARKET}


class DhanForever:
    """Implements ``contract.GttRest``."""

    def __init__(self, context: BrokerContext, session: SessionSource, transport: Transport) -> None:
        self._calls = Calls(context, session, transport)
        self._lookup = context.instruments

    def place_gtt(self, gtt: GttRequest, instrument: Instrument, tag: str) -> GttPlacement:
        body = place_body(self._calls.account, gtt, instrument, tag)
        reply, data = self._calls.write("POST", PATH, body)
        return GttPlacement(words.field(data, "orderId"), reply.sent_ns, reply.received_ns)

    def modify_gtt(self, trigger_id: str, gtt: GttRequest, leg: int, instrument: Instrument) -> None:
        body = modify_body(self._calls.account, trigger_id, gtt, leg)
        self._calls.write("PUT", f"{PATH}/{url_quote(trigger_id, safe='')}", body)

    def cancel_gtt(self, trigger_id: str) -> None:
        self._calls.write("DELETE", f"{PATH}/{url_quote(trigger_id, safe='')}", None)

    def gtts(self) -> list[Gtt]:
        reply = self._calls.get(PATH)
        data = json_of(reply)
        if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
            raise WireError("expected a list of forever orders", reply.body[:500])
        return gtts(data, self._lookup)


def place_body(client_id: str, gtt: GttRequest, instrument: Instrument, tag: str) -> dict[str, Any]:
    """JSON of ``POST /forever/orders``. Unused keys are left out: Dhan refuses empty ones (DH-905)."""
    first = gtt.legs[0]
    body: dict[str, Any] = {
        "dhanClientId": client_id,
        "correlationId": orders.correlation_id(tag),
        "orderFlag": _flag(gtt),
        "transactionType": gtt.action.value,
        "exchangeSegment": instrument.broker_exchange,
        "productType": words.PRODUCT_WORD[gtt.product],
        "orderType": gtt.price_type.value,
        "validity": "DAY",
        "securityId": instrument.token,
        "quantity": gtt.quantity,
        "price": _price(gtt, 0),
        "triggerPrice": float(first.trigger_price),
    }
    if len(gtt.legs) > 1:
        body["price1"] = _price(gtt, 1)
        body["triggerPrice1"] = float(gtt.legs[1].trigger_price)
        body["quantity1"] = gtt.quantity
    return body


def modify_body(client_id: str, trigger_id: str, gtt: GttRequest, leg: int) -> dict[str, Any]:
    """JSON of ``PUT /forever/orders/{id}`` for one leg."""
    name = ENTRY if len(gtt.legs) == 1 else (STOP, TARGET)[leg]
    return {
        "dhanClientId": client_id,
        "orderId": trigger_id,
        "orderFlag": _flag(gtt),
        "orderType": gtt.price_type.value,
        "legName": name,
        "quantity": gtt.quantity,
        "price": _price(gtt, leg),
        "disclosedQuantity": 0,
        "triggerPrice": float(gtt.legs[leg].trigger_price),
        "validity": "DAY",
    }


def _flag(gtt: GttRequest) -> str:
    return "SINGLE" if len(gtt.legs) == 1 else "OCO"


def _price(gtt: GttRequest, leg: int) -> float:
    return 0.0 if gtt.price_type is PriceType.MARKET else float(gtt.legs[leg].price)


def gtts(rows: Sequence[Mapping[str, Any]], lookup: InstrumentLookup) -> list[Gtt]:
    """Rows of the list, those of one order id together, in the order of their first row.

    Raises:
        WireError: A row without an id or a side.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        order_id = words.field(row, "orderId")
        if not order_id:
            raise WireError("forever order without orderId")
        groups.setdefault(order_id, []).append(row)
    return [_gtt(order_id, group, lookup) for order_id, group in groups.items()]


def _gtt(order_id: str, rows: Sequence[Mapping[str, Any]], lookup: InstrumentLookup) -> Gtt:
    rows = sorted(rows, key=lambda row: words.money(row.get("triggerPrice")))
    first = rows[0]
    states = {state(row.get("orderStatus")) for row in rows}
    found = next(one for one in _LOUDEST if one in states)
    loudest = next(row for row in rows if state(row.get("orderStatus")) is found)
    side = words.field(first, "transactionType").upper()
    if side not in Action.__members__:
        raise WireError(f"unknown side {side!r} of a forever order")
    return Gtt(
        trigger_id=order_id,
        key=words.WORDS.key(first, words.ROW_PLACE, lookup),
        action=Action[side],
        quantity=words.count(first.get("quantity")),
        # ``orderType`` of a row holds SINGLE or OCO; a row that says LIMIT or MARKET is believed
        price_type=_PRICE_TYPES.get(words.field(first, "orderType").upper()),
        product=words.product_of(first.get("productType")),
        legs=tuple(
            GttLeg(words.money(row.get("triggerPrice")), words.money(row.get("price")), rises=number > 0)
            for number, row in enumerate(rows)
        ),
        state=found,
        tag=words.field(first, "correlationId"),
        raw_status=words.field(loudest, "orderStatus"),
        reason=words.field(loudest, "omsErrorDescription") if found is GttState.REJECTED else "",
        placed_at=words.time_of(first.get("createTime")),
        updated_at=words.time_of(loudest.get("updateTime")),
    )


def state(word: object) -> GttState:
    """Dhan's status word; ``unknown`` for one nobody has listed: never guessed."""
    return _STATES.get(words.text(word).upper(), GttState.UNKNOWN)
