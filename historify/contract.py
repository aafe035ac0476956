"""What every market-data store offers; ``tests/historify/contract`` holds all of them to it.

Reading needs no lock and no running puller. Writing needs a ``Fence``: the epoch of the lease under which the
writer works, checked inside the transaction that makes a batch visible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

from historify.model import BarRequest, Bars, CatalogRow, DayState, Provenance, PutReport, Series


class Fence(Protocol):
    """Permission to write; ``epoch`` grows with every change of the puller."""

    @property
    def epoch(self) -> int:
        """Which change of the puller this permission belongs to; 1 is the first."""
        ...


class BarStore(Protocol):
    """Candles of all instruments. Thread-safe.

    Every method raises ``StoreDamaged``, ``StoreBusy`` or ``StoreFull`` when the store, not the data, is the
    reason; an empty answer means that there are no bars.
    """

    def get(self, request: BarRequest) -> Bars:
        """Bars of one instrument, ascending; computed intervals are aligned to the day's session.

        Raises:
            WrongInterval: None the store keeps or computes.
        """
        ...

    def latest(self, keys: Sequence[tuple[str, str]], interval: str) -> Mapping[tuple[str, str], Bars]:
        """The last stored day of many ``(exchange, symbol)`` at ``1m`` or ``D``, in one go."""
        ...

    def catalog(self, exchange: str | None = None, symbol: str | None = None) -> list[CatalogRow]:
        """One row a stored series with its bounds (epoch seconds), count and size; None: of all."""
        ...

    def coverage(self, series: Series, start: date, end: date) -> Mapping[date, DayState]:
        """Days that were asked for; a trading day that is missing was never asked."""
        ...

    def put(
        self,
        series: Series,
        bars: Bars,
        *,
        fence: Fence,
        provenance: Provenance,
        covered: Mapping[date, DayState] | None = None,
    ) -> PutReport:
        """Insert or replace bars by ``ts``; bars, catalog, coverage and provenance become visible at once.

        Returns only when the batch survives a kill of the process. The same batch twice changes nothing.

        Raises:
            LeaseLost: ``fence.epoch`` is not the store's current one; nothing was published.
            StoreFull: No room; nothing was published.
            WrongInterval: ``series.interval`` is not a stored one.
        """
        ...

    def delete(
        self, series: Series, *, fence: Fence, start: date | None = None, end: date | None = None
    ) -> int:
        """Remove bars (all, or of days start..end inclusive) and their coverage; returns how many."""
        ...

    def export(self, request: BarRequest, path: Path) -> int:
        """Write one Parquet or CSV file (by suffix) with the ten columns of ``market_data``; returns rows."""
        ...

    def close(self) -> None:
        """Let go of files and connections; nothing may be asked afterwards."""
        ...
