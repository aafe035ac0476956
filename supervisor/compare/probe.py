"""Order probes, the pure half: what would be sent, when, and whether it may be sent at all.

A probe is one limit order far from the market: placed, modified, cancelled. Every instance gets the same
probes, all on one side, one lot each. A round is one probe at each instance, in an order and at offsets drawn
from a seed, so that no broker always goes first. Send times are fixed before the first byte leaves
(open loop): a slow answer delays nothing but itself, and its wait is counted from the intended time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from brokers.errors import InvalidRequest

PLACE, MODIFY, CANCEL = "place", "modify", "cancel"
OPS = (PLACE, MODIFY, CANCEL)
BUY, SELL = "BUY", "SELL"

AWAY = Decimal("0.15")
NEAREST = Decimal("0.03")
"""A probe closer to the market than this share of the price could trade in a fast one: refused."""
MOVED_TICKS = 2
"""A modify moves the price this many ticks further away from the market."""
PERIODS_S = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.5, 15.0, 20.0, 30.0, 45.0, 60.0)
"""From round to round, where nobody says: the shortest of these that every window of every broker takes."""
LASTING_S = 60.0
"""What was sent before counts in windows longer than this; in shorter ones it is over before it matters."""
GAPS = {PLACE: 0.0, MODIFY: 0.45, CANCEL: 0.75}
"""Intended seconds after the place, as shares of the period."""
SPREAD = 0.2
"""Instances of a round start within this share of the period."""
LIVE_CAP, SIM_CAP = 200, 20_000
"""Probes of one instance in one day (three requests each; Dhan takes 6,800 a day in all)."""


@dataclass(frozen=True, slots=True)
class Window:
    """One order window of an account: ``count`` requests in any rolling ``seconds``.

    Attributes:
        used: Those in the window that ends now.
        reserve: Those of ``count`` that are kept for cancels and exits. Probes leave them alone.
    """

    count: int
    seconds: float
    used: int = 0
    reserve: int = 0

    @property
    def room(self) -> int:
        """Requests that a run of probes may have in it."""
        return self.count - self.reserve - (self.used if self.seconds > LASTING_S else 0)


@dataclass(frozen=True, slots=True)
class Market:
    """One contract at one instance. ``lower`` and ``upper``: circuit limits, None where not known."""

    ltp: Decimal
    tick: Decimal
    lot: int
    lower: Decimal | None = None
    upper: Decimal | None = None
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What an instance says of itself and of one contract.

    Attributes:
        orders: ``(action, is a probe of ours)`` of every working order of the contract.
        positions: Signed quantities of its open positions, all products.
        used_today: Probes already spent from the daily cap.
        blocked: Why its entries are stopped (panic), empty when they are not.
    """

    instance: str
    venue: str
    ready: bool
    waiting_for: tuple[str, ...]
    mode: str
    executes: bool
    market_open: bool
    orders: tuple[tuple[str, bool], ...]
    positions: tuple[int, ...]
    used_today: int
    blocked: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One request. ``at_s``: intended send, seconds after the start of the run."""

    at_s: float
    instance: str
    round: int
    op: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that would be sent. ``quantity`` is one lot; prices in rupees, the same everywhere."""

    seed: int
    exchange: str
    symbol: str
    side: str
    quantity: int
    price: Decimal
    moved: Decimal
    product: str
    rounds: int
    period_s: float
    instances: tuple[str, ...]
    steps: tuple[Step, ...]

    def orders(self) -> list[str]:
        """What would be sent, one line for each kind of request."""
        what = f"{self.exchange}:{self.symbol} {self.product} LIMIT"
        return [
            f"{self.rounds} × place {self.side} {self.quantity} {what} {self.price}",
            f"{self.rounds} × modify to {self.moved}",
            f"{self.rounds} × cancel",
        ]


