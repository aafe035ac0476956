"""The tick race: which instance saw the same trade first, and what each of them missed.

Brokers do not number their ticks and print trade times in whole seconds, so a tick is recognised by what the
exchange itself counts: the day's cumulative volume of the contract, with the last price. Two instances that
show the same pair saw the same moment of the market; the difference of their arrivals (one host, one clock)
is the lead. Brokers sample: a pair only one of them shows is a moment the other skipped, not an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from supervisor.compare.stats import Difference, Estimate, Floats, Rate, paired, quantile, rate

Ints = NDArray[np.int64]
PRICE_UNITS = 10_000
"""A price becomes an integer of this fraction of a rupee: finer than any tick size."""
MOST_LEAD_S = 30.0
"""A pair further apart is two moments: the same volume and price after a correction or a restart."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Ticks of one contract at one instance, in order of arrival.

    Attributes:
        volume: Cumulative volume of the day.
        price: Last price in ``1 / PRICE_UNITS`` rupees.
        at_ns: Arrival of the frame, nanoseconds of the host's clock.
    """

    volume: Ints
    price: Ints
    at_ns: Ints

    def __len__(self) -> int:
        return len(self.at_ns)


@dataclass(frozen=True, slots=True)
class Lane:
    """How one instance did over all contracts.

    Attributes:
        ticks: Messages that arrived.
        moments: Different moments among them.
        duplicates: Messages that repeated the moment before them.
        first: Moments all instances saw and this one saw first, of all moments all of them saw.
        coverage: Moments this one saw, of those anybody saw while all of them were receiving.
        longest_gap_s: Longest silence of a contract while another instance showed new moments of it.
    """

    instance: str
    ticks: int
    moments: int
    duplicates: int
    first: Rate | None
    coverage: Rate | None
    longest_gap_s: float


@dataclass(frozen=True, slots=True)
class Lead:
    """How much later ``behind`` sees what ``ahead`` saw too, in seconds; negative where it is earlier."""

    ahead: str
    behind: str
    matched: int
    p50: Estimate
    p90: Estimate
    p99: Estimate
    difference: Difference | None
    seconds: Floats


@dataclass(frozen=True, slots=True)
class Race:
    lanes: tuple[Lane, ...]
    leads: tuple[Lead, ...]
    contracts: int


@dataclass(frozen=True, slots=True)
class _Moments:
    """The first arrival of each moment; ``keys`` ascending, one integer for volume and price together."""

    keys: Ints
    at_ns: Ints
    duplicates: int


def run(arrivals: Mapping[str, Mapping[str, Arrivals]], rng: np.random.Generator) -> Race:
    """Compare instances over the contracts all of them were asked for.

    Args:
        arrivals: instance -> contract -> its ticks. A contract an instance lacks counts as unseen there.
    """
    names = list(arrivals)
    contracts = sorted({contract for of in arrivals.values() for contract in of})
    tally = {name: _Tally() for name in names}
    leads: dict[tuple[str, str], list[Floats]] = {}
    for contract in contracts:
        found = {name: arrivals[name].get(contract, NOTHING) for name in names}
        _race_of_one(found, tally, leads)
    return Race(
        lanes=tuple(tally[name].lane(name) for name in names),
        leads=tuple(_lead(pair, parts, rng) for pair, parts in leads.items() if any(len(p) for p in parts)),
        contracts=len(contracts),
    )


NOTHING = Arrivals(*(np.empty(0, dtype=np.int64) for _ in range(3)))


@dataclass(slots=True)
class _Tally:
    ticks: int = 0
    moments: int = 0
    duplicates: int = 0
    first: int = 0
    shared: int = 0
    seen: int = 0
    anybody: int = 0
    longest_gap_s: float = 0.0

    def lane(self, name: str) -> Lane:
        return Lane(
            name,
            self.ticks,
            self.moments,
            self.duplicates,
            rate(self.first, self.shared),
            rate(self.seen, self.anybody),
            self.longest_gap_s,
        )


def _race_of_one(
    found: Mapping[str, Arrivals],
    tally: Mapping[str, _Tally],
    leads: dict[tuple[str, str], list[Floats]],
) -> None:
    moments = _moments(found)
    for name, ticks in found.items():
        own = tally[name]
        own.ticks += len(ticks)
        own.moments += len(moments[name].keys)
        own.duplicates += moments[name].duplicates
    names = list(found)
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            late = _late(moments[one], moments[other])
            leads.setdefault((one, other), []).append(late)
    _first(names, moments, tally)
    _coverage(names, found, moments, tally)


def _moments(found: Mapping[str, Arrivals]) -> dict[str, _Moments]:
    """The moments of each instance, under keys all of them share.

    Raises:
        ValueError: Volumes and prices of this contract do not fit one 64-bit key (no exchange comes near it).
    """
    with_ticks = [t for t in found.values() if len(t)]
    lowest = min((int(t.price.min()) for t in with_ticks), default=0)
    span = max((int(t.price.max()) for t in with_ticks), default=0) - lowest + 1
    most = max((int(t.volume.max()) for t in with_ticks), default=0)
    if (most + 1) * span >= 2**63:
        raise ValueError(f"volume {most} and a price range of {span / PRICE_UNITS} do not fit one key")
    return {name: _firsts(t.volume * span + (t.price - lowest), t.at_ns) for name, t in found.items()}


def _firsts(keys: Ints, at_ns: Ints) -> _Moments:
    # unique keeps the earliest of equals, and its stable sort is nearly free: volumes only grow
    distinct, where = np.unique(keys, return_index=True)
    return _Moments(distinct, at_ns[where], int((np.diff(keys) == 0).sum()))


def _shared(parts: Sequence[_Moments]) -> list[Ints]:
    """Indices, per part, of the moments that all of them have, in the same order."""
    common = parts[0].keys
    for part in parts[1:]:
        common = common[_places(part.keys, common) >= 0]
    return [_places(part.keys, common) for part in parts]


def _places(keys: Ints, wanted: Ints) -> Ints:
    """Index of each wanted key among the ascending keys, -1 where it is not."""
    if len(keys) == 0:
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1)


def _late(one: _Moments, other: _Moments) -> Floats:
    mine, theirs = _shared([one, other])
    late = (other.at_ns[theirs] - one.at_ns[mine]) / 1e9
    return np.asarray(late[np.abs(late) <= MOST_LEAD_S], dtype=np.float64)


def _first(names: Sequence[str], moments: Mapping[str, _Moments], tally: Mapping[str, _Tally]) -> None:
    places = _shared([moments[name] for name in names])
    times = np.stack([moments[name].at_ns[at] for name, at in zip(names, places, strict=True)])
    if times.shape[1] == 0:
        return
    winner = times.argmin(axis=0)
    for at, name in enumerate(names):
        tally[name].first += int((winner == at).sum())
        tally[name].shared += times.shape[1]


def _coverage(
    names: Sequence[str],
    found: Mapping[str, Arrivals],
    moments: Mapping[str, _Moments],
    tally: Mapping[str, _Tally],
) -> None:
    """Within the time in which every instance that has the contract at all was receiving it."""
    live = [found[name] for name in names if len(found[name])]
    if not live:
        return
    begin, end = max(t.at_ns.min() for t in live), min(t.at_ns.max() for t in live)
    inside = {}
    for name in names:
        within = (moments[name].at_ns >= begin) & (moments[name].at_ns <= end)
        inside[name] = moments[name].keys[within]
    everything = np.unique(np.concatenate(list(inside.values())))
    for name in names:
        own = tally[name]
        seen = int((_places(moments[name].keys, everything) >= 0).sum())
        own.seen += seen
        own.anybody += len(everything)
        own.longest_gap_s = max(own.longest_gap_s, _longest_gap(name, found, begin, end))


def _longest_gap(name: str, found: Mapping[str, Arrivals], begin: int, end: int) -> float:
    """Longest silence here in which another instance received something, in seconds."""
    mine = np.sort(found[name].at_ns)
    edges = np.concatenate(([begin], mine[(mine > begin) & (mine < end)], [end]))
    others = [t.at_ns for other, t in found.items() if other != name]
    heard = np.sort(np.concatenate(others)) if others else np.empty(0, dtype=np.int64)
    between = np.searchsorted(heard, edges[1:], "left") - np.searchsorted(heard, edges[:-1], "right")
    gaps = np.diff(edges)[between > 0]
    return float(gaps.max() / 1e9) if len(gaps) else 0.0


def _lead(pair: tuple[str, str], parts: Sequence[Floats], rng: np.random.Generator) -> Lead:
    late = np.concatenate(parts)
    ordered = np.sort(late)
    return Lead(
        ahead=pair[0],
        behind=pair[1],
        matched=len(late),
        p50=quantile(ordered, 0.5),
        p90=quantile(ordered, 0.9),
        p99=quantile(ordered, 0.99),
        difference=paired(np.zeros(len(late)), late, rng),
        seconds=ordered,
    )
