"""``/internal/orders``: the journal's open ends, and ending one of an earlier day by hand."""

from __future__ import annotations

from flask import Blueprint, Response, request
from marshmallow import Schema, fields, validate

from gateway.api import reply
from gateway.api.dispatch import body_of
from gateway.api.parts import Parts
from gateway.trading.resolve import OUTCOMES, Resolution, plain


class ResolutionOf(Schema):
    """See ``Resolution``."""

    outcome = fields.String(required=True, validate=validate.OneOf(OUTCOMES))
    evidence = fields.String(required=True, validate=validate.Length(min=1, max=500))
    order_id = fields.String(load_default="", validate=validate.Length(max=64))
    filled = fields.Integer(load_default=None, allow_none=True)
    average = fields.Decimal(load_default=None, allow_none=True)


def add_routes(internal: Blueprint, parts: Parts) -> None:
    unknowns = parts.desk.unknowns

    @internal.get("/orders")
    def orders_of_today() -> Response:
        rows = [plain(row, old=unknowns.is_old(row)) for row in unknowns.today()]
        return reply.json({"status": "success", "orders": rows})

    @internal.get("/orders/unknown")
    def unknown_orders() -> Response:
        rows = [plain(row, old=unknowns.is_old(row)) for row in unknowns.rows()]
        return reply.json({"status": "success", "orders": rows})

    @internal.post("/orders/<int:journal_id>/resolve")
    def resolve_order(journal_id: int) -> Response:
        said = Resolution(**ResolutionOf().load(body_of(request.get_data(cache=False))))
        row = unknowns.resolve(journal_id, said)
        return reply.json({"status": "success", "order": plain(row, old=True)})
