"""Orders for options named by their distance from ATM: one, in pieces, or the legs of a strategy.

The contract is worked out from the underlying's price now; from there on it is an order like any other.

Source: openalgo-api, section 2.1, optionsorder and optionsmultiorder; section 8, row 13 (splits of legs).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Response

from brokers.errors import InvalidRequest
from brokers.model import Action, Instrument
from gateway.api import errors, options, orders, reply
from gateway.api.baskets import AT_ONCE, WHOLE_S, Sending, children
from gateway.api.option_schemas import expiry_given
from gateway.api.options import Subject, Wanted
from gateway.api.parts import Call, Parts

PIECES = 1000
"""More than one leg can have: keeps the numbers of legs' pieces apart."""


@options.unknown_is_404
def place(parts: Parts, call: Call) -> dict[str, Any] | Response:
    """One option; with ``splitsize`` in pieces, each with its own outcome."""
    data = call.data
    about = options.subject(parts, data["underlying"], data["exchange"])
    # refused before anything is asked: more pieces than allowed
    pieces = children(data["quantity"], data["splitsize"]) if data["splitsize"] else []
    expiry = expiry_given(data["expiry_date"], about.expiry)
    ltp = options.ltp_of(parts, about.key)
    wanted = Wanted(expiry, data["offset"], data["option_type"].upper(), data["strike_int"])
    found = options.option(parts, about, wanted, ltp)
    order = _order(data, found)
    what = {
        "symbol": found.key.symbol,
        "exchange": str(found.key.exchange),
        "underlying": about.root,
        "underlying_ltp": ltp,
        "offset": wanted.offset.upper(),
        "option_type": wanted.kind,
    }
    if pieces:
        results = _pieces(_sending(parts, call), order, pieces, 0)
        split = {"total_quantity": data["quantity"], "split_size": data["splitsize"], "results": results}
        return {"status": "success", **what, **split}
    request = orders.request_of(order)
    answer = parts.desk.place(
        request,
        strategy=data["strategy"],
        client_order_id=orders.client_order_id(call),
        received_ns=call.received_ns,
        lease=data.get("strategy_lease", ""),
    )
    if not answer.ok:
        return reply.problem(errors.of_answer(answer), parts.settings.name)
    return {**orders.taken(answer, request), **what}


@options.unknown_is_404
def place_legs(parts: Parts, call: Call) -> dict[str, Any]:
    """Legs at one price of the underlying, every BUY before the first SELL, so that hedges stand first.

    A leg that fails does not stop the others; each result tells its own, in the order of the request.

    Raises:
        InvalidRequest: The underlying is not there or has no price, or a leg has too many pieces; nothing was
            sent.
    """
    data, legs = call.data, call.data["legs"]
    about = options.subject(parts, data["underlying"], data["exchange"])
    for leg in legs:
        if leg["splitsize"]:
            children(leg["quantity"], leg["splitsize"])
    ltp = options.ltp_of(parts, about.key)
    sending = _sending(parts, call)

    def send(number: int) -> dict[str, Any]:
        return _leg(sending, about, ltp, number)

    results: dict[int, dict[str, Any]] = {}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="legs") as pool:
        for action in (Action.BUY, Action.SELL):
            numbers = [n for n, leg in enumerate(legs) if leg["action"].upper() == action]
            results.update(zip(numbers, pool.map(send, numbers), strict=True))
    return {
        "status": "success",
        "underlying": about.root,
        "underlying_ltp": ltp,
        "results": [results[number] for number in range(len(legs))],
    }


def _leg(sending: Sending, about: Subject, ltp: float, number: int) -> dict[str, Any]:
    """One leg and its outcome, never an exception: the other legs' outcomes must be told too."""
    data = sending.call.data
    leg: dict[str, Any] = data["legs"][number]
    kind, offset = leg["option_type"].upper(), leg["offset"].upper()
    row = {"leg": number + 1, "offset": offset, "option_type": kind, "action": leg["action"].upper()}
    try:
        expiry = expiry_given(leg["expiry_date"] or data["expiry_date"], about.expiry)
        found = options.option(sending.parts, about, Wanted(expiry, offset, kind, data["strike_int"]), ltp)
    except InvalidRequest as exc:
        return {**row, **errors.of_exception(exc).body(sending.parts.settings.name)}
    order = _order(leg, found)
    row |= {"symbol": found.key.symbol, "exchange": str(found.key.exchange), "product": leg["product"]}
    if not leg["splitsize"]:
        return {**row, "mode": "live", **sending.send((number + 1) * PIECES, orders.request_of(order))}
    pieces = children(leg["quantity"], leg["splitsize"])
    results = _pieces(sending, order, pieces, (number + 1) * PIECES)
    return {
        **row,
        "mode": "live",
        "status": "success" if any(piece["status"] == "success" for piece in results) else "error",
        "total_quantity": leg["quantity"],
        "split_size": leg["splitsize"],
        "split_results": results,
    }


def _pieces(sending: Sending, order: Mapping[str, Any], pieces: list[int], base: int) -> list[dict[str, Any]]:
    """One after another, paced by the account's limiter."""
    return [
        {
            "order_num": number,
            "quantity": quantity,
            **sending.send(base + number, orders.request_of(order, quantity=quantity)),
        }
        for number, quantity in enumerate(pieces, start=1)
    ]


def _order(terms: Mapping[str, Any], option: Instrument) -> dict[str, Any]:
    """The body ``placeorder`` would have had."""
    return {**terms, "symbol": option.key.symbol, "exchange": str(option.key.exchange)}


def _sending(parts: Parts, call: Call) -> Sending:
    return Sending(parts, call, orders.client_order_id(call), parts.clock.monotonic() + WHOLE_S)
