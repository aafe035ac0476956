"""OpenAlgo's request fields: marshmallow's messages, numbers as text or number, nothing that can blow up.

Numbers of a JSON body arrive as ``Decimal`` (made from the request's text), so a price is never a float.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate

from brokers.model import Exchange

LARGEST = Decimal(10) ** 12
"""Beyond any order on any Indian exchange; keeps ``1e999999`` from growing into a million digits."""

NOT_AN_INTEGER = "Not a valid integer."
EXCHANGES = [exchange.value for exchange in Exchange]
ACTIONS = ["BUY", "SELL", "buy", "sell"]
PRICE_TYPES = ["MARKET", "LIMIT", "SL", "SL-M"]
PRODUCTS = ["MIS", "NRML", "CNC"]
INTERVALS = (
    "1s 5s 10s 15s 30s 45s 1m 2m 3m 5m 10m 15m 20m 30m 1h 2h 3h 4h D W M Q Y".split()  # noqa: SIM905
)


class Number(fields.Decimal):
    """A number or its text; Decimal, bounded, never NaN."""

    def _validated(self, value: Any) -> Decimal:
        number = super()._validated(value)
        # abs() would round, and overflow where the exponent is beyond any
        if number is not None and number.copy_abs() > LARGEST:
            raise self.make_error("invalid", input=value)
        return number


class Whole(fields.Field[int]):
    """An integer or its text. ``"0.0"`` is refused as OpenAlgo does, and so is a JSON ``5.0``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or (isinstance(value, str) and len(value) > 20):
            raise ValidationError(NOT_AN_INTEGER)
        if not isinstance(value, str | int):
            raise ValidationError(NOT_AN_INTEGER)
        try:
            number = int(value)
        except ValueError as exc:
            raise ValidationError(NOT_AN_INTEGER) from exc
        if abs(number) > LARGEST:
            raise ValidationError(NOT_AN_INTEGER)
        return number


class TextOrNumber(fields.String):
    """An id that callers send as text or as a JSON number; text from here on."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return super()._deserialize(value, attr, data, **kwargs)


def text(*, required: bool = True, longest: int = 256) -> fields.String:
    """A free label. Required ones may not be missing; they may be empty, as in OpenAlgo."""
    return fields.String(required=required, validate=validate.Length(max=longest))


def named(*, longest: int = 64) -> fields.String:
    """A required, non-empty text such as a symbol."""
    return fields.String(required=True, validate=validate.Length(min=1, max=longest))


def one_of(choices: Sequence[str], default: str | None = None) -> fields.String:
    check = validate.OneOf(choices)
    if default is None:
        return fields.String(required=True, validate=check)
    return fields.String(load_default=default, validate=check)


def at_least_zero(what: str, *, required: bool = False) -> Number:
    check = validate.Range(min=Decimal(0), error=f"{what} must be a non-negative number.")
    if required:
        return Number(required=True, validate=check)
    return Number(load_default=Decimal(0), validate=check)


def whole_at_least_zero(what: str, *, required: bool = False) -> Whole:
    check = validate.Range(min=0, error=f"{what} must be a non-negative integer.")
    return Whole(required=True, validate=check) if required else Whole(load_default=0, validate=check)


def positive_quantity() -> Number:
    return Number(
        required=True,
        validate=validate.Range(
            min=Decimal(0), min_inclusive=False, error="Quantity must be a positive number."
        ),
    )


def lease_text() -> fields.String:
    """The lease of its strategy that an entry carries (``strategy/lease``); most carry none."""
    return fields.String(load_default="", validate=validate.Length(max=128))


def api_key() -> fields.String:
    return fields.String(required=True, validate=validate.Length(min=1, max=256))


def whole_quantity(data: dict[str, Any]) -> None:
    """OpenAlgo's schema-level rule: only crypto trades in fractions."""
    quantity = data.get("quantity")
    if (
        isinstance(quantity, Decimal)
        and data.get("exchange") != Exchange.CRYPTO
        and quantity != quantity.to_integral_value()
    ):
        raise ValidationError(
            f"Fractional quantity ({quantity}) is not allowed for non-crypto exchanges.", "quantity"
        )
