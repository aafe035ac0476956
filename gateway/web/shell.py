"""The pages of one instance on ``gateway.pagekit``: what they are built from, and their navigation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, request

from brokers.model import Venue
from gateway.api.parts import Parts
from gateway.http.gate import caller
from gateway.pagekit import frame
from gateway.pagekit.frame import Entry
from gateway.pagekit.frame import show as show
from gateway.pagekit.frame import to as to
from gateway.pagekit.hues import hue_of
from gateway.store.users import User
from gateway.web.access import Csrf, OneTimeCode, WebSessions
from gateway.web.assets import Assets
from gateway.web.live import Live

NAVIGATION: tuple[Entry, ...] = (
    Entry("web.dashboard", "Dashboard"),
    Entry("web.orders", "Orders", ("web.trades", "web.positions", "web.holdings")),
    Entry("web.watch", "Market watch"),
    Entry("web.latency", "Latency"),
    Entry("web.comparison", "Comparison"),
    Entry("web.scalping", "Scalping"),
    Entry("web.option_chain", "Option chain"),
    Entry("web.market_data", "Market data"),
    Entry("web.strategies", "Strategies"),
    Entry("web.traffic", "Traffic"),
    Entry("web.settings", "Settings", ("web.playground",)),
)
"""A new page adds a line here and its routes in ``pages.blueprint``."""


@dataclass(frozen=True, slots=True)
class Web:
    """What the pages are built from; a ``House`` of ``gateway.pagekit.doors``."""

    parts: Parts
    sessions: WebSessions
    csrf: Csrf
    code: OneTimeCode
    live: Live
    assets: Assets

    def user(self) -> User | None:
        """The signed-in user of the present request."""
        user_id = self.sessions.user_id()
        return self.parts.users.get(user_id) if user_id is not None else None

    def now(self) -> Parts:
        """The parts of the mode of this moment, for one request to keep."""
        return self.parts.now() if self.parts.now is not None else self.parts

    def frame(self) -> dict[str, Any]:
        """The instance's name, broker and mode, for ``base.html``."""
        settings = self.parts.settings
        return {
            "settings": settings,
            "broker_title": settings.spec.title,
            "simulated": settings.venue is Venue.SIM,
            "analyzing": self.parts.analyzing(),
            "hue": hue_of(settings.name),
            "navigation": NAVIGATION,
        }

    def wait_s(self, endpoint: str, *, guessing: bool = False) -> float | None:
        """Count a request in the window of pages, or of sign-ins."""
        limit = "LOGIN_RATE_LIMIT" if guessing else "PAGE_RATE_LIMIT"
        return self.parts.limits.hit(limit, endpoint, caller(request.environ))

    def make_owner(self, username: str, password: str) -> int:
        """Raises ``InvalidRequest``."""
        return self.parts.users.create(username, password).id

    def owner_id(self, username: str, password: str) -> int | None:
        """Whose name and password these are."""
        user = self.parts.users.verify(username, password)
        return None if user is None else user.id

    def leave(self, *, everywhere: bool) -> None:
        """Sign out, here or in every browser, and end the Socket.IO connections of it."""
        if everywhere and self.sessions.user_id() is not None:
            for sid in self.sessions.sign_out_everywhere():
                self.live.disconnect(sid)
        self.live.disconnect(self.sessions.sid)
        self.sessions.sign_out()


def signed_in(web: Web, view: Callable[[User], Response]) -> Response:
    """A page for the owner only; everybody else is led to the sign-in."""
    return frame.signed_in(web.user(), view)
