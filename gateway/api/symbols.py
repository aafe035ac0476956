"""Symbol services over the instrument table: symbol, search, expiry, instruments."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import msgspec
from flask import Response

from brokers.clock import IST
from brokers.errors import InvalidRequest, NotReady
from brokers.model import DERIVATIVE_EXCHANGES, InstrumentKey
from gateway.api import present, reply
from gateway.api.errors import Problem
from gateway.api.parts import Call, Parts

SEARCH_LIMIT = 500
ROWS_PER_CHUNK = 500


def symbol(parts: Parts, call: Call) -> dict[str, Any] | Response:
    key = InstrumentKey(call.data["exchange"], call.data["symbol"])
    try:
        instrument = parts.market.instrument(key)
    except InvalidRequest as exc:
        found = Problem(404, exc.code, str(exc), exc.fields)
        return reply.problem(found, parts.settings.name)
    return {"status": "success", "data": present.symbol_row(instrument)}


def search(parts: Parts, call: Call) -> dict[str, Any]:
    query = call.data["query"].strip()
    if not query:
        raise InvalidRequest("Query parameter is required and cannot be empty")
    _ready(parts)
    found = parts.instruments.search(query, call.data.get("exchange"), SEARCH_LIMIT)
    message = f"Found {len(found)} matching symbols" if found else "No matching symbols found"
    rows = [present.instrument_row(instrument) for instrument in found]
    return {"status": "success", "message": message, "data": rows}


def expiry(parts: Parts, call: Call) -> dict[str, Any]:
    root, exchange, kind = call.data["symbol"].upper(), call.data["exchange"], call.data["instrumenttype"]
    if exchange not in DERIVATIVE_EXCHANGES:
        allowed = ", ".join(sorted(DERIVATIVE_EXCHANGES))
        raise InvalidRequest(f"Exchange {exchange} has no expiries; use one of: {allowed}")
    _ready(parts)
    today = parts.clock.now().astimezone(IST).date()
    dates = [present.expiry_text(day) for day in parts.instruments.expiries(root, exchange, kind, today)]
    message = f"Found {len(dates)} expiry dates for {root} {kind} in {exchange}"
    if not dates:
        message = f"No expiry dates found for {root} {kind} in {exchange}"
    return {"status": "success", "message": message, "data": dates}


def instruments(parts: Parts, call: Call) -> Response:
    """The table of one exchange, or of all; streamed, because all is a quarter of a million rows."""
    exchange: str | None = call.data.get("exchange")
    if call.data["format"] == "csv":
        if parts.instruments.count() == 0:
            return Response("instrument table is empty\n", status=503, content_type="text/plain")
        name = f"instruments_{exchange or 'all'}.csv"
        return Response(
            _csv(parts, exchange),
            content_type="text/csv",
            headers={"Content-Disposition": f"attachment; filename={name}"},
        )
    _ready(parts)
    return Response(_json(parts, exchange), content_type="application/json")


def _json(parts: Parts, exchange: str | None) -> Iterator[bytes]:
    yield b'{"status":"success","data":['
    total = 0
    for rows in _chunks(parts, exchange):
        encoded = msgspec.json.encode(rows)[1:-1]
        yield (b"," if total else b"") + encoded
        total += len(rows)
    yield b'],"message":"Found %d instruments"}' % total


def _csv(parts: Parts, exchange: str | None) -> Iterator[bytes]:
    yield (",".join(present.INSTRUMENT_COLUMNS) + "\r\n").encode()
    for rows in _chunks(parts, exchange):
        text = io.StringIO()
        csv.DictWriter(text, present.INSTRUMENT_COLUMNS).writerows(rows)
        yield text.getvalue().encode()


def _chunks(parts: Parts, exchange: str | None) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for instrument in parts.instruments.rows(exchange):
        row = present.instrument_row(instrument)
        del row["freeze_qty"]
        rows.append(row)
        if len(rows) == ROWS_PER_CHUNK:
            yield rows
            rows = []
    if rows:
        yield rows


def _ready(parts: Parts) -> None:
    """An empty table is not an empty answer."""
    if parts.instruments.count() == 0:
        raise NotReady("the broker's instrument file has not been loaded yet")
