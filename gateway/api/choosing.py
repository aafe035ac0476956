"""``/internal/choose``: what the command line may ask of the instrument table before it queues a pull."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from marshmallow import Schema, fields, validate

from brokers.clock import IST
from brokers.errors import InvalidRequest
from brokers.model import InstrumentKey
from gateway.api import reply
from gateway.api.dispatch import body_of
from gateway.api.fields import EXCHANGES, named, one_of
from gateway.api.names import key_of
from gateway.api.parts import Parts
from gateway.api.schemas import SymbolItem

DERIVATIVES = {"NSE": "NFO", "NSE_INDEX": "NFO", "BSE": "BFO", "BSE_INDEX": "BFO"}


class Chain(Schema):
    """The options of one expiry."""

    underlying = named()
    expiry = fields.Date(required=True)
    exchange = one_of(EXCHANGES, "NFO")


class Futures(Schema):
    """The futures of an underlying, every expiry."""

    underlying = named()
    exchange = one_of(EXCHANGES, "NFO")


class Choice(Schema):
    """``keys`` to look up, or every option of an ``option_chain``, or the ``futures`` of an underlying."""

    keys = fields.List(fields.Nested(SymbolItem), load_default=list, validate=validate.Length(max=20_000))
    option_chain = fields.Nested(Chain, load_default=None)
    futures = fields.Nested(Futures, load_default=None)


def add_routes(internal: Blueprint, parts: Parts) -> None:
    @internal.post("/choose")
    def choose() -> Response:
        asked: dict[str, Any] = Choice().load(body_of(request.get_data(cache=False)))
        if asked["option_chain"] is not None:
            return reply.json({"keys": _chain(parts, asked["option_chain"]), "unknown": []})
        if asked["futures"] is not None:
            return reply.json({"keys": _futures(parts, asked["futures"]), "unknown": []})
        keys = [key_of(parts, one["exchange"], one["symbol"]) for one in asked["keys"]]
        loaded = parts.instruments.count() > 0
        unknown = [key for key in keys if loaded and parts.instruments.by_key(key) is None]
        return reply.json(
            {
                "keys": [{"exchange": key.exchange, "symbol": key.symbol} for key in keys],
                "unknown": [_said(parts, key) for key in unknown],
            }
        )


def _said(parts: Parts, key: InstrumentKey) -> str:
    index = InstrumentKey(f"{key.exchange}_INDEX", key.symbol)
    if parts.instruments.by_key(index) is not None:
        return f"{key} (did you mean {index}?)"
    near = parts.instruments.nearest(key.symbol, key.exchange)
    return f"{key} (did you mean {', '.join(near)}?)" if near else str(key)


def _chain(parts: Parts, chain: dict[str, Any]) -> list[dict[str, str]]:
    """Raises ``InvalidRequest`` with the expiries there are."""
    exchange = DERIVATIVES.get(chain["exchange"], chain["exchange"])
    root, expiry = chain["underlying"], chain["expiry"]
    found = parts.instruments.chain(root, exchange, expiry)
    if not found:
        today = parts.clock.now().astimezone(IST).date()
        there = parts.instruments.expiries(root, exchange, "options", today)
        hint = f"it has {', '.join(map(str, there[:8]))}" if there else "it has none"
        raise InvalidRequest(
            f"{root} has no options on {exchange} that expire on {expiry}; {hint}", code="SYMBOL_NOT_FOUND"
        )
    return [{"exchange": row.key.exchange, "symbol": row.key.symbol} for row in found]


def _futures(parts: Parts, asked: dict[str, Any]) -> list[dict[str, str]]:
    """Raises ``InvalidRequest`` when there are none."""
    exchange = DERIVATIVES.get(asked["exchange"], asked["exchange"])
    today = parts.clock.now().astimezone(IST).date()
    found = parts.instruments.futures(asked["underlying"], exchange, today)
    if not found:
        raise InvalidRequest(f"{asked['underlying']} has no futures on {exchange}", code="SYMBOL_NOT_FOUND")
    return [{"exchange": row.key.exchange, "symbol": row.key.symbol} for row in found]
