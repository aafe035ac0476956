"""``/internal/fleet``: what the fleet page shows of this instance, in one answer a second."""

from __future__ import annotations

import importlib.metadata
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, request

from gateway.api import errors, reply
from gateway.api.internal import HEADER, full_status, is_own
from gateway.api.parts import Parts
from gateway.web.live import Live

PACKAGE = "algo-gateways"
BOOKS_S = 5.0
"""How old the books may be while nothing was written to the journal, as on the instance's own pages."""
KEPT_BACK = ("owner_code", "warnings")
"""Of the status: nobody beside this machine's commands has a use for it."""


class Fleet:
    """Answers of one instance. The books are asked for seldom: a reading costs three broker calls."""

    def __init__(self, parts: Parts, live: Live) -> None:
        self._parts = parts
        self._live = live
        self._read_at = float("-inf")
        self._journal = -1
        self._books: dict[str, Any] = {}

    def look(self, known: int) -> dict[str, Any]:
        """Everything but the broker's own secrets.

        Args:
            known: The version of the books the asker has; the same ones are not sent again.
        """
        parts = self._parts.now() if self._parts.now is not None else self._parts
        issued_at = parts.session.status().issued_at
        trip = parts.desk.last_round_trip()
        books = self._books_now(parts)
        status = {name: value for name, value in full_status(parts).items() if name not in KEPT_BACK}
        return {
            **status,
            "now_ms": parts.clock.time_ns() // 1_000_000,
            "version": version(),
            "token_issued_at": issued_at.isoformat() if issued_at else None,
            "round_trip": None
            if trip is None
            else {"ms": (trip[1] - trip[0]) / 1e6, "at_ms": trip[1] // 1_000_000},
            "books_version": books.get("version", 0),
            "books": None if books.get("version", 0) == known else books,
        }

    def _books_now(self, parts: Parts) -> dict[str, Any]:
        now, journal = parts.clock.monotonic(), parts.desk.version
        if now - self._read_at >= BOOKS_S or journal != self._journal:
            self._journal, self._read_at = journal, now
            self._books = self._live.books()
        return self._books


def blueprint(parts: Parts, live: Live) -> Blueprint:
    api = Blueprint("fleet_api", __name__, url_prefix="/internal")
    fleet = Fleet(parts, live)

    @api.get("/fleet")
    def look() -> Response:
        if not is_own(parts, request.headers.get(HEADER, "")):
            found = errors.Problem(403, "FORBIDDEN", "for this instance's own processes only")
            return reply.problem(found, parts.settings.name)
        known = request.args.get("known", "")
        return reply.json(fleet.look(int(known) if known.isascii() and known.isdigit() else -1))

    return api


@cache
def version() -> str:
    """Of the code this process runs, also where it was never installed as a package."""
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        path = Path(__file__).parents[2] / "pyproject.toml"
        return (
            str(tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"])
            if path.exists()
            else ""
        )
