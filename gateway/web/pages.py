"""All pages of one instance: the way in from ``gateway.pagekit``, each of the others from its own module."""

from __future__ import annotations

from flask import Blueprint

from gateway.pagekit import doors, frame
from gateway.pagekit.access import check_account as check_account
from gateway.web import charts, comparison, latency, marketdata, settingspage, strategies, traffic, views
from gateway.web.shell import Web, show

__all__ = ["Web", "blueprint", "show"]

WRONG_CODE = "The one-time code is not right. “algo up {name}” prints it, also while the instance runs."


def blueprint(web: Web) -> Blueprint:
    """Every route for people, behind the form token and the rate limits."""
    pages = Blueprint("web", __name__, template_folder="templates")
    frame.add_guard(pages, web)
    frame.add_files(pages, web.assets)
    frame.add_theme(pages)
    doors.add_setup(pages, web, then="web.start", wrong_code=WRONG_CODE.format(name=web.parts.settings.name))
    doors.add_sign_in(pages, web)
    views.add_routes(pages, web)
    latency.add_routes(pages, web)
    comparison.add_routes(pages, web)
    charts.add_routes(pages, web)
    marketdata.add_routes(pages, web)
    strategies.add_routes(pages, web)
    traffic.add_routes(pages, web)
    settingspage.add_routes(pages, web)
    return pages
