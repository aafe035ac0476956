"""Where a store lives: the face people open, and the folder beside it that holds the bars."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote


@dataclass(frozen=True, slots=True)
class StorePaths:
    """Every path of one store, derived from the face's.

    Attributes:
        face: ``db/historify.duckdb``: the small DuckDB file users and tools open.
    """

    face: Path

    @property
    def root(self) -> Path:
        """``db/historify.d``: belongs to the face, moves and is backed up with it."""
        return self.face.with_suffix(".d")

    @property
    def control(self) -> Path:
        """The manifest, SQLite; ``historify.control`` alone opens it."""
        return self.root / "control.db"

    @property
    def lock(self) -> Path:
        """Opened by the puller alone; closing any other descriptor on it would drop its lock."""
        return self.root / "puller.lock"

    @property
    def bars(self) -> Path:
        """The Parquet segments, Hive-style folders."""
        return self.root / "bars"

    @property
    def inbox(self) -> Path:
        """Candles another instance's broker answered, waiting for the puller to publish them."""
        return self.root / "inbox"

    def folder(self, exchange: str, symbol: str, interval: str) -> Path:
        """Hive-style folder of one series; parts percent-encoded as DuckDB decodes them."""
        return (
            self.bars
            / f"interval={_encoded(interval)}"
            / f"exchange={_encoded(exchange)}"
            / f"symbol={_encoded(symbol)}"
        )


def _encoded(part: str) -> str:
    return quote(part, safe="")


def decoded(part: str) -> str:
    """The value of one ``name=value`` folder."""
    return unquote(part.partition("=")[2])


def is_server(url: str) -> bool:
    """Whether the store is a PostgreSQL one instead of files."""
    return url.startswith(("postgresql://", "postgres://"))
