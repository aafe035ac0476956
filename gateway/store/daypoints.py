"""Points of the day's result, kept so that a page opened late shows the line from its beginning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, delete, insert, select

from gateway.store.engine import Database
from gateway.store.tables import DAY_POINTS


@dataclass(frozen=True, slots=True)
class Point:
    """Rupees. ``unpriced``: open positions nobody has a price for; they count nothing."""

    at_ms: int
    realised: float
    unrealised: float
    unpriced: int

    @property
    def values(self) -> tuple[float, float, int]:
        """Everything but the time."""
        return self.realised, self.unrealised, self.unpriced


class DayPoints:
    """The table of one instance: one day of live points, one of paper ones. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, day: date, *, paper: bool) -> list[Point]:
        """Oldest first."""
        table = DAY_POINTS.c
        wanted = (table.day == day.isoformat()) & (table.paper == int(paper))
        with self._database.read() as connection:
            rows = connection.execute(select(DAY_POINTS).where(wanted).order_by(table.at_ms))
            return [Point(row.at_ms, row.realised, row.unrealised, row.unpriced) for row in rows]

    def add(self, day: date, point: Point, *, paper: bool) -> None:
        """Keep a point; those of other days go. Raises ``StoreError``."""
        values = {
            "paper": int(paper),
            "day": day.isoformat(),
            "at_ms": point.at_ms,
            "realised": point.realised,
            "unrealised": point.unrealised,
            "unpriced": point.unpriced,
        }

        def work(connection: Connection) -> None:
            connection.execute(delete(DAY_POINTS).where(DAY_POINTS.c.day != day.isoformat()))
            connection.execute(insert(DAY_POINTS).prefix_with("OR REPLACE").values(values))

        self._database.write(work)
