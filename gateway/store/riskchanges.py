"""What the owner changed of the risk limits while the instance ran: rows that are only added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, func, insert, select

from brokers.clock import Clock
from gateway.store.engine import Database
from gateway.store.tables import RISK_CHANGES


@dataclass(frozen=True, slots=True)
class Change:
    """One limit, changed once. Texts are as the env file would have them; empty is no limit.

    Attributes:
        value: What holds from then on; None: what the env file says.
        before: What held before.
        env: What the env file said then.
    """

    id: int
    at: datetime
    who: str
    setting: str
    value: str | None
    before: str
    env: str


class RiskChanges:
    """The table of one instance. Thread-safe."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def newest(self, most: int) -> list[Change]:
        """Newest first."""
        statement = select(RISK_CHANGES).order_by(RISK_CHANGES.c.id.desc()).limit(most)
        with self._database.read() as connection:
            return [_value(row) for row in connection.execute(statement)]

    def standing(self) -> dict[str, Change]:
        """Setting -> its last change."""
        last = select(func.max(RISK_CHANGES.c.id)).group_by(RISK_CHANGES.c.setting)
        statement = select(RISK_CHANGES).where(RISK_CHANGES.c.id.in_(last)).order_by(RISK_CHANGES.c.id)
        with self._database.read() as connection:
            return {row.setting: _value(row) for row in connection.execute(statement)}

    def add(
        self, who: str, values: Mapping[str, str | None], before: Mapping[str, str], env: Mapping[str, str]
    ) -> None:
        """All or none. Raises ``StoreError`` when they could not be written."""
        at = self._clock.now().isoformat()
        rows = [
            {"at": at, "who": who, "setting": name, "value": text, "before": before[name], "env": env[name]}
            for name, text in values.items()
        ]

        def work(connection: Connection) -> None:
            connection.execute(insert(RISK_CHANGES), rows)

        if rows:
            self._database.write(work)


def _value(row: Row[tuple[object, ...]]) -> Change:
    return Change(
        row.id, datetime.fromisoformat(row.at), row.who, row.setting, row.value, row.before, row.env
    )
