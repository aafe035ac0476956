"""What was last known of the prices an armed GTT waits for: a row each, replaced, not a journal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from sqlalchemy import Column, Connection, ForeignKey, Integer, String, Table, delete, select
from sqlalchemy.dialects.sqlite import insert

from gateway.store.engine import Database
from gateway.store.tables import METADATA
from gateway.triggers.missed import Mark

GTT_MARKS = Table(
    "gtt_marks",
    METADATA,
    Column("gtt_id", Integer, ForeignKey("gtts.id"), primary_key=True),
    Column("at_ns", Integer, nullable=False),
    Column("day", String, nullable=False, comment="IST date of the session"),
    Column("high", String, nullable=False),
    Column("low", String, nullable=False),
)


class GttMarks:
    """The marks of one database. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[int, Mark]:
        with self._database.read() as connection:
            rows = connection.execute(select(GTT_MARKS)).all()
        return {
            r.gtt_id: Mark(r.at_ns, date.fromisoformat(r.day), Decimal(r.high), Decimal(r.low)) for r in rows
        }

    def put(self, marks: Mapping[int, Mark]) -> None:
        """Replace these, in one commit."""

        def work(connection: Connection) -> None:
            for gtt_id, mark in marks.items():
                values = {
                    "at_ns": mark.at_ns,
                    "day": mark.day.isoformat(),
                    "high": str(mark.high),
                    "low": str(mark.low),
                }
                statement = insert(GTT_MARKS).values(gtt_id=gtt_id, **values)
                connection.execute(statement.on_conflict_do_update(index_elements=["gtt_id"], set_=values))

        if marks:
            self._database.write(work)

    def drop(self, gtt_id: int) -> None:
        """The terms have changed: nothing is known of them."""
        self._database.write(lambda c: c.execute(delete(GTT_MARKS).where(GTT_MARKS.c.gtt_id == gtt_id)))