def price_for(side: str, markets: Mapping[str, Market], away: Decimal = AWAY) -> tuple[Decimal, Decimal]:
    """The probe's price and the one it is moved to: on the tick, inside the circuit limits.

    The market's own side counts: a BUY lies below the lowest last price of any instance.

    Raises:
        InvalidRequest: Tick sizes or lots differ, or the circuit limits leave no room far enough away.
    """
    ticks = {one.tick for one in markets.values()}
    lots = {one.lot for one in markets.values()}
    if len(ticks) != 1 or len(lots) != 1:
        raise InvalidRequest("the instances disagree on tick size or lot: not the same contract")
    (tick,) = ticks
    if tick <= 0 or min(one.ltp for one in markets.values()) <= 0:
        raise InvalidRequest("this contract cannot be ordered: it has no tick size or no price")
    if side == BUY:
        ltp = min(one.ltp for one in markets.values())
        floor = max((one.lower for one in markets.values() if one.lower is not None), default=Decimal(0))
        lowest = _on_tick(max(floor, tick), tick, ROUND_CEILING) + MOVED_TICKS * tick
        price = max(_on_tick(ltp * (1 - away), tick, ROUND_FLOOR), lowest)
        moved = price - MOVED_TICKS * tick
    else:
        ltp = max(one.ltp for one in markets.values())
        price = _on_tick(ltp * (1 + away), tick, ROUND_CEILING)
        ceilings = [one.upper for one in markets.values() if one.upper is not None]
        if ceilings:
            price = min(price, _on_tick(min(ceilings), tick, ROUND_FLOOR) - MOVED_TICKS * tick)
        moved = price + MOVED_TICKS * tick
    if abs(price - ltp) < NEAREST * ltp or (price < ltp) != (side == BUY):
        raise InvalidRequest(
            f"the circuit limits leave no price {NEAREST:.0%} away from {ltp}: no probe here"
        )
    return price, moved


def _on_tick(price: Decimal, tick: Decimal, rounding: str) -> Decimal:
    return (price / tick).to_integral_value(rounding) * tick


def plan(
    exchange: str,
    symbol: str,
    side: str,
    markets: Mapping[str, Market],
    rounds: int,
    seed: int,
    *,
    product: str = "MIS",
    period_s: float | None = None,
    away: Decimal = AWAY,
) -> Plan:
    """Lay out the run: the same seed makes the same steps.

    Args:
        period_s: From round to round; None: the shortest one that every order window takes.

    Raises:
        InvalidRequest: See ``price_for``; a side, count or period that makes no sense; or more requests than
            an order window of one of the brokers takes, with what would fit.
    """
    if side not in (BUY, SELL) or rounds < 1 or (period_s or 1.0) <= 0 or not markets:
        raise InvalidRequest("a plan needs an instance, a side (BUY or SELL), a count and a period")
    period_s = _paced(markets, rounds, period_s)
    price, moved = price_for(side, markets, away)
    draw = random.Random(seed)
    names = tuple(markets)
    steps = []
    for number in range(rounds):
        order = draw.sample(names, len(names))
        for place, name in enumerate(order):
            # its own slice of the spread, at a random point of it: in random order, never at the same instant
            slot = (place + draw.random()) / len(names) * SPREAD
            begin = (number + slot) * period_s
            steps += [Step(begin + GAPS[op] * period_s, name, number, op) for op in OPS]
    steps.sort(key=lambda step: (step.at_s, step.instance))
    lot = next(iter(markets.values())).lot
    return Plan(
        seed,
        exchange,
        symbol,
        side,
        lot,
        price,
        moved,
        product,
        rounds,
        period_s,
        names,
        tuple(steps),
    )


