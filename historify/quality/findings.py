"""What a check found, and which pulls would mend it. Values only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

from historify.jobs.model import JobRequest, Mode
from historify.model import Series

JOINED_DAYS = 7
"""Ranges of one series closer than this become one pull: a broker answers months at a time."""


class Kind(StrEnum):
    """What looks wrong."""

    DAMAGED = "damaged"
    """The store cannot read these bars."""
    MISSING_DAY = "missing_day"
    UNFINISHED_DAY = "unfinished_day"
    """Pulled while the day was still running, and not since."""
    MISSING_PART = "missing_part"
    """A stretch of a session without a bar, longer than this instrument's own habits explain."""
    OFF_SESSION = "off_session"
    """Bars outside the hours the calendar knows."""
    REPEATED_DAY = "repeated_day"
    """A day's bars equal the day before, one by one."""
    INSANE = "insane"
    """High below low, a price that is not positive: no exchange prints that."""
    OUTLIER = "outlier"
    """One bar far from its neighbours, which agree with each other."""
    CORPORATE_ACTION = "corporate_action"
    """A jump by a simple ratio that stays: a split or bonus not imported, or adjusted data mixed in."""
    DISAGREEMENT = "disagreement"
    """The minutes of a day and its daily bar contradict each other."""


class Severity(StrEnum):
    """An error is wrong whatever the market did; a warning wants a look; an info is only told."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


_SEVERITY: Mapping[Kind, Severity] = {
    Kind.DAMAGED: Severity.ERROR,
    Kind.MISSING_DAY: Severity.ERROR,
    Kind.INSANE: Severity.ERROR,
    Kind.OFF_SESSION: Severity.INFO,
}
_ADVICE: Mapping[Kind, str] = {
    Kind.DAMAGED: "take it out and pull it again: --repair does",
    Kind.MISSING_DAY: "pull it",
    Kind.UNFINISHED_DAY: "pull it again",
    Kind.MISSING_PART: "pull it again; if the broker has no more, the instrument did not trade",
    Kind.OFF_SESSION: "look into brokers/data/calendar.json: a special session it does not know",
    Kind.REPEATED_DAY: "pull it again, at best from another broker",
    Kind.INSANE: "pull it again, at best from another broker",
    Kind.OUTLIER: "compare with another source; pull it again",
    Kind.CORPORATE_ACTION: "import the split or bonus, and ask for adjusted bars",
    Kind.DISAGREEMENT: "pull both intervals of that day again",
}
MENDED_BY_PULLING = frozenset(_ADVICE) - {Kind.OFF_SESSION, Kind.CORPORATE_ACTION, Kind.DAMAGED}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        first, last: Trading days, both inclusive.
        told: What exactly, with numbers, for a person.
        bars: How many bars are missing or wrong, where that can be counted.
    """

    series: Series
    kind: Kind
    first: date
    last: date
    told: str
    bars: int = 0

    @property
    def severity(self) -> Severity:
        return _SEVERITY.get(self.kind, Severity.WARNING)

    @property
    def advice(self) -> str:
        return _ADVICE[self.kind]


@dataclass(frozen=True, slots=True)
class Report:
    """Of one run; ``series`` and ``bars`` say how much was looked at."""

    series: int
    bars: int
    findings: tuple[Finding, ...] = field(default=())

    @property
    def sound(self) -> bool:
        """Nothing but remarks."""
        return all(one.severity is Severity.INFO for one in self.findings)

    def counts(self) -> dict[str, int]:
        return dict(Counter(str(one.kind) for one in self.findings))

    def as_json(self) -> dict[str, object]:
        """For ``--json`` and REST."""
        return {
            "sound": self.sound,
            "series": self.series,
            "bars": self.bars,
            "counts": self.counts(),
            "findings": [
                {
                    "exchange": one.series.exchange,
                    "symbol": one.series.symbol,
                    "interval": one.series.interval,
                    "kind": str(one.kind),
                    "severity": str(one.severity),
                    "first": one.first.isoformat(),
                    "last": one.last.isoformat(),
                    "bars": one.bars,
                    "told": one.told,
                    "advice": one.advice,
                }
                for one in self.findings
            ],
        }


def damaged(findings: Iterable[Finding]) -> list[Series]:
    """Series with files that have to be taken out before anything can be pulled into their place."""
    return sorted({one.series for one in findings if one.kind is Kind.DAMAGED})


def repairs(findings: Iterable[Finding], *, requested_by: str = "verify") -> list[JobRequest]:
    """Pulls that would mend what pulling can mend: one for each series and stretch of days, all anew.

    Damage is not among it: see ``damaged``.
    """
    wanted: dict[Series, list[tuple[date, date]]] = {}
    for one in findings:
        if one.kind in MENDED_BY_PULLING:
            for series in _of(one):
                wanted.setdefault(series, []).append((one.first, one.last))
    return [
        JobRequest(
            ((series.exchange, series.symbol),), (series.interval,), first, last, Mode.ALL, requested_by
        )
        for series, ranges in sorted(wanted.items())
        for first, last in _joined(ranges)
    ]


def _of(one: Finding) -> Sequence[Series]:
    if one.kind is Kind.DISAGREEMENT:
        return [Series(one.series.exchange, one.series.symbol, interval) for interval in ("1m", "D")]
    return [one.series]


def _joined(ranges: Iterable[tuple[date, date]]) -> list[tuple[date, date]]:
    joined: list[tuple[date, date]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + timedelta(days=JOINED_DAYS):
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined
