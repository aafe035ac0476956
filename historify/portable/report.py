"""What an import found and did, as values and as plain JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from historify.model import Series
from historify.portable.columns import RowError

MOST_ERRORS = 100
"""Bad values that are listed; all are counted."""


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """``rows`` in the file; ``added``, ``changed`` in the store. Times are epoch seconds of an opening."""

    series: Series
    rows: int
    first_ts: int
    last_ts: int
    added: int = 0
    changed: int = 0


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What a file holds, and after an import what it changed.

    Attributes:
        style: How its times are written.
        rows: All of them; ``bad`` of these cannot be read, each with one or more of ``errors``.
        imported: False for a dry run and a refused import: nothing was written.
    """

    file: str
    kind: str
    style: str
    zone: str
    rows: int
    bad: int
    errors: Sequence[RowError]
    series: Sequence[SeriesReport]
    imported: bool = False

    @property
    def added(self) -> int:
        """Bars that were not there before, over all series."""
        return sum(each.added for each in self.series)

    @property
    def changed(self) -> int:
        """Bars that were there with other values, over all series."""
        return sum(each.changed for each in self.series)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "file": self.file,
            "kind": self.kind,
            "style": self.style,
            "zone": self.zone,
            "rows": self.rows,
            "bad": self.bad,
            "imported": self.imported,
            "added": self.added,
            "changed": self.changed,
            "errors": [{"line": e.line, "column": e.column, "why": e.why} for e in self.errors],
            "series": [
                {
                    "exchange": each.series.exchange,
                    "symbol": each.series.symbol,
                    "interval": each.series.interval,
                    "rows": each.rows,
                    "first_ts": each.first_ts,
                    "last_ts": each.last_ts,
                    "added": each.added,
                    "changed": each.changed,
                }
                for each in self.series
            ],
        }
