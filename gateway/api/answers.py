"""What successful answers look like, as JSON Schema by method and path; read by ``openapi``. Values only.

Required is what every such answer has; an answer may hold more (``additionalProperties`` stays open), because
brokers and later versions add keys and OpenAlgo's clients read by name.

Source: openalgo-api, section 2; ``tests/gateway/api/test_openapi.py`` holds real answers against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
WHOLE: Json = {"type": "integer"}
FLAG: Json = {"type": "boolean"}
TEXTS: Json = {"type": "array", "items": TEXT}


def of(optional: Mapping[str, Json] | None = None, /, **required: Json) -> Json:
    """An object with these properties; those of ``optional`` may be missing."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": sorted(required),
    }


def many(item: Json) -> Json:
    return {"type": "array", "items": item}


def nullable(schema: Json) -> Json:
    return {"oneOf": [schema, {"type": "null"}]}


def one(value: str) -> Json:
    return {"const": value}


def each(names: str, kind: Json) -> dict[str, Json]:
    """``kind`` for every name of a blank-separated list."""
    return dict.fromkeys(names.split(), kind)


def ok(optional: Mapping[str, Json] | None = None, /, **required: Json) -> Json:
    """A success body."""
    return of(optional, status=one("success"), **required)


def data(schema: Json) -> Json:
    return ok(data=schema)


SENT = of(pricetype=TEXT, price=NUMBER, trigger_price=NUMBER)
EXTRAS = {"message": TEXT, "repeated": FLAG, "sent": SENT}
PLACED = ok(EXTRAS, orderid=TEXT)
OUTCOME: dict[str, Json] = {"orderid": TEXT, "message": TEXT, "code": TEXT, "journal_id": WHOLE}
STATUS: Json = {"enum": ["success", "error"]}
PIECE = of(OUTCOME, order_num=WHOLE, quantity=WHOLE, status=STATUS)
ITEM = of(OUTCOME, symbol=TEXT, exchange=TEXT, product=TEXT, status=STATUS)
SPLIT = {"total_quantity": WHOLE, "split_size": WHOLE}

ORDER = of(
    **each("symbol exchange action pricetype product orderid order_status timestamp strategy", TEXT),
    **each("quantity filled_quantity pending_quantity", WHOLE),
    **each("price trigger_price average_price", NUMBER),
    rejection_reason=TEXT,
)
TRADE = of(
    **each("symbol exchange product action orderid tradeid timestamp strategy", TEXT),
    quantity=WHOLE,
    **each("average_price trade_value", NUMBER),
)
POSITION = of(
    each("ltp pnl", NUMBER), symbol=TEXT, exchange=TEXT, product=TEXT, quantity=WHOLE, average_price=NUMBER
)
HOLDING = of(
    each("ltp pnl pnlpercent", NUMBER),
    symbol=TEXT,
    exchange=TEXT,
    product=one("CNC"),
    quantity=WHOLE,
    average_price=NUMBER,
)
GTT_DONE = ok({"message": TEXT, "repeated": FLAG, "mode": TEXT}, trigger_id=TEXT, kept_by=TEXT)
GTT = of(
    **each("trigger_id status exchange symbol created_at updated_at expires_at strategy kept_by", TEXT),
    **each("orderid code reason", TEXT),
    trigger_type={"enum": ["single", "two-leg"]},
    trigger_prices=many(NUMBER),
    last_price=nullable(NUMBER),
    legs=many(of(**each("action pricetype product", TEXT), quantity=WHOLE, price=NUMBER)),
)
QUOTE = of(**each("ltp open high low prev_close bid ask", NUMBER), **each("bid_qty ask_qty volume oi", WHOLE))
LEVELS = many(of(price=NUMBER, quantity=WHOLE))
DEPTH = of(
    bids=LEVELS,
    asks=LEVELS,
    **each("ltp open high low prev_close", NUMBER),
    **each("ltq volume oi totalbuyqty totalsellqty", WHOLE),
)
CANDLE = of(**each("timestamp volume oi", WHOLE), **each("open high low close", NUMBER))
INSTRUMENT = of(
    {"freeze_qty": WHOLE},
    **each("symbol brsymbol name exchange brexchange token expiry instrumenttype", TEXT),
    **each("strike tick_size", NUMBER),
    lotsize=WHOLE,
)
LEG = nullable(
    of(
        each("implied_volatility delta gamma theta vega", NUMBER),
        **each("symbol label", TEXT),
        **each("ltp bid ask open high low prev_close tick_size", NUMBER),
        **each("bid_qty ask_qty volume oi lotsize", WHOLE),
    )
)
GREEKS = of(
    {**each("intrinsic_value time_value", NUMBER), "note": TEXT},
    status=one("success"),
    **each("symbol exchange underlying option_type expiry_date", TEXT),
    **each("strike days_to_expiry spot_price option_price interest_rate implied_volatility", NUMBER),
    greeks=of(**each("delta gamma theta vega rho", NUMBER)),
)
FAILED_ITEM = of({"code": TEXT}, status=one("error"), symbol=TEXT, exchange=TEXT, message=TEXT)
SESSION = of(exchange=TEXT, start_time=WHOLE, end_time=WHOLE)
OPTION = each("symbol exchange underlying offset option_type", TEXT)

