"""The store on a PostgreSQL server, with TimescaleDB where it is installed. Needs the extra ``postgres``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import cast

from brokers.calendar import Calendar
from historify.contract import BarStore
from historify.errors import StoreError
from historify.reader.actions import CorporateAction


def open_postgres(
    url: str,
    *,
    calendar: Calendar,
    writer: str = "",
    actions: Callable[[str, str], Sequence[CorporateAction]] | None = None,
) -> BarStore:
    """The store at ``url``; its tables are made when missing.

    Args:
        url: ``postgresql://…``; see ``historify.postgres.address`` for our own parameters in it.
        writer: Names the home whose lease numbers the epochs; see ``historify.postgres.fence``.

        actions: Splits and bonuses of ``exchange, symbol``; without it adjusted views are refused.

    Raises:
        SettingsError: The URL cannot be read.
        StoreError: The driver is not installed, or the tables are another program's or a newer version's.
        StoreBusy: The server cannot be reached.
    """
    try:
        module = importlib.import_module("historify.postgres.store")
    except ModuleNotFoundError as exc:
        if exc.name is None or not exc.name.startswith("psycopg"):
            raise
        raise StoreError("a PostgreSQL store needs its driver: pip install 'psycopg[binary]'") from exc
    return cast(BarStore, module.PostgresStore(url, calendar=calendar, writer=writer, actions=actions))
