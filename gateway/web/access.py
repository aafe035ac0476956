"""Who is looking at an instance's pages: ``gateway.pagekit.access`` with its sign-outs in the database."""

from __future__ import annotations

import msgspec

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


class WebSessions(access.WebSessions):
    """Signed cookies with an end, and the ones that were signed out before it.

    Args:
        database: Keeps the sign-outs over a restart: a copy of a cookie stays worthless. None: in memory.
    """

    def __init__(self, clock: Clock, database: Database | None = None) -> None:
        super().__init__(clock, None if database is None else _Kept(database))


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
