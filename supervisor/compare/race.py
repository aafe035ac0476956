"""The tick race: which instance saw the same trade first, and what each of them missed.

Brokers do not number their ticks and print trade times in whole seconds, so a tick is recognised by what the
exchange itself counts: the day's cumulative volume of the contract, with the last price. Two instances that
show the same pair saw the same moment of the market; the difference of their arrivals (one host, one clock)
is the lead. Brokers sample: a pair only one of them shows is a moment the other skipped, not an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from supervisor.compare.stats import Difference, Estimate, Floats, Rate, median_of, quantile, rate

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
    """Everybody's standing, how far apart each two were, and over how many contracts."""

    lanes: tuple[Lane, ...]
    leads: tuple[Lead, ...]
    contracts: int


@dataclass(frozen=True, slots=True)
class _Moments:
    """The first arrival of each moment; ``keys`` ascending, one integer for volume and price together."""

    keys: Ints
    at_ns: Ints
    duplicates: int


NEVER = np.iinfo(np.int64).max
"""Arrival of a moment that an instance did not see."""


def run(arrivals: Mapping[str, Mapping[str, Arrivals]], rng: np.random.Generator) -> Race:
    """Compare instances over the contracts all of them were asked for.

    Args:
        arrivals: instance -> contract -> its ticks. A contract an instance lacks counts as unseen there.
    """
    contracts = sorted({contract for of in arrivals.values() for contract in of})
    each = ({name: of.get(contract, NOTHING) for name, of in arrivals.items()} for contract in contracts)
    return run_each(list(arrivals), each, rng)


def run_each(
    names: Sequence[str], contracts: Iterable[Mapping[str, Arrivals]], rng: np.random.Generator
) -> Race:
    """The same, contract by contract: a day of ticks need not be in memory at once.

    Args:
        contracts: Of each contract the ticks of every instance of ``names``.
    """
    tally = {name: _Tally() for name in names}
    leads: dict[tuple[str, str], list[Floats]] = {}
    number = 0
    for found in contracts:
        _race_of_one(found, tally, leads)
        number += 1
    return Race(
        lanes=tuple(tally[name].lane(name) for name in names),
        leads=tuple(_lead(pair, parts, rng) for pair, parts in leads.items() if any(len(p) for p in parts)),
        contracts=number,
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
    table = _table([moments[name] for name in names])
    seen = table != NEVER
    for at, one in enumerate(names):
        for other in range(at + 1, len(names)):
            both = seen[at] & seen[other]
            late = (table[other][both] - table[at][both]) / 1e9
            near = late[np.abs(late) <= MOST_LEAD_S]
            leads.setdefault((one, names[other]), []).append(np.asarray(near, dtype=np.float64))
    _first(names, table[:, seen.all(axis=0)], tally)
    _coverage(names, found, table, seen, tally)


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
    steps = np.diff(keys)
    duplicates = int((steps == 0).sum())
    if (steps >= 0).all():
        # as good as always: volumes only grow
        fresh = np.concatenate(([True], steps > 0))[: len(keys)]
        return _Moments(keys[fresh], at_ns[fresh], duplicates)
    distinct, where = np.unique(keys, return_index=True)
    return _Moments(distinct, at_ns[where], duplicates)


def _table(parts: Sequence[_Moments]) -> Ints:
    """Arrival of every moment anybody saw (columns) at every instance (rows); ``NEVER`` where it was not."""
    keys = np.concatenate([part.keys for part in parts])
    # stable: it finds the ascending runs and merges them, which is far quicker than sorting
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    fresh = np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(keys)]
    column = np.empty(len(keys), dtype=np.int64)
    column[order] = np.cumsum(fresh) - 1
    table = np.full((len(parts), int(fresh.sum())), NEVER, dtype=np.int64)
    begin = 0
    for row, part in enumerate(parts):
        table[row, column[begin : begin + len(part.keys)]] = part.at_ns
        begin += len(part.keys)
    return table


def _first(names: Sequence[str], shared: Ints, tally: Mapping[str, _Tally]) -> None:
    """Who was first. ``shared``: the moments that all of them saw."""
    if shared.shape[1] == 0:
        return
    winner = shared.argmin(axis=0)
    for at, name in enumerate(names):
        tally[name].first += int((winner == at).sum())
        tally[name].shared += shared.shape[1]


def _coverage(
    names: Sequence[str],
    found: Mapping[str, Arrivals],
    table: Ints,
    seen: NDArray[np.bool_],
    tally: Mapping[str, _Tally],
) -> None:
    """Within the time in which every instance that has the contract at all was receiving it."""
    live = [found[name] for name in names if len(found[name])]
    if not live:
        return
    begin = max(int(t.at_ns.min()) for t in live)
    end = min(int(t.at_ns.max()) for t in live)
    inside = ((table >= begin) & (table <= end)).any(axis=0)
    times = {name: _ascending(found[name].at_ns) for name in names}
    for at, name in enumerate(names):
        own = tally[name]
        own.seen += int((seen[at] & inside).sum())
        own.anybody += int(inside.sum())
        others = [times[other] for other in names if other != name]
        heard = others[0] if len(others) == 1 else np.sort(np.concatenate(others or [NOTHING.at_ns]))
        longer = _longest_gap(times[name], heard, (begin, end), int(own.longest_gap_s * 1e9))
        own.longest_gap_s = max(own.longest_gap_s, longer)


def _ascending(values: Ints) -> Ints:
    return values if (values[1:] >= values[:-1]).all() else np.sort(values)


def _longest_gap(mine: Ints, heard: Ints, span: tuple[int, int], least_ns: int) -> float:
    """Longest silence here in which another instance received something, in seconds.

    Args:
        least_ns: A shorter one is of no interest: looking at all of them is what takes time.
    """
    begin, end = span
    edges = np.concatenate(([begin], mine[(mine > begin) & (mine < end)], [end]))
    gaps = np.diff(edges)
    at = np.flatnonzero(gaps > least_ns)
    between = np.searchsorted(heard, edges[at + 1], "left") - np.searchsorted(heard, edges[at], "right")
    real = gaps[at][between > 0]
    return float(real.max() / 1e9) if len(real) else 0.0


def _lead(pair: tuple[str, str], parts: Sequence[Floats], rng: np.random.Generator) -> Lead:
    ordered = np.concatenate(parts)
    ordered.sort()
    return Lead(
        ahead=pair[0],
        behind=pair[1],
        matched=len(ordered),
        p50=quantile(ordered, 0.5),
        p90=quantile(ordered, 0.9),
        p99=quantile(ordered, 0.99),
        difference=median_of(ordered, rng),
        seconds=ordered,
    )