MODE = of(mode={"enum": ["live", "analyze"]}, analyze_mode=FLAG, total_logs=WHOLE)
PROFIT = each("pnl unrealized_pnl today_realized_pnl total_pnl_today", NUMBER)
PROFITS = each("total_pnl total_unrealized_pnl total_today_realized_pnl total_pnl_today", NUMBER)

ANSWERS: Mapping[str, Json] = {
    "POST analyzer": data(MODE),
    "POST analyzer/toggle": data(of(**MODE["properties"], message=TEXT)),
    "POST analyzer/reset": ok(message=TEXT, data=of(availablecash=TEXT, reset_count=WHOLE)),
    "POST analyzer/days": data(many(of(date=TEXT, realized_pnl=TEXT, unrealized_pnl=TEXT))),
    "POST pnl/symbols": ok(
        data=many(of(**each("symbol exchange product", TEXT), quantity=WHOLE, **PROFIT)), **PROFITS
    ),
    "POST placeorder": PLACED,
    "POST placesmartorder": ok({**EXTRAS, "orderid": TEXT, "working_orders": TEXTS}),
    "POST basketorder": ok(results=many(ITEM)),
    "POST splitorder": ok(**SPLIT, results=many(PIECE)),
    "POST placegttorder": GTT_DONE,
    "POST modifygttorder": GTT_DONE,
    "POST cancelgttorder": GTT_DONE,
    "POST gttorderbook": ok({"mode": TEXT}, data=many(GTT)),
    "POST modifyorder": PLACED,
    "POST cancelorder": ok(orderid=TEXT),
    "POST cancelallorder": ok(
        message=TEXT, canceled_orders=TEXTS, failed_cancellations=many(of(orderid=TEXT))
    ),
    "POST closeposition": of(
        {"closed_positions": many(of()), "failed_closures": many(of())},
        status={"enum": ["success", "partial"]},
        message=TEXT,
    ),
    "POST optionsorder": ok(
        {**EXTRAS, **SPLIT, "orderid": TEXT, "results": many(PIECE)}, **OPTION, underlying_ltp=NUMBER
    ),
    "POST optionsmultiorder": ok(
        underlying=TEXT,
        underlying_ltp=NUMBER,
        results=many(
            of(
                {
                    **OUTCOME,
                    **SPLIT,
                    **each("symbol exchange product mode", TEXT),
                    "split_results": many(PIECE),
                },
                **each("offset option_type action", TEXT),
                leg=WHOLE,
                status=STATUS,
            )
        ),
    ),
    "POST orderstatus": data(ORDER),
    "POST openposition": ok(quantity=WHOLE),
    "POST orderbook": data(of(orders=many(ORDER), statistics={"type": "object"})),
    "POST tradebook": data(many(TRADE)),
    "POST positionbook": data(many(POSITION)),
    "POST holdings": data(of(holdings=many(HOLDING), statistics={"type": "object"})),
    "POST funds": data(of(**each("availablecash collateral m2mrealized m2munrealized utiliseddebits", TEXT))),
    "POST ping": data(of(message=one("pong"), broker=TEXT)),
    "POST quotes": data(QUOTE),
    "POST multiquotes": ok(results=many(of({"data": QUOTE, "error": TEXT}, symbol=TEXT, exchange=TEXT))),
    "POST depth": data(DEPTH),
    "POST history": data(many(CANDLE)),
    "POST intervals": data(of(**each("seconds minutes hours days weeks months", TEXTS))),
    "GET ticker/<symbol>": data(many(CANDLE)),
    "POST symbol": data(of(id=WHOLE, **INSTRUMENT["properties"])),
    "POST search": ok(message=TEXT, data=many(INSTRUMENT)),
    "POST expiry": ok(message=TEXT, data=TEXTS),
    "GET instruments": ok(message=TEXT, data=many(INSTRUMENT)),
    "POST optionsymbol": ok(
        symbol=TEXT, exchange=TEXT, lotsize=WHOLE, tick_size=NUMBER, freeze_qty=WHOLE, underlying_ltp=NUMBER
    ),
    "POST optionchain": ok(
        **each("underlying underlying_symbol underlying_exchange expiry_date", TEXT),
        **each("underlying_ltp underlying_prev_close atm_strike", NUMBER),
        **each("expiry_ts server_ts", WHOLE),
        **each("quotes_included greeks_included", FLAG),
        forward_price=nullable(NUMBER),
        chain=many(of(strike=NUMBER, ce=LEG, pe=LEG)),
    ),
    "POST optiongreeks": GREEKS,
    "POST multioptiongreeks": of(
        {"message": TEXT},
        status={"enum": ["success", "partial", "error"]},
        data=many({"oneOf": [GREEKS, FAILED_ITEM]}),
        summary=of(**each("total success failed", WHOLE)),
    ),
    "POST syntheticfuture": ok(
        **each("underlying expiry", TEXT), **each("underlying_ltp atm_strike synthetic_future_price", NUMBER)
    ),
    "GET chart": data({"type": "object"}),
    "POST chart": ok(message=TEXT),
    "POST market/holidays": ok(
        year=WHOLE,
        timezone=TEXT,
        data=many(
            of(
                **each("date description holiday_type", TEXT),
                closed_exchanges=TEXTS,
                open_exchanges=many(SESSION),
            )
        ),
    ),
    "POST market/timings": data(many(SESSION)),
}
"""By method and path of ``surface.ENDPOINTS``; a row without one answers an object with a ``status``."""

QUEUED = ok({"repeated": FLAG}, message=TEXT, mode=one("semi_auto"), pending_order_id=WHOLE)
"""What every request for an order is answered in semi-auto mode, beside what ``ANSWERS`` says of it."""

ALERT_ERROR = of(
    {"next_step": TEXT, "retry_after": WHOLE}, status=one("error"), error=TEXT, message=TEXT, code=TEXT
)
ALERTS: Mapping[str, Json] = {
    "/strategy/webhook/{webhook_id}": ok(
        {"repeated": FLAG, "ignored": TEXTS}, message=TEXT, queued_ids=many(WHOLE)
    ),
    "/chartink/webhook/{webhook_id}": of(
        {"repeated": FLAG, "queued_ids": many(WHOLE)}, status={"enum": ["success", "warning"]}, message=TEXT
    ),
}
"""Answers of the webhooks, which stand beside ``/api/v1`` and are authenticated by their path."""

TEXT_ANSWERS: Mapping[str, str] = {"GET instruments": "text/csv", "GET ticker/<symbol>": "text/plain"}
"""Rows that can answer something else than JSON, on request (``format``)."""
