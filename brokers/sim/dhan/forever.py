"""Forever orders: ``/v2/forever/orders``. The venue keeps them, watches the price and sends their orders.

A leg fires on the side of the last price it was placed on. Of an OCO the lower trigger is the stop. Nobody
publishes what a fired one's order carries: here it has the forever order's correlation id.

Source: Dhan API v2, "Forever Order"; statuses as OpenAlgo reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import msgspec
from aiohttp import web

from brokers.clock import IST
from brokers.sim.dhan import ids, policy, shapes
from brokers.sim.dhan.errors import INPUT, Refused
from brokers.sim.dhan.gate import Call, Desk, Gate, answer
from brokers.sim.dhan.limits import Lane
from brokers.sim.dhan.policy import Ask, Terms
from brokers.sim.exchange.types import Listing, NewOrder, Refusal, SimOrder, Snapshot

ARMED, FIRED, CANCELLED, REJECTED = "CONFIRM", "TRADED", "CANCELLED", "REJECTED"
NOTE = "dhan forever orders"
_TYPES = ("LIMIT", "MARKET")


@dataclass(slots=True)
class Leg:
    """One trigger. ``rises``: it waits for a higher price."""

    name: str
    terms: Terms
    rises: bool
    status: str = ARMED
    reason: str = ""
    updated_at: datetime | None = None


@dataclass(slots=True)
class Forever:
    """One forever order."""

    order_id: str
    account: str
    listing: Listing
    ask: Ask
    created_at: datetime
    legs: list[Leg] = field(default_factory=list)

    @property
    def flag(self) -> str:
        return "SINGLE" if len(self.legs) == 1 else "OCO"

    @property
    def is_armed(self) -> bool:
        return any(leg.status == ARMED for leg in self.legs)


class ForeverOrders:
    """Serves the endpoints and triggers what the market reaches."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._exchange = desk.exchange
        self._all: dict[str, Forever] = {}
        self._restore()

    def routes(self, gate: Gate) -> Iterator[web.RouteDef]:
        path = "/v2/forever/orders"
        yield gate.route("POST", path, self._place, Lane.ORDER, needs_ip=True)
        yield gate.route("GET", path, self._list)
        yield gate.route("PUT", f"{path}/{{order}}", self._modify, Lane.ORDER, needs_ip=True)
        yield gate.route("DELETE", f"{path}/{{order}}", self._cancel, Lane.ORDER, needs_ip=True)

    def on_market(self, snapshots: list[Snapshot]) -> None:
        """What moved may have reached a trigger."""
        # by name: a new day has new listings
        armed: dict[tuple[str, str], list[Forever]] = {}
        for one in self._all.values():
            if one.is_armed:
                armed.setdefault((one.listing.exchange, one.listing.symbol), []).append(one)
        for snapshot in snapshots:
            for one in armed.get((snapshot.listing.exchange, snapshot.listing.symbol), ()):
                self._look(one, snapshot)

    async def _place(self, call: Call) -> web.Response:
        ask = policy.read_order(call.body, call.account)
        _terms(call.body)
        if call.account in self._desk.killed:
            raise Refused("DH-906", "Kill switch is active for the day")
        listing = self._desk.directory.find(ask.segment, ask.security_id)
        if listing is None or not listing.tradable:
            raise Refused("DH-905", "Invalid SecurityId")
        policy.check_product(ask.product, listing)
        legs = [("ENTRY_LEG", ask.terms)]
        if call.body.get("orderFlag") == "OCO":
            legs = [("STOP_LOSS_LEG", ask.terms), ("TARGET_LEG", _second(call.body))]
        elif call.body.get("orderFlag") != "SINGLE":
            raise Refused("DH-905", INPUT)
        now = self._desk.clock.now()
        day = f"5{now.astimezone(IST):%y%m%d}"
        number = max((int(i.removeprefix(day)) for i in self._all if i.startswith(day)), default=0) + 1
        order_id = f"{day}{number:06d}"
        one = Forever(order_id, call.account, listing, ask, now)
        one.legs = [Leg(name, terms, self._rises(one, terms)) for name, terms in legs]
        if len(one.legs) > 1 and [leg.rises for leg in one.legs] != [False, True]:
            raise Refused("DH-906", "Trigger prices must be on both sides of the last traded price")
        self._all[order_id] = one
        self._exchange.watch(listing)
        self._save()
        return answer({"orderId": order_id, "orderStatus": "PENDING"})

    async def _list(self, call: Call) -> web.Response:
        mine = [one for one in self._all.values() if one.account == call.account]
        return answer([self._row(one, leg) for one in mine for leg in one.legs])

    async def _modify(self, call: Call) -> web.Response:
        one = self._own(call)
        if call.body.get("dhanClientId") != call.account or call.body.get("orderFlag") != one.flag:
            raise Refused("DH-905", INPUT)
        leg = next((leg for leg in one.legs if leg.name == call.body.get("legName")), None)
        if leg is None:
            raise Refused("DH-905", INPUT)
        terms = _terms(call.body)
        rises = self._rises(one, terms)
        if len(one.legs) > 1 and rises != leg.rises:
            raise Refused("DH-906", "Trigger price is on the wrong side of the last traded price")
        leg.terms, leg.rises, leg.updated_at = terms, rises, self._desk.clock.now()
        self._save()
        return answer({"orderId": one.order_id, "orderStatus": "PENDING"})

    async def _cancel(self, call: Call) -> web.Response:
        one = self._own(call)
        self._end(one)
        return answer({"orderId": one.order_id, "orderStatus": CANCELLED}, status=202)

    def _own(self, call: Call) -> Forever:
        one = self._all.get(call.request.match_info["order"])
        if one is None or one.account != call.account:
            raise Refused("DH-906", "Forever order not found")
        if not one.is_armed:
            raise Refused("DH-906", "Forever order is not active")
        return one

    def _rises(self, one: Forever, terms: Terms) -> bool:
        """Which way a leg waits. Raises ``Refused`` when the price is there already, or off the tick."""
        if terms.trigger <= 0:
            raise Refused("DH-905", "Trigger price is required for this order type")
        for price in (terms.trigger, terms.price):
            if price * 100 % one.listing.tick_paise:
                raise Refused("DH-905", "Price is not a multiple of the tick size")
        if terms.quantity * ids.units_per_lot(one.listing) % one.listing.lot_size:
            raise Refused("DH-905", "Quantity is not a multiple of the lot size")
        last = Decimal(self._exchange.snapshot(one.listing).ltp_paise) / 100
        if terms.trigger == last:
            raise Refused("DH-906", "Trigger price is equal to the last traded price")
        return terms.trigger > last

    def _look(self, one: Forever, snapshot: Snapshot) -> None:
        now = self._desk.clock.now()
        if not self._exchange.hours.is_open(one.listing.exchange, now):
            return
        last = Decimal(snapshot.ltp_paise) / 100
        for leg in one.legs:
            reached = last >= leg.terms.trigger if leg.rises else last <= leg.terms.trigger
            if leg.status == ARMED and reached:
                self._fire(one, leg, snapshot)
                self._end(one)
                return

    def _fire(self, one: Forever, leg: Leg, snapshot: Snapshot) -> None:
        leg.updated_at = self._desk.clock.now()
        try:
            self._submit(one, leg, snapshot)
            leg.status = FIRED
        except (Refusal, Refused) as refused:
            leg.status, leg.reason = REJECTED, refused.text

    def _submit(self, one: Forever, leg: Leg, snapshot: Snapshot) -> SimOrder:
        sent = policy.protect(leg.terms, one.ask.side, snapshot)
        unit = ids.units_per_lot(one.listing)
        return self._exchange.submit(
            NewOrder(
                account=one.account,
                listing=one.listing,
                side=one.ask.side,
                type=sent.type,
                product=policy.PRODUCTS[one.ask.product],
                quantity=leg.terms.quantity * unit,
                price=sent.price,
                trigger=sent.trigger,
                disclosed=leg.terms.disclosed * unit,
                validity=leg.terms.validity,
                tag=one.ask.correlation_id,
                extra={"productType": one.ask.product, "orderType": leg.terms.order_type},
            )
        )

    def _end(self, one: Forever) -> None:
        """Whatever is still armed is cancelled; the price is not needed any more."""
        for leg in one.legs:
            if leg.status == ARMED:
                leg.status, leg.updated_at = CANCELLED, self._desk.clock.now()
        self._exchange.unwatch(one.listing)
        self._save()

    def _save(self) -> None:
        if self._exchange.journal is not None:
            self._exchange.journal.keep(NOTE, msgspec.json.encode(list(self._all.values())))

    def _restore(self) -> None:
        """A broker forgets no order because its process died; contracts that expired meanwhile are gone."""
        kept = self._exchange.journal.kept(NOTE) if self._exchange.journal is not None else None
        for one in msgspec.json.decode(kept, type=list[Forever]) if kept else ():
            listing = self._exchange.universe.find(one.listing.exchange, one.listing.symbol)
            if listing is None:
                continue
            one.listing = listing
            self._all[one.order_id] = one
            if one.is_armed:
                self._exchange.watch(listing)

    def _row(self, one: Forever, leg: Leg) -> shapes.Row:
        return {
            "dhanClientId": one.account,
            "orderId": one.order_id,
            "correlationId": one.ask.correlation_id or "NA",
            "orderStatus": leg.status,
            "transactionType": one.ask.side.value,
            "exchangeSegment": one.ask.segment,
            "productType": one.ask.product,
            "orderType": one.flag,
            "tradingSymbol": ids.trading_symbol(one.listing),
            "securityId": str(self._desk.directory.id(one.listing)),
            "quantity": leg.terms.quantity,
            "price": float(leg.terms.price),
            "triggerPrice": float(leg.terms.trigger),
            "legName": leg.name,
            "createTime": shapes.ist_text(one.created_at),
            "updateTime": shapes.ist_text(leg.updated_at or one.created_at),
            "exchangeTime": shapes.NEVER,
            **shapes.contract(one.listing),
            "omsErrorDescription": leg.reason,
        }


def _terms(body: Mapping[str, object]) -> Terms:
    """Raises ``Refused`` (DH-905): forever orders are LIMIT or MARKET."""
    if body.get("orderType") not in _TYPES:
        raise Refused("DH-905", INPUT)
    return policy.read_terms(body)


def _second(body: Mapping[str, object]) -> Terms:
    """The target: the same order at ``price1``, ``triggerPrice1``, ``quantity1``."""
    pair = {name: body.get(f"{name}1") for name in ("price", "triggerPrice", "quantity")}
    return _terms({**body, **pair})
