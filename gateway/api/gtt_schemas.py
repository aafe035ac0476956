"""What GTT requests hold. Placing and changing drop fields they do not know, as OpenAlgo does.

Source: openalgo-api, section 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from marshmallow import EXCLUDE, ValidationError, fields, pre_load, validate, validates_schema

from brokers.clock import IST
from gateway.api.fields import (
    ACTIONS,
    EXCHANGES,
    Number,
    TextOrNumber,
    at_least_zero,
    lease_text,
    named,
    one_of,
    positive_quantity,
    text,
    whole_quantity,
)
from gateway.api.schemas import KeyOnly

TRIGGERS = ("triggerprice_sl", "triggerprice_tg")
LIMITS = ("stoploss", "target")
LATEST_S = 7_258_118_400
"""The year 2200."""
_NOT_NEGATIVE = validate.Range(min=Decimal(0), error="Price must be a non-negative number.")


class GttTerms(KeyOnly):
    """The terms of a GTT; a change replaces them all."""

    class Meta:
        unknown = EXCLUDE

    strategy = text()
    strategy_lease = lease_text()
    trigger_type = one_of(["SINGLE", "OCO"])
    exchange = one_of(EXCHANGES)
    symbol = named()
    action = one_of(ACTIONS)
    product = one_of(["CNC", "NRML"])
    quantity = positive_quantity()
    price = at_least_zero("Price", required=True)
    pricetype = one_of(["LIMIT", "MARKET"], "LIMIT")
    triggerprice_sl = Number(load_default=Decimal(0), allow_none=True, validate=_NOT_NEGATIVE)
    triggerprice_tg = Number(load_default=Decimal(0), allow_none=True, validate=_NOT_NEGATIVE)
    stoploss = Number(load_default=None, allow_none=True, validate=_NOT_NEGATIVE)
    target = Number(load_default=None, allow_none=True, validate=_NOT_NEGATIVE)

    @pre_load
    def _spellings(self, data: Any, **_: Any) -> Any:
        """An empty text is no number, and ``single`` is SINGLE."""
        if not isinstance(data, Mapping):
            return data
        plain = {
            name: None if value == "" and name in (*TRIGGERS, *LIMITS) else value
            for name, value in data.items()
        }
        kind = plain.get("trigger_type")
        if isinstance(kind, str):
            plain["trigger_type"] = kind.upper()
        return plain

    @validates_schema
    def _whole(self, data: dict[str, Any], **_: Any) -> None:
        whole_quantity(data)

    @validates_schema
    def _triggers(self, data: dict[str, Any], **_: Any) -> None:
        sl, tg = (data.get(name) or Decimal(0) for name in TRIGGERS)
        if data.get("trigger_type") == "SINGLE":
            if (sl > 0) == (tg > 0):
                raise ValidationError(
                    "SINGLE needs exactly one of triggerprice_sl and triggerprice_tg above 0.", TRIGGERS[0]
                )
            return
        missing = [name for name in (*TRIGGERS, *LIMITS) if not (data.get(name) or 0) > 0]
        if missing:
            raise ValidationError({name: ["OCO needs it, above 0."] for name in missing})
        if sl >= tg:
            raise ValidationError("triggerprice_sl must be below triggerprice_tg.", TRIGGERS[0])


class PlaceGtt(GttTerms):
    """``expires_at``: a date (its end) or a time, IST unless it says otherwise."""

    expires_at = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=40))
    client_order_id = fields.String(validate=validate.Length(min=1, max=64))

    @validates_schema
    def _end(self, data: dict[str, Any], **_: Any) -> None:
        end_of(data.get("expires_at"))


class ModifyGtt(GttTerms):
    """``POST /modifygttorder``: the whole order again, under its id."""

    trigger_id = TextOrNumber(required=True, validate=validate.Length(min=1, max=64))


class CancelGtt(KeyOnly):
    """``POST /cancelgttorder``."""

    strategy = text()
    trigger_id = TextOrNumber(required=True, validate=validate.Length(min=1, max=64))


class GttBook(KeyOnly):
    """``status``: ``all`` shows those that ended too, with the reason."""

    status = one_of(["active", "all"], "active")


def end_of(given: str | None) -> int | None:
    """Wall nanoseconds of an ``expires_at``; None when there is none.

    Raises:
        ValidationError: Neither a date nor a time.
    """
    if not given or not given.strip():
        return None
    try:
        at = datetime.fromisoformat(given.strip())
        if at.time() == time(0) and len(given.strip()) <= len("2026-11-20"):
            at = datetime.combine(at, time(23, 59, 59))
        seconds = int((at if at.tzinfo else at.replace(tzinfo=IST)).timestamp())
    except (ValueError, OverflowError) as exc:
        raise ValidationError("Not a valid datetime.", "expires_at") from exc
    # far more than any order lives, and small enough for every place it is kept in
    return min(max(seconds, 0), LATEST_S) * 1_000_000_000