def most_in(seconds: float, rounds: int, period_s: float) -> int:
    """The most requests of one instance that a run can have in any ``seconds``, whatever its seed."""
    most = 0
    for last, until in enumerate(GAPS.values()):
        for first, since in enumerate(GAPS.values()):
            # within a round the gaps are fixed; between rounds the later one may begin a spread earlier
            if first <= last and (until - since) * period_s < seconds:
                most = max(most, last - first + 1)
            apart = math.ceil(seconds / period_s - until + since + SPREAD) - 1
            if (later := min(apart, rounds - 1)) > 0:
                most = max(most, len(GAPS) * later + last - first + 1)
    return most


def crowded(markets: Mapping[str, Market], rounds: int, period_s: float) -> list[str]:
    """Every order window that such a run would overfill: beyond it a probe measures our own limiter."""
    found = []
    for name, market in markets.items():
        for one in market.windows:
            most = most_in(one.seconds, rounds, period_s)
            if most > one.room:
                used = f" and {one.used} used" if one.used and one.seconds > LASTING_S else ""
                found.append(
                    f"{name}: {most} order requests in {_span(one.seconds)}, and its limit leaves "
                    f"{max(0, one.room)} ({one.count} less {one.reserve} kept for exits{used})"
                )
    return found


def _span(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds:g} s"
    return f"{seconds / 3600:g} h"


def _paced(markets: Mapping[str, Market], rounds: int, period_s: float | None) -> float:
    """The period asked for, or the shortest that fits. Raises ``InvalidRequest``."""
    fits = next((p for p in PERIODS_S if not crowded(markets, rounds, p)), None)
    if period_s is None and fits is not None:
        return fits
    asked_s = period_s or PERIODS_S[-1]
    if not (why := crowded(markets, rounds, asked_s)):
        return asked_s
    low, high = 0, rounds
    while low < high - 1:  # the largest count that fits at this period
        middle = (low + high) // 2
        low, high = (low, middle) if crowded(markets, middle, asked_s) else (middle, high)
    ways = [f"--count {low}"] if low else []
    ways += [f"--period {fits:g}"] if fits is not None else []
    told = f"; it would fit with {' or '.join(ways)}" if ways else ""
    raise InvalidRequest(f"{rounds} rounds, one every {asked_s:g} s, are too many. {'; '.join(why)}{told}")


def refusals(side: str, standings: Sequence[Standing], rounds: int, consent: Sequence[str]) -> list[str]:
    """Every reason why nothing may be sent; empty: go.

    Args:
        consent: Live instances the user has named for this session.
    """
    found = []
    for one in standings:
        found += [f"{one.instance}: {why}" for why in unfit(one)]
        cap = SIM_CAP if one.venue == "sim" else LIVE_CAP
        if one.used_today + rounds > cap:
            found.append(
                f"{one.instance}: {one.used_today} of {cap} probes of today are used, {rounds} asked"
            )
        if one.venue != "sim" and one.instance not in consent:
            found.append(f"{one.instance}: no consent for this session (--consent {one.instance})")
    return found + opposite(side, standings)


def opposite(side: str, standings: Sequence[Standing]) -> list[str]:
    """Anything of the other side in this contract, at any instance: a probe might trade with it.

    Also an order of ours: two own orders that meet are a wash trade, whichever broker each lies at.
    """
    found = []
    for one in standings:
        for action, own in one.orders:
            if action != side:
                what = "probe" if own else "working order"
                found.append(f"{one.instance}: a {what} on the other side ({action})")
        for quantity in one.positions:
            held = BUY if quantity > 0 else SELL
            if held != side:
                found.append(f"{one.instance}: a position on the other side ({quantity:+d})")
    return found


def unfit(one: Standing) -> list[str]:
    found = []
    if not one.ready:
        found.append(f"not ready ({', '.join(one.waiting_for) or 'no reason given'})")
    if one.mode != "live":
        found.append(f"in {one.mode} mode: its orders reach no broker")
    if not one.executes:
        found.append("has not the role to execute")
    if one.blocked:
        found.append(f"entries are blocked ({one.blocked}); allow them: algo panic --resume")
    if not one.market_open:
        found.append("the market is closed")
    return found
