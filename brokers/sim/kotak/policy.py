"""What Kotak does that other brokers do not: decided here, on values alone.

Source: Kotak Neo trade API documentation (order keys, market protection, withdrawn order types), OpenAlgo's
reading of it (protection grid, SL-M refusal), user reports (tag rewritten on modify).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from brokers.clock import IST
from brokers.sim.exchange.types import Kind, Listing, RefusalCode, Side, Snapshot, Status, Type
from brokers.sim.kotak import answers
from brokers.sim.kotak.answers import Answer

PRODUCTS = {"CNC": "CNC", "NRML": "NRML", "MIS": "MIS"}
WITHDRAWN_PRODUCTS = {"CO", "BO", "INTRADAY"}
TYPES = {"L": Type.LIMIT, "MKT": Type.MARKET, "SL": Type.STOP_LIMIT}
SIDES = {"B": Side.BUY, "S": Side.SELL, "Buy": Side.BUY, "Sell": Side.SELL}
TAG_SUFFIX = "-ADMINAPI"
TAG_LENGTH = 20


class Word(StrEnum):
    """Kotak's order statuses the simulator uses, lower case as on the wire."""

    RECEIVED = "put order req received"
    VALIDATION = "validation pending"
    OPEN_PENDING = "open pending"
    OPEN = "open"
    TRIGGER_PENDING = "trigger pending"
    MODIFY_VALIDATION = "modify validation pending"
    MODIFY_PENDING = "modify pending"
    MODIFIED = "modified"
    CANCEL_PENDING = "cancel pending"
    COMPLETE = "complete"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


_WORD_OF = {
    Status.TRANSIT: Word.VALIDATION,
    Status.OPEN: Word.OPEN,
    Status.PARTIAL: Word.OPEN,
    Status.TRIGGER_PENDING: Word.TRIGGER_PENDING,
    Status.FILLED: Word.COMPLETE,
    Status.CANCELLED: Word.CANCELLED,
    Status.EXPIRED: Word.CANCELLED,
    Status.REJECTED: Word.REJECTED,
}


def word(status: Status) -> Word:
    """An engine status in Kotak's words; a partly filled order is still ``open``."""
    return _WORD_OF[status]


def steps_to(before: Word | None, after: Word) -> list[Word]:
    """The words an order shows on its way, ``after`` last: each becomes one history row and one feed frame.

    A rejected order never was open; every other one passes ``open pending``.
    """
    steps: list[Word] = []
    if before is None:
        steps += [Word.RECEIVED, Word.VALIDATION]
    on_the_way = before in (None, Word.RECEIVED, Word.VALIDATION)
    if on_the_way and after not in (Word.REJECTED, Word.VALIDATION):
        steps.append(Word.OPEN_PENDING)
        if after not in (Word.OPEN, Word.TRIGGER_PENDING):
            steps.append(Word.OPEN)
    if not steps or steps[-1] is not after:
        steps.append(after)
    return steps


def order_id(at: datetime, number: int) -> str:
    """``yymmdd`` of the IST day and nine digits."""
    return f"{at.astimezone(IST):%y%m%d}{number:09d}"


def protection_paise(listing: Listing, price_paise: int) -> Decimal:
    """How far from the market a market order may fill, in paise.

    Source: Kotak's market-protection grid: equity and futures below 100 2 %, to 500 1 %, above 0.5 %; options
    below 1 an absolute 0.10, to 5 10 %, to 10 5 %, to 100 3 %, to 500 2 %, above 1 %.
    """
    price = Decimal(price_paise)
    if listing.kind in (Kind.CALL, Kind.PUT):
        if price < 100:
            return Decimal(10)
        grid = ((500, "0.10"), (1_000, "0.05"), (10_000, "0.03"), (50_000, "0.02"))
        share = next((s for below, s in grid if price < below), "0.01")
    else:
        share = "0.02" if price < 10_000 else "0.01" if price <= 50_000 else "0.005"
    return price * Decimal(share)


