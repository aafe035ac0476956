"""Lists of instruments a person keeps: per owner, in the instance's own database."""

from __future__ import annotations

from typing import Any

import msgspec
from marshmallow import Schema, fields, validate

from gateway.api.fields import EXCHANGES, named, one_of
from gateway.store.users import User
from gateway.web.shell import Web

MOST_LISTS = 20
MOST_SYMBOLS = 500
NAME = "lists"


class Listed(Schema):
    """One instrument of a list."""

    exchange = one_of(EXCHANGES)
    symbol = named()


class OneList(Schema):
    """A list with its name; an empty one is allowed."""

    name = fields.String(required=True, validate=validate.Length(min=1, max=40))
    symbols = fields.List(fields.Nested(Listed), required=True, validate=validate.Length(max=MOST_SYMBOLS))


class Lists(Schema):
    """All lists of an owner, in their order: they are kept whole."""

    lists = fields.List(
        fields.Nested(OneList), required=True, validate=validate.Length(min=1, max=MOST_LISTS)
    )


def of(web: Web, user: User) -> list[dict[str, Any]]:
    """The lists of one owner; at first one with what the feed streams anyway."""
    text = _kept(web, user).all().get(NAME)
    if text is not None:
        found: list[dict[str, Any]] = msgspec.json.decode(text)
        return found
    first = []
    for pinned in web.parts.settings.symbols[:MOST_SYMBOLS]:
        exchange, colon, symbol = pinned.partition(":")
        first.append({"exchange": exchange if colon else "NSE", "symbol": symbol if colon else pinned})
    return [{"name": "Watch", "symbols": first}]


def keep(web: Web, user: User, lists: list[dict[str, Any]]) -> None:
    """Replace them. Raises ``StoreError``."""
    _kept(web, user).merge({NAME: msgspec.json.encode(lists).decode()}, 1)


def _kept(web: Web, user: User) -> Any:
    return web.parts.preferences.beside(f"watch:{user.id}:")
