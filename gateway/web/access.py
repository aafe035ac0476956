"""Who is looking at an instance's pages: ``gateway.pagekit.access``, kept in the database."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import msgspec
from flask import request, session

from brokers.clock import Clock
from gateway.pagekit import access
from gateway.pagekit.access import DAY_ENDS_AT as DAY_ENDS_AT
from gateway.pagekit.access import Csrf as Csrf
from gateway.pagekit.access import OneTimeCode as OneTimeCode
from gateway.pagekit.access import cookie_settings as cookie_settings
from gateway.pagekit.access import next_day_end as next_day_end
from gateway.pagekit.access import over_tls as over_tls
from gateway.store import kv
from gateway.store.engine import Database
from gateway.tickets import SIGNED_OUT

SIGNED_IN = "web_sessions"
BROWSERS = ("Edg", "OPR", "Firefox", "Chrome", "Safari")
"""The most telling first: each names those behind it too."""
SYSTEMS = ("Windows", "Android", "iPhone", "iPad", "Mac OS X", "Linux")
NAMES = {"Edg": "Edge", "OPR": "Opera", "Mac OS X": "macOS"}


@dataclass(frozen=True, slots=True)
class SignedIn:
    """One browser that signed in. Times are epoch seconds; ``browser`` is what it said of itself."""

    until: float
    at: float
    browser: str = ""


class WebSessions(access.WebSessions):
    """Signed cookies with an end, which of them there are, and the ones that were signed out.

    Args:
        database: Keeps both over a restart: a copy of a cookie stays worthless. None: in memory.
    """

    def __init__(self, clock: Clock, database: Database | None = None) -> None:
        super().__init__(clock, None if database is None else _Kept(database))
        self._known_clock = clock
        self._database = database
        self._known_lock = threading.Lock()
        self._known = {} if database is None else _load(database)

    def sign_in(self, user_id: int) -> None:
        super().sign_in(user_id)
        now = self._known_clock.now().timestamp()
        made = SignedIn(self.until, now, browser_of(request.headers.get("User-Agent", "")))
        self._keep({**self._living(), self.sid: made})

    def signed_in(self) -> dict[str, SignedIn]:
        """The browsers that are signed in now, by session id; the newest first."""
        return dict(sorted(self._living().items(), key=lambda pair: -pair[1].at))

    def sign_out_everywhere(self) -> list[str]:
        """Every session, this one too; their ids."""
        ended = {sid: one.until for sid, one in self._living().items()} | {self.sid: self.until}
        session.clear()
        self.revoke(ended)
        self._keep({})
        return list(ended)

    def _living(self) -> dict[str, SignedIn]:
        return {sid: one for sid, one in self._known.items() if self.alive(sid, one.until)}

    def _keep(self, known: dict[str, SignedIn]) -> None:
        with self._known_lock:
            self._known = known
            if self._database is not None:
                text = msgspec.json.encode(known).decode()
                self._database.write(lambda connection: kv.put(connection, SIGNED_IN, text))


def browser_of(agent: str) -> str:
    """A few words a person knows a browser by; empty when it says nothing known."""
    browser = next((name for name in BROWSERS if f"{name}/" in agent), "")
    system = next((name for name in SYSTEMS if name in agent), "")
    words = [NAMES.get(name, name) for name in (browser, system) if name]
    return " on ".join(words)


def _load(database: Database) -> dict[str, SignedIn]:
    with database.read() as connection:
        text = kv.get(connection, SIGNED_IN)
    return msgspec.json.decode(text, type=dict[str, SignedIn]) if text else {}


class _Kept:
    """In the table of small facts, where the feed looks too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> dict[str, float]:
        with self._database.read() as connection:
            text = kv.get(connection, SIGNED_OUT)
        return msgspec.json.decode(text, type=dict[str, float]) if text else {}

    def keep(self, revoked: dict[str, float]) -> None:
        text = msgspec.json.encode(revoked).decode()
        self._database.write(lambda connection: kv.put(connection, SIGNED_OUT, text))
