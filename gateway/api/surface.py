"""The whole public surface as one table. A row without a handler answers 501 after the key check.

Source: openalgo-endpoints.json; ``tests/gateway/api/test_surface.py`` holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from marshmallow import Schema

from gateway.api import (
    account,
    analyzer,
    baskets,
    calendar,
    gtt,
    gtt_schemas,
    margin,
    option_schemas,
    optiongreeks,
    optionorders,
    options,
    order_schemas,
    orders,
    pnl,
    preferences,
    quotes,
    schemas,
    smart,
    symbols,
    ticker,
)
from gateway.api.parts import Endpoint, Handler
from gateway.scopes import Scope

API = "API_RATE_LIMIT"
ORDER = "ORDER_RATE_LIMIT"
GREEKS = "GREEKS_RATE_LIMIT"
DATA, READ, TRADE, MANAGE = Scope
ANY = None
TELEGRAM_KEY = "Invalid or missing API key"


def _served() -> Iterator[Endpoint]:
    def post(
        scope: Scope | None,
        path: str,
        limit: str,
        style: str,
        schema: type[Schema],
        handler: Handler,
        auth: str = "session",
    ) -> Endpoint:
        return Endpoint("POST", path, limit, style, auth, schema, handler, scope=scope)

    yield post(TRADE, "placeorder", ORDER, "V1", schemas.PlaceOrder, orders.place)
    yield post(TRADE, "placesmartorder", "SMART_ORDER_RATE_LIMIT", "V1", order_schemas.Smart, smart.place)
    yield post(TRADE, "basketorder", API, "V1", order_schemas.Basket, baskets.basket)
    yield post(TRADE, "splitorder", API, "V1", order_schemas.Split, baskets.split)
    yield post(READ, "margin", API, "V1", order_schemas.MarginOf, margin.margin)
    yield post(TRADE, "placegttorder", ORDER, "V1", gtt_schemas.PlaceGtt, gtt.place)
    yield post(TRADE, "modifygttorder", ORDER, "V1", gtt_schemas.ModifyGtt, gtt.modify)
    yield post(TRADE, "cancelgttorder", ORDER, "V1", gtt_schemas.CancelGtt, gtt.cancel)
    yield post(READ, "gttorderbook", API, "V2", gtt_schemas.GttBook, gtt.book)
    yield post(TRADE, "modifyorder", ORDER, "V1", schemas.ModifyOrder, orders.modify)
    yield post(TRADE, "cancelorder", ORDER, "V1", schemas.CancelOrder, orders.cancel)
    yield post(TRADE, "cancelallorder", API, "V1", schemas.Strategy, orders.cancel_all)
    yield post(TRADE, "closeposition", API, "V1", schemas.Strategy, orders.close_all)
    yield post(READ, "orderstatus", API, "V1", schemas.OrderStatusOf, account.order_status)
    yield post(READ, "openposition", API, "V1", schemas.OpenPosition, account.open_position)
    yield post(READ, "orderbook", API, "V2", schemas.KeyOnly, account.order_book)
    yield post(READ, "tradebook", API, "V2", schemas.KeyOnly, account.trade_book)
    yield post(READ, "positionbook", API, "V2", schemas.KeyOnly, account.position_book)
    yield post(READ, "holdings", API, "V2", schemas.KeyOnly, account.holdings)
    yield post(READ, "funds", API, "V2", schemas.KeyOnly, account.funds)
    yield post(ANY, "ping", API, "V2", schemas.KeyOnly, account.ping)
    yield post(DATA, "quotes", API, "V2", schemas.OneSymbol, quotes.quotes)
    yield post(DATA, "multiquotes", API, "V2", schemas.ManySymbols, quotes.multi_quotes)
    yield post(DATA, "depth", API, "V2", schemas.OneSymbol, quotes.depth)
    candles = post(DATA, "history", API, "V2", schemas.History, quotes.history)
    yield replace(candles, brokerless=quotes.needs_no_broker)
    yield post(DATA, "intervals", API, "V2", schemas.KeyOnly, quotes.intervals)
    yield post(DATA, "symbol", API, "V2", schemas.OneSymbol, symbols.symbol)
    yield post(DATA, "search", API, "V2", schemas.Search, symbols.search, "key")
    yield post(DATA, "expiry", API, "V2", schemas.Expiry, symbols.expiry, "key")
    yield Endpoint(
        "GET", "instruments", API, "V2", "key", schemas.Instruments, symbols.instruments, scope=DATA
    )


def _options_and_calendar() -> Iterator[Endpoint]:
    def post(
        scope: Scope | None,
        path: str,
        limit: str,
        style: str,
        schema: type[Schema],
        handler: Handler,
        auth: str = "session",
    ) -> Endpoint:
        return Endpoint("POST", path, limit, style, auth, schema, handler, scope=scope)

    yield post(TRADE, "optionsorder", ORDER, "V3", option_schemas.OptionsOrder, optionorders.place)
    yield post(
        TRADE, "optionsmultiorder", ORDER, "V3", option_schemas.OptionsMultiOrder, optionorders.place_legs
    )
    yield post(DATA, "optionsymbol", API, "V3", option_schemas.OptionSymbol, options.symbol)
    yield post(DATA, "optionchain", API, "V3", option_schemas.OptionChain, options.chain)
    yield post(DATA, "syntheticfuture", API, "V3", option_schemas.SyntheticFuture, options.synthetic_future)
    one = post(DATA, "optiongreeks", GREEKS, "V4", option_schemas.OptionGreeks, optiongreeks.one, "key")
    many = post(
        DATA, "multioptiongreeks", API, "V4", option_schemas.MultiOptionGreeks, optiongreeks.many, "key"
    )
    yield replace(one, bad_key_status=401)
    yield replace(many, bad_key_status=401)
    yield post(READ, "analyzer", API, "V1", schemas.KeyOnly, analyzer.status)
    yield post(MANAGE, "analyzer/toggle", API, "V1", analyzer.Toggle, analyzer.toggle)
    profits = post(READ, "pnl/symbols", API, "V2", schemas.KeyOnly, pnl.symbols, "key")
    yield replace(profits, bad_key_message="Invalid API key")
    path = "ticker/<symbol>"
    yield Endpoint(
        "GET", path, API, "V2", "session", ticker.Ticker, ticker.candles, scope=DATA, bare_only=True
    )
    yield Endpoint("GET", "chart", API, "V2", "key", preferences.ChartRead, preferences.read, scope=DATA)
    yield post(MANAGE, "chart", API, "V2", preferences.ChartWrite, preferences.write, "key")
    # OpenAlgo never checks the key of these two; here they are checked like the others
    yield post(DATA, "market/holidays", API, "V2", calendar.Holidays, calendar.holidays, "key")
    yield post(DATA, "market/timings", API, "V2", calendar.Timings, calendar.timings, "key")


def _not_yet() -> Iterator[Endpoint]:
    def later(path: str, limit: str, auth: str, method: str = "POST", scope: Scope = DATA) -> Endpoint:
        return Endpoint(method, path, limit, "V2", auth, scope=scope)

    # OpenAlgo never checks the key of this one; here it is checked like the others
    yield later("sip/frequencies", "SIP_API_RATE_LIMIT", "key", "GET")
    yield from _messaging()
    yield later("portfolio/benchmarks", API, "key", "GET")
    yield later("portfolio/backtest", "PORTFOLIO_API_RATE_LIMIT", "key")
    yield later("portfolio/tearsheet", "PORTFOLIO_TEARSHEET_RATE_LIMIT", "key")
    yield later("portfolio/holdings", "PORTFOLIO_API_RATE_LIMIT", "session", scope=READ)
    yield later("sip/backtest", "SIP_API_RATE_LIMIT", "key")


def _messaging() -> Iterator[Endpoint]:
    def telegram(method: str, path: str, limit: str = "TELEGRAM_RATE_LIMIT") -> Endpoint:
        return Endpoint(
            method,
            path,
            limit,
            "V2",
            "key",
            scope=MANAGE,
            bad_key_status=401,
            bad_key_message=TELEGRAM_KEY,
            key_header=True,
        )

    for path in ("start", "stop", "notify", "config", "preferences"):
        yield telegram("POST", f"telegram/{path}")
    for path in ("config", "users", "stats", "preferences"):
        yield telegram("GET", f"telegram/{path}")
    yield telegram("POST", "telegram/broadcast", "BROADCAST_RATE_LIMIT")
    yield Endpoint("POST", "telegram/webhook", "WEBHOOK_RATE_LIMIT", "V2", "none", scope=ANY)
    yield telegram("POST", "whatsapp/notify", "WHATSAPP_RATE_LIMIT")


ENDPOINTS: tuple[Endpoint, ...] = (*_served(), *_options_and_calendar(), *_not_yet())

WEBHOOKS = (
    "/strategy/webhook/<webhook_id>",
    "/chartink/webhook/<webhook_id>",
    "/flow/webhook/<token>",
    "/flow/webhook/<token>/<symbol>",
    "/postback/<broker>",
)
"""Outside ``/api/v1``; authenticated by their path, so there is no key to check."""
