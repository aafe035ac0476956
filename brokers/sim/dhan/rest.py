"""Orders, books, positions and funds: ``/v2/orders`` … ``/v2/killswitch``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal

from aiohttp import web

from brokers.clock import IST
from brokers.sim.dhan import ids, policy, shapes
from brokers.sim.dhan.errors import INPUT, Refused
from brokers.sim.dhan.gate import Call, Desk, Gate, answer
from brokers.sim.dhan.limits import Lane
from brokers.sim.dhan.policy import Ask
from brokers.sim.exchange.types import (
    Listing,
    NewOrder,
    SimOrder,
    SimPosition,
    SimTrade,
    Status,
    Type,
)

_MULTI_ZERO = ("fo_margin", "commodity_margin", "currency", "hedge_benefit")


class Rest:
    """The trading half of Dhan's REST."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._exchange = desk.exchange

    def routes(self, gate: Gate) -> Iterator[web.RouteDef]:
        yield gate.route("POST", "/v2/orders", self._place, Lane.ORDER, needs_ip=True)
        yield gate.route("POST", "/v2/orders/slicing", self._slice, Lane.ORDER, needs_ip=True)
        yield gate.route("PUT", "/v2/orders/{order}", self._modify, Lane.ORDER, needs_ip=True)
        yield gate.route("DELETE", "/v2/orders/{order}", self._cancel, Lane.ORDER, needs_ip=True)
        yield gate.route("GET", "/v2/orders", self._orders)
        yield gate.route("GET", "/v2/orders/external/{correlation}", self._by_correlation)
        yield gate.route("GET", "/v2/orders/{order}", self._order)
        yield gate.route("GET", "/v2/trades", self._trades)
        yield gate.route("GET", "/v2/trades/", self._trades)  # the official client's spelling
        yield gate.route("GET", "/v2/trades/{order}", self._order_trades)
        yield gate.route("GET", "/v2/trades/{start}/{end}/{page}", self._history)
        yield gate.route("GET", "/v2/holdings", self._holdings)
        yield gate.route("GET", "/v2/positions", self._positions)
        yield gate.route("POST", "/v2/positions/convert", self._convert)
        yield gate.route("DELETE", "/v2/positions", self._exit_all, Lane.ORDER)
        yield gate.route("GET", "/v2/fundlimit", self._funds)
        yield gate.route("POST", "/v2/margincalculator", self._margin)
        yield gate.route("POST", "/v2/margincalculator/multi", self._margin_multi)
        yield gate.route("POST", "/v2/killswitch", self._kill)
        yield gate.route("GET", "/v2/killswitch", self._kill_status)

    # ---- orders

    async def _place(self, call: Call) -> web.Response:
        ask, listing = self._ask(call)
        quantity = ask.terms.quantity * ids.units_per_lot(listing)
        return answer(_placed(self._submit(call.account, ask, listing, quantity)))

    async def _slice(self, call: Call) -> web.Response:
        """Above the freeze quantity: one order per slice, all with the same correlation id."""
        ask, listing = self._ask(call)
        rest = ask.terms.quantity * ids.units_per_lot(listing)
        most = rest
        if listing.freeze_qty:
            most = max(listing.freeze_qty // listing.lot_size * listing.lot_size, listing.lot_size)
        placed = []
        while rest > 0:
            placed.append(_placed(self._submit(call.account, ask, listing, min(rest, most))))
            rest -= most
        return answer(placed)

    def _ask(self, call: Call) -> tuple[Ask, Listing]:
        ask = policy.read_order(call.body, call.account)
        if call.account in self._desk.killed:
            raise Refused("DH-906", "Kill switch is active for the day")
        listing = self._listing(ask.segment, ask.security_id)
        policy.check_product(ask.product, listing)
        return ask, listing

    def _submit(self, account: str, ask: Ask, listing: Listing, quantity: int) -> SimOrder:
        sent = policy.protect(ask.terms, ask.side, self._exchange.snapshot(listing))
        extra = {"productType": ask.product, "orderType": ask.terms.order_type}
        if ask.after_market:
            extra["afterMarketOrder"] = "1"
        new = NewOrder(
            account=account,
            listing=listing,
            side=ask.side,
            type=sent.type,
            product=policy.PRODUCTS[ask.product],
            quantity=quantity,
            price=sent.price,
            trigger=sent.trigger,
            disclosed=ask.terms.disclosed * ids.units_per_lot(listing),
            validity=ask.terms.validity,
            tag=ask.correlation_id,
            extra=extra,
        )
        return self._exchange.submit(new)

    async def _modify(self, call: Call) -> web.Response:
        order = self._own(call.account, call.request.match_info["order"])
        if call.body.get("dhanClientId") != call.account:
            raise Refused("DH-905", INPUT)
        if call.body.get("orderId") not in (None, order.order_id):
            raise Refused("DH-905", INPUT)
        terms = policy.read_terms(call.body)
        if order.modifications >= policy.MODIFICATIONS:
            raise Refused("DH-906", "Maximum number of modifications reached for this order")
        listing = order.new.listing
        sent = policy.protect(terms, order.new.side, self._exchange.snapshot(listing))
        unit = ids.units_per_lot(listing)
        self._exchange.modify(
            call.account,
            order.order_id,
            type=sent.type,
            quantity=terms.quantity * unit,
            price=sent.price,
            trigger=sent.trigger,
            disclosed=terms.disclosed * unit,
        )
        return answer({"orderId": order.order_id, "orderStatus": "TRANSIT"})

    async def _cancel(self, call: Call) -> web.Response:
        order = self._own(call.account, call.request.match_info["order"])
        self._exchange.cancel(call.account, order.order_id)
        return answer({"orderId": order.order_id, "orderStatus": "CANCELLED"}, status=202)

    def _own(self, account: str, order_id: str) -> SimOrder:
        order = self._exchange.account(account).orders.get(order_id)
        if order is None:
            raise Refused("DH-906", "Order not found")
        return order

    # ---- books

    async def _orders(self, call: Call) -> web.Response:
        orders = self._exchange.account(call.account).orders.values()
        return answer([shapes.order_row(order, self._desk.directory) for order in orders])

    async def _order(self, call: Call) -> web.Response:
        """An array of one, as recorded; an unknown id is an empty array."""
        order = self._exchange.account(call.account).orders.get(call.request.match_info["order"])
        return answer([] if order is None else [shapes.order_row(order, self._desk.directory)])

    async def _by_correlation(self, call: Call) -> web.Response:
        """The newest order with that correlation id; Dhan takes the same one twice."""
        wanted = call.request.match_info["correlation"]
        orders = self._exchange.account(call.account).orders.values()
        for order in reversed(list(orders)):
            if order.new.tag == wanted:
                return answer(shapes.order_row(order, self._desk.directory))
        raise Refused("DH-906", "No order found for the correlation id", http=404)

    async def _trades(self, call: Call) -> web.Response:
        return answer(self._trade_rows(call.account, self._exchange.account(call.account).trades))

    async def _order_trades(self, call: Call) -> web.Response:
        wanted = call.request.match_info["order"]
        trades = [t for t in self._exchange.account(call.account).trades if t.order_id == wanted]
        return answer(self._trade_rows(call.account, trades))

    async def _history(self, call: Call) -> web.Response:
        """Only what the exchange still has; everything on page 0, the next page is empty."""
        start, end = (_day(call.request.match_info[name]) for name in ("start", "end"))
        if call.request.match_info["page"] != "0":
            return answer([])
        trades = [
            trade
            for trade in self._exchange.account(call.account).trades
            if start <= trade.at.astimezone(IST).date() <= end
        ]
        charges = dict.fromkeys(
            (
                "sebiTax",
                "stt",
                "brokerageCharges",
                "serviceTax",
                "exchangeTransactionCharges",
                "stampDuty",
            ),
            0.0,
        )
        return answer(
            [
                {
                    **row,
                    "isin": trade.listing.isin,
                    "instrument": ids.instrument(trade.listing),
                    **charges,
                    "createTime": "NA",
                    "updateTime": "NA",
                }
                for row, trade in zip(self._trade_rows(call.account, trades), trades, strict=True)
            ]
        )

    def _trade_rows(self, account: str, trades: list[SimTrade]) -> list[shapes.Row]:
        orders = self._exchange.account(account).orders
        return [shapes.trade_row(trade, orders[trade.order_id], self._desk.directory) for trade in trades]

    # ---- portfolio and funds

    async def _holdings(self, call: Call) -> web.Response:
        holdings = self._exchange.account(call.account).holdings()
        if not holdings:
            raise Refused("DH-1111", "No holdings available")
        return answer([shapes.holding_row(h, self._desk.directory, self._ltp(h.listing)) for h in holdings])

    async def _positions(self, call: Call) -> web.Response:
        positions = self._exchange.account(call.account).positions()
        return answer([self._position_row(call.account, position) for position in positions])

    def _position_row(self, account: str, position: SimPosition) -> shapes.Row:
        return shapes.position_row(position, account, self._desk.directory, self._ltp(position.listing))

    async def _convert(self, call: Call) -> web.Response:
        """Refused after the checks: the simulated exchange does not move a position between products."""
        for field in ("fromProductType", "toProductType"):
            if call.body.get(field) not in policy.PRODUCTS:
                raise Refused("DH-905", INPUT)
        raise Refused("DH-906", "Position cannot be converted")

    async def _exit_all(self, call: Call) -> web.Response:
        self._exchange.square_off(call.account)
        return answer(
            {"status": "SUCCESS", "message": "All orders and positions exited successfully"}, status=200
        )

    async def _funds(self, call: Call) -> web.Response:
        return answer(shapes.fund_row(call.account, self._exchange.account(call.account).funds()))

    async def _margin(self, call: Call) -> web.Response:
        required, value = self._required(call.account, call.body)
        return answer(shapes.margin_row(required, self._available(call.account), value))

    async def _margin_multi(self, call: Call) -> web.Response:
        """Both published spellings of the list are taken."""
        scripts = call.body.get("scripList", call.body.get("scripts"))
        if not isinstance(scripts, list) or not scripts:
            raise Refused("DH-905", INPUT)
        total = Decimal(0)
        for script in scripts:
            if not isinstance(script, dict):
                raise Refused("DH-905", INPUT)
            total += self._required(call.account, script)[0]
        text = f"{total:.2f}"
        body = {"total_margin": text, "span_margin": "0.00", "exposure_margin": "0.00", "equity_margin": text}
        return answer({**body, **dict.fromkeys(_MULTI_ZERO, "0.00")})

    def _required(self, account: str, body: Mapping[str, object]) -> tuple[Decimal, Decimal]:
        """Margin and value in rupees of one order described by a body without an order type."""
        filled = {
            "orderType": "LIMIT",
            "validity": "DAY",
            **body,
            "dhanClientId": account,
            "correlationId": None,
            "afterMarketOrder": None,
        }
        ask = policy.read_order(filled, account)
        listing = self._listing(ask.segment, ask.security_id)
        policy.check_product(ask.product, listing)
        new = NewOrder(
            account=account,
            listing=listing,
            side=ask.side,
            type=Type.LIMIT,
            product=policy.PRODUCTS[ask.product],
            quantity=ask.terms.quantity * ids.units_per_lot(listing),
            price=ask.terms.price,
        )
        return self._exchange.margin_required(new), new.price * new.quantity

    def _available(self, account: str) -> Decimal:
        funds = self._exchange.account(account).funds()
        return funds.available + funds.collateral

    # ---- kill switch

    async def _kill(self, call: Call) -> web.Response:
        wanted = call.request.query.get("killSwitchStatus")
        if wanted == "ACTIVATE":
            account = self._exchange.account(call.account)
            busy = any(not order.status.is_final for order in account.orders.values())
            if busy or any(position.net for position in account.positions()):
                raise Refused("DH-906", "Close all positions and pending orders first")
            self._desk.killed.add(call.account)
            done = "activated"
        elif wanted == "DEACTIVATE":
            self._desk.killed.discard(call.account)
            done = "deactivated"
        else:
            raise Refused("DH-905", INPUT)
        text = f"Kill Switch has been successfully {done}"
        return answer({"dhanClientId": call.account, "killSwitchStatus": text})

    async def _kill_status(self, call: Call) -> web.Response:
        status = "ACTIVATE" if call.account in self._desk.killed else "DEACTIVATE"
        return answer({"dhanClientId": call.account, "killSwitchStatus": status})

    # ---- helpers

    def _listing(self, segment: str, security_id: int) -> Listing:
        listing = self._desk.directory.find(segment, security_id)
        if listing is None:
            raise Refused("DH-905", "Invalid SecurityId")
        if not listing.tradable:
            raise Refused("DH-905", "Instrument is not tradable")
        return listing

    def _ltp(self, listing: Listing) -> int:
        return self._exchange.snapshot(listing).ltp_paise


def _placed(order: SimOrder) -> shapes.Row:
    """TRANSIT first, always: the answer is older than the exchange's."""
    return {"orderId": order.order_id, "orderStatus": shapes.STATUS[Status.TRANSIT]}


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused("DH-905", INPUT) from None
