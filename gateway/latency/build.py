"""Makes the recorder of one instance.

Stage times are worth much, but no order: what is wrong with their file is said, and trading goes on without
them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack

from brokers.calendar import Calendar
from brokers.clock import Clock
from brokers.errors import SettingsError, StoreError
from gateway.latency.presence import Presence
from gateway.latency.recorder import Recorder
from gateway.latency.tables import METADATA
from gateway.settings import Settings
from gateway.store import engine

log = logging.getLogger(__name__)


def recorder(
    settings: Settings, calendar: Calendar, clock: Clock, has_session: Callable[[], bool]
) -> Recorder | None:
    """Open the latency database; None when that cannot be done. Nothing is started."""
    exchanges = sorted(settings.spec.capabilities.exchanges)
    presence = Presence(
        settings.run_dir / "heartbeat" / f"{settings.name}.json",
        clock,
        is_open=lambda: any(calendar.is_open(exchange, clock.now()) for exchange in exchanges),
        has_session=has_session,
    )
    try:
        database = engine.open(settings.databases.latency, settings.venue, metadata=METADATA, durable=False)
        with ExitStack() as undo:
            undo.callback(database.close)
            made = Recorder(
                database,
                clock,
                broker=settings.broker,
                keep_days=settings.latency.keep_days,
                look=presence,
            )
            undo.pop_all()
            return made
    except (SettingsError, StoreError) as exc:
        log.error("%s: stage times of orders are not kept: %s", settings.where("LATENCY_DATABASE_URL"), exc)
        return None
