"""The whole public surface as one table. A row without a handler answers 501 after the key check.

Source: openalgo-endpoints.json; ``tests/gateway/api/test_surface.py`` holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from marshmallow import Schema

from gateway.api import account, baskets, margin, order_schemas, orders, quotes, schemas, smart, symbols
from gateway.api.parts import Endpoint, Handler

API = "API_RATE_LIMIT"
ORDER = "ORDER_RATE_LIMIT"
TELEGRAM_KEY = "Invalid or missing API key"


def _served() -> Iterator[Endpoint]:
    def post(
        path: str, limit: str, style: str, schema: type[Schema], handler: Handler, auth: str = "session"
    ) -> Endpoint:
        return Endpoint("POST", path, limit, style, auth, schema, handler)

    yield post("placeorder", ORDER, "V1", schemas.PlaceOrder, orders.place)
    yield post("placesmartorder", "SMART_ORDER_RATE_LIMIT", "V1", order_schemas.Smart, smart.place)
    yield post("basketorder", API, "V1", order_schemas.Basket, baskets.basket)
    yield post("splitorder", API, "V1", order_schemas.Split, baskets.split)
    yield post("margin", API, "V1", order_schemas.MarginOf, margin.margin)
    yield post("modifyorder", ORDER, "V1", schemas.ModifyOrder, orders.modify)
    yield post("cancelorder", ORDER, "V1", schemas.CancelOrder, orders.cancel)
    yield post("cancelallorder", API, "V1", schemas.Strategy, orders.cancel_all)
    yield post("closeposition", API, "V1", schemas.Strategy, orders.close_all)
    yield post("orderstatus", API, "V1", schemas.OrderStatusOf, account.order_status)
    yield post("openposition", API, "V1", schemas.OpenPosition, account.open_position)
    yield post("orderbook", API, "V2", schemas.KeyOnly, account.order_book)
    yield post("tradebook", API, "V2", schemas.KeyOnly, account.trade_book)
    yield post("positionbook", API, "V2", schemas.KeyOnly, account.position_book)
    yield post("holdings", API, "V2", schemas.KeyOnly, account.holdings)
    yield post("funds", API, "V2", schemas.KeyOnly, account.funds)
    yield post("ping", API, "V2", schemas.KeyOnly, account.ping)
    yield post("quotes", API, "V2", schemas.OneSymbol, quotes.quotes)
    yield post("multiquotes", API, "V2", schemas.ManySymbols, quotes.multi_quotes)
    yield post("depth", API, "V2", schemas.OneSymbol, quotes.depth)
    yield post("history", API, "V2", schemas.History, quotes.history)
    yield post("intervals", API, "V2", schemas.KeyOnly, quotes.intervals)
    yield post("symbol", API, "V2", schemas.OneSymbol, symbols.symbol)
    yield post("search", API, "V2", schemas.Search, symbols.search, "key")
    yield post("expiry", API, "V2", schemas.Expiry, symbols.expiry, "key")
    yield Endpoint("GET", "instruments", API, "V2", "key", schemas.Instruments, symbols.instruments)


def _not_yet() -> Iterator[Endpoint]:
    def later(path: str, limit: str, style: str, auth: str, method: str = "POST") -> Endpoint:
        return Endpoint(method, path, limit, style, auth)

    for path in ("analyzer", "analyzer/toggle"):
        yield later(path, API, "V1", "session")
    for path in ("optionsorder", "optionsmultiorder"):
        yield later(path, ORDER, "V3", "session")
    for path in ("placegttorder", "modifygttorder", "cancelgttorder"):
        yield later(path, ORDER, "V1", "session")
    yield later("gttorderbook", API, "V2", "session")
    for path in ("optionsymbol", "optionchain", "syntheticfuture"):
        yield later(path, API, "V3", "session")
    yield replace(later("optiongreeks", "GREEKS_RATE_LIMIT", "V4", "key"), bad_key_status=401)
    yield replace(later("multioptiongreeks", API, "V4", "key"), bad_key_status=401)
    yield replace(later("pnl/symbols", API, "V2", "key"), bad_key_message="Invalid API key")
    yield replace(later("ticker/<symbol>", API, "V2", "session", "GET"), bare_only=True)
    yield later("chart", API, "V2", "key", "GET")
    yield later("chart", API, "V2", "key")
    # OpenAlgo never checks the key of these three; here they are checked like the others
    yield later("market/holidays", API, "V2", "key")
    yield later("market/timings", API, "V2", "key")
    yield later("sip/frequencies", "SIP_API_RATE_LIMIT", "V2", "key", "GET")
    yield from _messaging()
    yield later("portfolio/benchmarks", API, "V2", "key", "GET")
    yield later("portfolio/backtest", "PORTFOLIO_API_RATE_LIMIT", "V2", "key")
    yield later("portfolio/tearsheet", "PORTFOLIO_TEARSHEET_RATE_LIMIT", "V2", "key")
    yield later("portfolio/holdings", "PORTFOLIO_API_RATE_LIMIT", "V2", "session")
    yield later("sip/backtest", "SIP_API_RATE_LIMIT", "V2", "key")


def _messaging() -> Iterator[Endpoint]:
    def telegram(method: str, path: str, limit: str = "TELEGRAM_RATE_LIMIT") -> Endpoint:
        return Endpoint(
            method,
            path,
            limit,
            "V2",
            "key",
            bad_key_status=401,
            bad_key_message=TELEGRAM_KEY,
            key_header=True,
        )

    for path in ("start", "stop", "notify", "config", "preferences"):
        yield telegram("POST", f"telegram/{path}")
    for path in ("config", "users", "stats", "preferences"):
        yield telegram("GET", f"telegram/{path}")
    yield telegram("POST", "telegram/broadcast", "BROADCAST_RATE_LIMIT")
    yield Endpoint("POST", "telegram/webhook", "WEBHOOK_RATE_LIMIT", "V2", "none")
    yield telegram("POST", "whatsapp/notify", "WHATSAPP_RATE_LIMIT")


ENDPOINTS: tuple[Endpoint, ...] = (*_served(), *_not_yet())

WEBHOOKS = (
    "/strategy/webhook/<webhook_id>",
    "/chartink/webhook/<webhook_id>",
    "/flow/webhook/<token>",
    "/flow/webhook/<token>/<symbol>",
    "/postback/<broker>",
)
"""Outside ``/api/v1``; authenticated by their path, so there is no key to check."""
