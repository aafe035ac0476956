"""The pages a trader keeps open: dashboard, books, market watch, playground.

Scripts fill them; what is known at once is in the page already, also without a script.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from gateway.store.users import User
from gateway.web import watchlists
from gateway.web.shell import Web, show, signed_in

BOOKS = ("orders", "trades", "positions", "holdings")


def add_routes(pages: Blueprint, web: Web) -> None:
    @pages.get("/")
    def dashboard() -> Response:
        def view(user: User) -> Response:
            first = {"state": web.live.state(), "books": web.live.books()}
            return show(web, "dashboard.html", user=user, module="pages/dashboard.js", first=first)

        return signed_in(web, view)

    for book in BOOKS:
        pages.add_url_rule(f"/{book}", book, _book_view(web, book), methods=["GET"])

    @pages.get("/watch")
    def watch() -> Response:
        def view(user: User) -> Response:
            first = {"lists": watchlists.of(web, user), "levels": _levels(web)}
            return show(web, "watch.html", user=user, module="pages/watch.js", first=first)

        return signed_in(web, view)

    @pages.get("/playground")
    def playground() -> Response:
        def view(user: User) -> Response:
            return show(web, "playground.html", user=user, module="pages/playground.js")

        return signed_in(web, view)


def _book_view(web: Web, book: str) -> Any:
    def view(user: User) -> Response:
        first = {"tab": book, "state": web.live.state(), "books": web.live.books()}
        return show(web, "books.html", user=user, module="pages/books.js", first=first, tab=book)

    return lambda: signed_in(web, view)


def _levels(web: Web) -> list[int]:
    """Depths the broker's feed offers, beside the usual five."""
    return sorted({5, *web.parts.settings.spec.capabilities.book_levels})
