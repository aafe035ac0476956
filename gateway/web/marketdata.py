"""Market data: what the store of this home holds, downloads, lists, files.

The script asks ``/api/v1/historify/*`` under the web session (``pageapi``); here is only what a page needs
beside it: how each trading day of a series stands.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, request

from brokers.errors import AlgoError, InvalidRequest
from gateway.api import reply
from gateway.api.fields import EXCHANGES
from gateway.api.historify_schemas import StoreCoverage
from gateway.api.quotes import store_of
from gateway.store.users import User
from gateway.web.shell import Web, show, signed_in
from historify.jobs import plan
from historify.jobs.model import Mode
from historify.model import INTERVALS, STORED, Series
from historify.portable import plain
from historify.portable.exporting import Format

SHOWN = 200
"""Series in the page as it is sent; the script asks for all."""
LONGEST = timedelta(days=750)
"""Of one question for days: two years of squares."""
NOT_ASKED = "missing"


def add_routes(pages: Blueprint, web: Web) -> None:
    @pages.get("/market-data")
    def market_data() -> Response:
        def view(user: User) -> Response:
            first = {
                "catalog": _first(web),
                "stored": list(STORED),
                "intervals": list(INTERVALS),
                "modes": [mode.value for mode in Mode],
                "formats": [one.value for one in Format],
                "exchanges": list(EXCHANGES),
                "today": web.parts.clock.now().date().isoformat(),
            }
            return show(web, "market_data.html", user=user, module="pages/market.js", first=first)

        return signed_in(web, view)


def _first(web: Web) -> dict[str, Any]:
    """The catalog, or why there is none: the page itself is there in any case."""
    try:
        return {"rows": [plain.catalog(row) for row in store_of(web.parts).store.catalog()[:SHOWN]]}
    except AlgoError as exc:
        return {"error": str(exc)}


def add_calls(api: Blueprint, web: Web) -> None:
    @api.get("/store/days")
    def days() -> Response:
        """``{"days": {"2026-11-20": "full"}}``, without the days on which nobody trades.

        ``full``, ``empty``, ``partial``, or ``missing`` when that trading day was never asked for.
        """
        given = StoreCoverage().load({**request.args.to_dict(), "apikey": "-"})
        start, end = given["start_date"], given["end_date"]
        if end - start > LONGEST:
            raise InvalidRequest(f"at most {LONGEST.days} days at once")
        history = store_of(web.parts)
        series = Series(given["exchange"], given["symbol"], given["interval"])
        known = history.store.coverage(series, start, end)
        trading = plan.days(series, start, end, history.calendar, history.clock.now())
        return reply.json({"days": {day.isoformat(): str(known.get(day, NOT_ASKED)) for day in trading}})
