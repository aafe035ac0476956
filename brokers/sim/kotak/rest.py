"""Orders, books, portfolio and funds over REST, in every path family from one table.

Source: Kotak Neo clients v1, v2.0.0, v2.0.2 and ``kotakneoapi`` 3.0.9 (paths, jData keys).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from aiohttp import web

from brokers.sim.exchange.types import (
    Kind,
    Listing,
    NewOrder,
    Refusal,
    RefusalCode,
    Side,
    SimOrder,
    SimPosition,
    Type,
)
from brokers.sim.kotak import answers, policy, shapes
from brokers.sim.kotak.house import (
    ORDERS_PER_SECOND,
    OTHERS_PER_SECOND,
    House,
    answering,
    jdata,
)
from brokers.sim.kotak.master import instrument_type
from brokers.sim.kotak.names import TRADED, segment
from brokers.sim.kotak.sessions import Grant
from brokers.sim.kotak.shapes import Row

_APIM = "apim/orders/2.0/"
_V1 = "Orders/2.0/"


def _family(path: str, apim: str = _APIM) -> tuple[str, ...]:
    return path, f"{apim}{path}", f"{_V1}{path}"


PATHS: dict[tuple[str, str], tuple[str, ...]] = {
    ("POST", "place"): _family("quick/order/rule/ms/place"),
    ("POST", "modify"): _family("quick/order/vr/modify"),
    ("POST", "cancel"): _family("quick/order/cancel"),
    ("POST", "withdrawn"): (*_family("quick/order/co/exit"), *_family("quick/order/bo/exit")),
    ("GET", "orders"): _family("quick/user/orders"),
    ("GET", "order"): _family("quick/user/orders/{order_id}"),
    ("POST", "history"): _family("quick/order/history", "apim/order/2.0/"),  # singular, as v2.0.0 has it
    ("GET", "trades"): _family("quick/user/trades"),
    ("GET", "positions"): _family("quick/user/positions"),
    ("GET", "positions_with_price"): ("portfolio/v2/positions",),
    ("GET", "holdings"): (
        "portfolio/v1/holdings",
        "apim/portfolio/2.0/portfolio/v1/holdings",
        "Portfolio/1.0/portfolio/v1/holdings",
    ),
    ("POST", "limits"): _family("quick/user/limits"),
    ("POST", "margin"): _family("quick/user/check-margin"),
}
"""(method, handler) -> current, v2.0.0 and v1 path."""


class Rest:
    """Handlers of calls that need a trade session."""

    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> Iterable[web.RouteDef]:
        for (method, name), paths in PATHS.items():
            handler = answering(getattr(self, name))
            for path in paths:
                yield web.route(method, f"/{path}", handler)

    def _orders_lane(self, request: web.Request) -> Grant:
        """Session, address and rate of place, modify and cancel, which share one window."""
        grant = self._house.trader(request)
        self._house.limiter.take(("place, modify, cancel", grant.account), ORDERS_PER_SECOND)
        if self._house.faults.ip_refused(grant.account):
            raise answers.ip_mismatch()
        return grant

    def _reads_lane(self, request: web.Request, name: str) -> Grant:
        grant = self._house.trader(request, margin=name == "margin")
        self._house.limiter.take((name, grant.account), OTHERS_PER_SECOND)
        return grant

    async def place(self, request: web.Request) -> web.Response:
        grant = self._orders_lane(request)
        placing = policy.read_place(await jdata(request))
        if placing.segment not in TRADED:
            raise answers.invalid_body(f"es '{placing.segment}' is not allowed")
        listing = self._house.directory.by_symbol(placing.segment, placing.symbol)
        if listing is None:
            raise answers.invalid_instrument()
        terms = self._protected(placing.terms, listing, placing.side)
        order = self._house.exchange.submit(
            NewOrder(
                account=grant.account,
                listing=listing,
                side=placing.side,
                type=terms.type,
                product=placing.product,
                quantity=terms.quantity,
                price=terms.price,
                trigger=terms.trigger,
                disclosed=terms.disclosed,
                validity=terms.validity,
                tag=placing.tag,
                extra={"os": placing.source, **({"protected": "Y"} if terms.is_market else {})},
            )
        )
        return web.json_response(shapes.placed(order.order_id))

    def _protected(self, terms: policy.Terms, listing: Listing, side: Side) -> policy.Terms:
        """A market order as the limit order it becomes."""
        if not terms.is_market:
            return terms
        limit = policy.protected_limit(self._house.exchange.snapshot(listing), side)
        return replace(terms, type=Type.LIMIT, price=limit)

    async def modify(self, request: web.Request) -> web.Response:
        grant = self._orders_lane(request)
        body = await jdata(request)
        order = self._working(grant, policy.order_number(body, "no"))
        listing = order.new.listing
        terms = policy.read_terms(body, segment=segment(listing), validity_key="vd")
        terms = self._protected(terms, listing, order.new.side)
        try:
            changed = self._house.exchange.modify(
                grant.account,
                order.order_id,
                type=terms.type,
                quantity=terms.quantity,
                price=terms.price,
                trigger=terms.trigger,
                disclosed=terms.disclosed,
                tag=policy.rewritten_tag(order.tag),
            )
        except Refusal as refused:
            raise self._late(refused, order) from refused
        return web.json_response(shapes.placed(changed.order_id))

    async def cancel(self, request: web.Request) -> web.Response:
        grant = self._orders_lane(request)
        order = self._working(grant, policy.order_number(await jdata(request), "on"))
        try:
            cancelled = self._house.exchange.cancel(grant.account, order.order_id)
        except Refusal as refused:
            raise self._late(refused, order) from refused
        return web.json_response(shapes.placed(cancelled.order_id))

    def _working(self, grant: Grant, order_id: str) -> SimOrder:
        order = self._house.exchange.account(grant.account).orders.get(order_id)
        if order is None:
            raise answers.bad_order_number()
        if order.status.is_final:
            raise policy.finished(order.status)
        return order

    @staticmethod
    def _late(refused: Refusal, order: SimOrder) -> Exception:
        """A refusal whose shape depends on where the order has got to."""
        return policy.finished(order.status) if refused.code is RefusalCode.FINAL else refused

    async def withdrawn(self, request: web.Request) -> web.Response:
        self._orders_lane(request)
        raise answers.not_ok(1007, "cover and bracket orders are withdrawn")

    async def orders(self, request: web.Request) -> web.Response:
        grant = self._reads_lane(request, "orders")
        orders = list(self._house.exchange.account(grant.account).orders.values())
        if not orders:
            raise answers.no_data()
        return web.json_response(shapes.book([self._house.ledger.row(o) for o in reversed(orders)]))

    async def order(self, request: web.Request) -> web.Response:
        grant = self._reads_lane(request, "orders")
        order = self._house.exchange.account(grant.account).orders.get(request.match_info["order_id"])
        if order is None:
            raise answers.no_data()
        return web.json_response(shapes.book([self._house.ledger.row(order)]))

    async def history(self, request: web.Request) -> web.Response:
        grant = self._reads_lane(request, "history")
        order_id = policy.order_number(await jdata(request), "nOrdNo")
        order = self._house.exchange.account(grant.account).orders.get(order_id)
        if order is None:
            raise answers.no_data()
        return web.json_response(shapes.book(self._house.ledger.history(order)))

    async def trades(self, request: web.Request) -> web.Response:
        grant = self._reads_lane(request, "trades")
        account = self._house.exchange.account(grant.account)
        rows: list[Row] = []
        for trade in reversed(account.trades):
            order = account.orders.get(trade.order_id)
            ns = int(trade.at.timestamp()) * 1_000_000_000 + trade.at.microsecond * 1000
            rows.append(shapes.trade_row(trade, order, received_ns=ns))
        if not rows:
            raise answers.no_data()
        return web.json_response(shapes.lower_book(rows))

    def _positions(self, grant: Grant) -> list[tuple[SimPosition, Row]]:
        house, at = self._house, self._house.clock.now()
        found = house.exchange.account(grant.account).positions()
        if not found:
            raise answers.no_data()
        rows = []
        for position in found:
            kind = instrument_type(position.listing, house.exchange.universe)
            rows.append(
                (position, shapes.position_row(position, kind, at=at, received_ns=house.clock.time_ns()))
            )
        return rows

    async def positions(self, request: web.Request) -> web.Response:
        rows = self._positions(self._reads_lane(request, "positions"))
        return web.json_response(shapes.lower_book([row for _, row in rows]))

    async def positions_with_price(self, request: web.Request) -> web.Response:
        """The newer path: the same rows with ``ltp``."""
        rows = self._positions(self._reads_lane(request, "positions"))
        priced = []
        for position, row in rows:
            last = Decimal(self._house.exchange.snapshot(position.listing).ltp_paise) / 100
            priced.append(row | {"ltp": shapes.price(position.listing, last)})
        return web.json_response(shapes.lower_book(priced))

    async def holdings(self, request: web.Request) -> web.Response:
        grant = self._reads_lane(request, "holdings")
        rows = []
        for holding in self._house.exchange.account(grant.account).holdings():
            market = self._house.exchange.snapshot(holding.listing)
            rows.append(shapes.holding_row(holding, market.ltp_paise, market.prev_close_paise))
        return web.json_response({"data": rows})

    async def limits(self, request: web.Request) -> web.Response:
        grant = self._reads_lane(request, "limits")
        body = await jdata(request)
        allowed = {
            "seg": ("ALL", "CASH", "CUR", "FO"),
            "exch": ("ALL", "NSE", "BSE"),
            "prod": ("ALL", "CNC", "MIS", "NRML"),
        }
        for key, values in allowed.items():
            if body.get(key, "ALL") not in values:
                raise answers.invalid_body(f"{key} must be one of {', '.join(values)}")
        funds = self._house.exchange.account(grant.account).funds()
        return web.json_response(shapes.limits(funds, grant.account, self._house.clock.now()))

    async def margin(self, request: web.Request) -> web.Response:
        grant = self._reads_lane(request, "margin")
        body = await jdata(request)
        listing = self._house.directory.by_token(str(body.get("exSeg")), str(body.get("tok")))
        if listing is None or listing.kind is Kind.INDEX:
            raise answers.invalid_instrument()
        placing = policy.read_place(
            {
                "es": body.get("exSeg"),
                "ts": str(body.get("tok")),
                "tt": body.get("trnsTp"),
                "pc": body.get("prod"),
                "pt": body.get("prcTp"),
                "pr": body.get("prc"),
                "qt": body.get("qty"),
                "tp": body.get("trgPrc"),
            }
        )
        terms = self._protected(placing.terms, listing, placing.side)
        order = NewOrder(
            account=grant.account,
            listing=listing,
            side=placing.side,
            type=terms.type,
            product=placing.product,
            quantity=terms.quantity,
            price=terms.price,
            trigger=terms.trigger,
        )
        needed = self._house.exchange.margin_required(order)
        funds = self._house.exchange.account(grant.account).funds()
        return web.json_response(shapes.margin(needed, funds))
