"""Chart trading and the option chain: the pages, and the strikes their pickers ask for.

What their scripts do with an order is in ``static/lib/hand.js``; candles come from ``/api/v1/history``,
chains from ``/api/v1/optionchain``, both under the web session.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, request
from marshmallow import Schema, fields, validate

from brokers.errors import InvalidRequest
from gateway.api import reply
from gateway.store.users import User
from gateway.web import contracts, watchlists
from gateway.web.shell import Web, show, signed_in

TIMINGS = "/web/api/timings"
"""Where the browser's own times go (``gateway.latency``). A page sends them only where it is there: a browser
writes every refused request on its console."""
CASH_PRODUCTS, DERIVATIVE_PRODUCTS = ("MIS", "CNC"), ("MIS", "NRML")


class Ladder(Schema):
    """Whose strikes are asked for; ``expiry`` is DDMMMYY, the next one when empty."""

    underlying = fields.String(required=True, validate=validate.Length(min=1, max=64))
    exchange = fields.String(load_default="", validate=validate.Length(max=20))
    expiry = fields.String(load_default="", validate=validate.Length(max=12))


def add_routes(pages: Blueprint, web: Web) -> None:
    @pages.get("/scalping")
    def scalping() -> Response:
        def view(user: User) -> Response:
            words = request.args
            found = contracts.chosen(web.now(), words)
            if found == contracts.Chosen():
                found = _usual(web, user)
            first = {
                "state": web.live.state(),
                "books": web.live.books(),
                "chosen": found.row(),
                "underlyings": contracts.underlyings(web.parts),
                "products": {"cash": CASH_PRODUCTS, "derivative": DERIVATIVE_PRODUCTS},
                "timings": any(rule.rule == TIMINGS for rule in current_app.url_map.iter_rules()),
            }
            return show(web, "scalping.html", user=user, module="pages/scalping.js", first=first)

        return signed_in(web, view)

    @pages.get("/option-chain")
    def option_chain() -> Response:
        def view(user: User) -> Response:
            first = {
                "chosen": {name: request.args.get(name, "") for name in ("underlying", "exchange", "expiry")},
                "underlyings": contracts.underlyings(web.parts),
            }
            return show(web, "option_chain.html", user=user, module="pages/chain.js", first=first)

        return signed_in(web, view)


def add_calls(api: Blueprint, web: Web) -> None:
    """What the scripts ask beside ``call/…``."""

    @api.get("/ladder")
    def ladder() -> Response:
        given = Ladder().load(request.args.to_dict())
        root = given["underlying"].strip().upper()
        if not root:
            raise InvalidRequest("underlying is empty")
        return reply.json(contracts.ladder(web.now(), root, given["exchange"], given["expiry"]))


def _usual(web: Web, user: User) -> contracts.Chosen:
    """Without a link: the first instrument somebody watches."""
    symbols: list[dict[str, Any]] = [one for kept in watchlists.of(web, user) for one in kept["symbols"]]
    return contracts.chosen(web.now(), symbols[0]) if symbols else contracts.Chosen()
