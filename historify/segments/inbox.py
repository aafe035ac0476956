"""Candles another instance's broker answered, left for the puller to publish.

No pyarrow: api processes write it. One file for each
answer, written whole and renamed; the puller takes the oldest first and deletes a file once its bars are
published. What is lost with a power cut is pulled again some day: the inbox is a courtesy.
"""

from __future__ import annotations

import logging
import os
import time
import zlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from historify.errors import StoreError
from historify.model import Bars, DayState, Provenance, Series

MOST = 2000
"""Files waiting; more means that no puller has run for long, and new ones are not kept."""
KINDS = (
    ("ts", "q"),
    ("open", "d"),
    ("high", "d"),
    ("low", "d"),
    ("close", "d"),
    ("volume", "q"),
    ("oi", "q"),
)
log = logging.getLogger(__name__)
_number = count()


@dataclass(frozen=True, slots=True)
class Letter:
    """One waiting answer; ``path`` is deleted by ``Inbox.done``."""

    path: Path
    series: Series
    bars: Bars
    provenance: Provenance
    covered: Mapping[date, DayState]


class Inbox:
    """The folder ``historify.d/inbox``. Any process drops; only the puller takes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def drop(
        self,
        series: Series,
        bars: Bars,
        provenance: Provenance,
        covered: Mapping[date, DayState] | None = None,
    ) -> bool:
        """Leave an answer; False when too many wait already.

        Raises:
            StoreError: The folder cannot be written.
        """
        body = msgspec.msgpack.encode(
            {
                "series": [series.exchange, series.symbol, series.interval],
                "provenance": [provenance.source, provenance.at_s, provenance.job, provenance.note],
                "covered": [(day.isoformat(), str(state)) for day, state in (covered or {}).items()],
                "columns": [getattr(bars, name).tobytes() for name, _ in KINDS],
            }
        )
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(_number)}.bars"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if len(os.listdir(self._folder)) >= MOST:
                return False
            temp = self._folder / f".{name}.tmp"
            temp.write_bytes(zlib.crc32(body).to_bytes(4, "little") + body)
            temp.rename(self._folder / name)
        except OSError as exc:
            raise StoreError(f"{self._folder}: {exc.strerror}; the candles were not kept") from exc
        return True

    def waiting(self, most: int = 64) -> list[Letter]:
        """The oldest answers; a file that is none is put aside as ``.bad`` and logged."""
        if not self._folder.is_dir():
            return []
        names = sorted(name for name in os.listdir(self._folder) if name.endswith(".bars"))
        letters = []
        for name in names[:most]:
            path = self._folder / name
            try:
                letters.append(_opened(path))
            except (ValueError, TypeError, KeyError, msgspec.MsgspecError) as exc:
                self.reject(path, str(exc))
        return letters

    def done(self, letter: Letter) -> None:
        """Its bars are published."""
        letter.path.unlink(missing_ok=True)

    def reject(self, path: Path, why: str) -> None:
        """Put a file aside that cannot be published, for a person to look at."""
        log.warning("inbox: %s cannot be used: %s", path.name, why)
        path.rename(path.with_suffix(".bad"))


def _opened(path: Path) -> Letter:
    content = path.read_bytes()
    if zlib.crc32(content[4:]) != int.from_bytes(content[:4], "little"):
        raise ValueError("its content is not what was written")
    raw: dict[str, Any] = msgspec.msgpack.decode(content[4:])
    columns = []
    for (_, kind), data in zip(KINDS, raw["columns"], strict=True):
        column: array[Any] = array(kind)
        column.frombytes(data)
        columns.append(column)
    source, at_s, job, note = raw["provenance"]
    covered = {date.fromisoformat(day): DayState(state) for day, state in raw["covered"]}
    return Letter(path, Series(*raw["series"]), Bars(*columns), Provenance(source, at_s, job, note), covered)