def protected_limit(snapshot: Snapshot, side: Side) -> Decimal:
    """The limit a market order becomes, in rupees.

    The last price moved against the caller by the grid, on tick (never beyond the band) and inside the
    circuit limits.
    """
    listing = snapshot.listing
    room = protection_paise(listing, snapshot.ltp_paise)
    tick = max(listing.tick_paise, 1)
    if side is Side.BUY:
        paise = math.floor((snapshot.ltp_paise + room) / tick) * tick
        paise = min(max(paise, tick), snapshot.upper_circuit_paise // tick * tick)
    else:
        paise = math.ceil((snapshot.ltp_paise - room) / tick) * tick
        paise = max(paise, -(-snapshot.lower_circuit_paise // tick) * tick, tick)
    return Decimal(paise) / 100


def rewritten_tag(tag: str) -> str:
    """What ``GuiOrdId`` says after a modify."""
    return tag if tag.endswith(TAG_SUFFIX) else f"{tag}{TAG_SUFFIX}"


@dataclass(frozen=True, slots=True)
class Terms:
    """The numbers and words of a place or modify request, read but not yet resolved to a listing."""

    type: Type
    is_market: bool
    quantity: int
    price: Decimal
    trigger: Decimal
    disclosed: int
    validity: str


def _text(body: Mapping[str, object], key: str, default: str | None = None) -> str:
    """Every value is a string on this wire; null is as good as absent."""
    value = body.get(key)
    if value is None:
        if default is None:
            raise answers.invalid_body(f"{key} is required")
        return default
    if not isinstance(value, str):
        raise answers.invalid_body(f"{key} must be a string")
    return value


def _whole(body: Mapping[str, object], key: str, default: str | None = None) -> int:
    text = _text(body, key, default)
    if not (text.isascii() and text.isdigit()):
        raise answers.invalid_body(f"{key} '{text}' is not a whole number")
    return int(text)


def _rupees(body: Mapping[str, object], key: str) -> Decimal:
    text = _text(body, key, "0")
    try:
        value = Decimal(text)
    except InvalidOperation as exc:
        raise answers.invalid_body(f"{key} '{text}' is not a price") from exc
    if not value.is_finite() or value < 0 or (not value and text != "0"):
        raise answers.invalid_body(f"{key} '{text}' is not a price")  # "0.0" is refused, only "0" is zero
    return value


def read_terms(body: Mapping[str, object], *, segment: str, validity_key: str) -> Terms:
    """Type, numbers and validity of a place (``rt``) or modify (``vd``) request.

    Raises:
        Answer: With Kotak's refusal: malformed values 1007, ``SL-M`` 1017, retired validities 1007.
    """
    kind = _text(body, "pt")
    if kind == "SL-M":
        raise answers.not_ok(1017, "Market order with Algo Id not allowed")
    if kind not in TYPES:
        raise answers.invalid_body(f"pt '{kind}' is not allowed")
    validity = _text(body, validity_key, "DAY")
    if validity not in ("DAY", "IOC") or (segment == "mcx_fo" and validity != "DAY"):
        raise answers.invalid_body(f"{validity_key} '{validity}' is not allowed for {segment}")
    if _text(body, "am", "NO") not in ("YES", "NO"):
        raise answers.invalid_body("am must be YES or NO")
    _rupees(body, "mp")
    price, trigger = _rupees(body, "pr"), _rupees(body, "tp")
    quantity = _whole(body, "qt")
    if not quantity:
        raise answers.invalid_body("qt must be above 0")
    if kind in ("L", "SL") and not price:
        raise answers.invalid_body("pr is required for L and SL")
    if kind == "SL" and not trigger:
        raise answers.invalid_body("tp is required for SL")
    type_ = TYPES[kind]
    return Terms(
        type=type_,
        is_market=type_ is Type.MARKET,
        quantity=quantity,
        price=price,
        trigger=trigger if kind == "SL" else Decimal(0),
        disclosed=_whole(body, "dq", "0"),
        validity=validity,
    )


@dataclass(frozen=True, slots=True)
class Placing:
    """A place request, read but not yet resolved to a listing."""

    segment: str
    symbol: str
    side: Side
    product: str
    tag: str
    source: str
    terms: Terms


def read_place(body: Mapping[str, object]) -> Placing:
    """Read ``jData`` of a place request. Unset optionals may be null; the bracket keys are ignored.

    Raises:
        Answer: With Kotak's refusal.
    """
    segment, symbol = _text(body, "es"), _text(body, "ts")
    side, product = _text(body, "tt"), _text(body, "pc")
    if side not in SIDES:
        raise answers.invalid_body(f"tt '{side}' is not allowed")
    if product in WITHDRAWN_PRODUCTS:
        raise answers.not_ok(1007, f"product {product} is withdrawn")
    if product not in PRODUCTS:
        raise answers.invalid_body(f"pc '{product}' is not allowed")
    return Placing(
        segment=segment,
        symbol=symbol,
        side=SIDES[side],
        product=product,
        tag=_text(body, "ig", "")[:TAG_LENGTH],
        source=_text(body, "os", "NEOTRADEAPI"),
        terms=read_terms(body, segment=segment, validity_key="rt"),
    )


def order_number(body: Mapping[str, object], key: str) -> str:
    """``no``, ``on`` or ``nOrdNo``."""
    return _text(body, key)


_REFUSAL = {
    RefusalCode.NOT_TRADABLE: 1009,
    RefusalCode.MARGIN: 1004,
    RefusalCode.IN_TRANSIT: 5204,
}


def refusal(code: RefusalCode, text: str) -> Answer:
    """An exchange refusal in Kotak's shape."""
    return answers.not_ok(_REFUSAL.get(code, 1007), text)


def finished(status: Status) -> Answer:
    """Modify or cancel of an order that is past it: 1021 once executed, 1006 otherwise."""
    return answers.order_is_completed() if status is Status.FILLED else answers.already_cancelled()
