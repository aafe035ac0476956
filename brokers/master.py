"""Instrument masters: fetching a file, reading its table, and counting what is left out."""

from __future__ import annotations

import csv
import io
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from brokers.contract import ParsedInstruments
from brokers.errors import BrokerDown, WireError
from brokers.model import Instrument, InstrumentKey
from brokers.transport import Transport


class Skip(Exception):
    """Why a row is not fit for the table; counted under these words."""


def fetch(transport: Transport, url: str, title: str, *, read_timeout_s: float | None = None) -> bytes:
    """A public file, whole. No session's headers go with it.

    Raises:
        BrokerDown: It did not come; the table stays as it is.
    """
    reply = transport.fetch("GET", url, headers={"Accept": "*/*"}, read_timeout_s=read_timeout_s)
    if reply.status != 200:
        name = url.rsplit("/", 1)[-1]
        raise BrokerDown(f"{title} answered HTTP {reply.status} for {name}; try again later")
    return reply.body


def table(
    content: bytes, columns: Sequence[str], name: str, skipped: Counter[str] | None = None
) -> Iterator[tuple[str, ...]]:
    """These columns of each line of a CSV file, in this order, as written.

    Names in the header may carry blanks and semicolons around them. Empty lines are nothing.

    Args:
        columns: At least two.
        name: Of the file, for messages.
        skipped: Takes the count of lines that are too short; without it such a line is an error.

    Raises:
        WireError: A column is missing, the file is no CSV, or a line is too short.
    """
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", errors="replace", newline="")
    reader = csv.reader(text)
    try:
        header = [column.strip(" ;") for column in next(reader, [])]
        if missing := [column for column in columns if column not in header]:
            raise WireError(f"{name}: no {', '.join(missing)}", content[:2000])
        places = [header.index(column) for column in columns]
        longest, pick = max(places), operator.itemgetter(*places)
        for line in reader:
            if len(line) > longest:
                yield pick(line)
            elif any(line):
                if skipped is None:
                    said = f"{name} line {reader.line_num}: {len(line)} columns"
                    raise WireError(said, ",".join(line).encode())
                skipped["short row"] += 1
    except csv.Error as exc:
        raise WireError(f"{name} cannot be read: {exc}", content[:500]) from exc


class Collected:
    """Rows of a master, one for each (exchange, symbol): the first of two stays.

    Attributes:
        skipped: What was left out: reason -> count.
    """

    def __init__(self) -> None:
        self._rows: dict[InstrumentKey, Instrument] = {}
        self.skipped: Counter[str] = Counter()

    def add(self, instrument: Instrument) -> None:
        """Keep a row unless its name is taken."""
        if self._rows.setdefault(instrument.key, instrument) is not instrument:
            self.skipped["same symbol again"] += 1

    def read(self, lines: Iterable[tuple[str, ...]], make: Callable[[tuple[str, ...]], Instrument]) -> None:
        """Keep what ``make`` makes of each line; a ``Skip`` or a number it cannot read costs that line."""
        for line in lines:
            try:
                self.add(make(line))
            except Skip as exc:
                self.skipped[str(exc)] += 1
            except (ValueError, ArithmeticError):
                self.skipped["unreadable number"] += 1

    def has(self, key: InstrumentKey) -> bool:
        """Whether a row of this name was kept."""
        return key in self._rows

    def parsed(self, title: str) -> ParsedInstruments:
        """All of it. Raises ``WireError`` when there is no row at all: an empty table helps nobody."""
        if not self._rows:
            raise WireError(f"{title}'s instrument file has no usable row")
        return ParsedInstruments(list(self._rows.values()), dict(self.skipped))
