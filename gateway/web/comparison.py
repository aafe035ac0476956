"""The page "Comparison": the newest figures of ``algo compare``, the same on every instance of a home."""

from __future__ import annotations

from flask import Blueprint, Response
from markupsafe import Markup

from brokers.clock import IST
from gateway import comparisonfile
from gateway.store.users import User
from gateway.web.shell import Web, show, signed_in


def add_routes(pages: Blueprint, web: Web) -> None:
    folder = comparisonfile.folder_of(web.parts.settings.run_dir)

    @pages.get("/comparison")
    def comparison() -> Response:
        def view(user: User) -> Response:
            # from our own file with escaped values; the policy of the page lets no script of it run
            kept = [
                {"kind": one.kind, "title": one.title, "at": f"{one.at.astimezone(IST):%d %b %H:%M} IST"}
                | {"html": Markup(one.html)}
                for one in comparisonfile.read(folder)
            ]
            return show(web, "comparison.html", user=user, kept=kept, module="pages/plain.js")

        return signed_in(web, view)
