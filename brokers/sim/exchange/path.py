"""The price path of one underlying: a pure function of a seed, a name and the time.

Three layers, each fixed by hashes alone and each contained in the one above:

* *levels*: the close of every calendar day, a Brownian bridge by midpoint displacement over 256-day spans;
* *days*: the minutes of a session, a bridge from the day's opening to its close, with wicks on top;
* *minutes*: 240 steps of 250 ms that start at the minute's open, touch its high and low, end at its close.

So a candle needs no steps and a step needs no history, and yet no step ever leaves its candle.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b, shake_128
from itertools import accumulate, pairwise
from math import exp, sqrt

STEPS = 240
"""Steps of 250 ms in a minute."""
_SPAN = 256
_QUIET = 38
"""A step whose weight byte is below this trades nothing (about 15 % of them)."""
BAND = 0.095
"""A day's prices stay within this fraction of the previous close: inside the 10 % circuit."""


class Path:
    """One underlying's path.

    Args:
        volatility: Yearly fraction.
    """

    def __init__(self, seed: int, name: str, base_paise: int, tick_paise: int, volatility: float) -> None:
        self.name = name
        self.tick = tick_paise
        self.base = base_paise
        self.sigma = volatility / sqrt(252.0)
        self._key = blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
        self._levels: dict[int, int] = {}

    def _unit(self, what: bytes, number: int) -> float:
        """Uniform in [-1, 1)."""
        raw = blake2b(what + number.to_bytes(8, "big", signed=True), key=self._key, digest_size=6).digest()
        return int.from_bytes(raw, "big") / float(1 << 47) - 1.0

    def bytes_of(self, what: bytes, number: int, size: int) -> bytes:
        """``size`` hash bytes of one numbered thing on this path."""
        return shake_128(self._key + what + number.to_bytes(8, "big", signed=True)).digest(size)

    def close(self, day: int) -> int:
        """Paise at the close of a calendar day (days since 1970-01-01)."""
        known = self._levels.get(day)
        if known is None:
            if len(self._levels) > 4096:
                self._levels.clear()
            level = round(self.base * exp(self._log_level(day)) / self.tick)
            known = self._levels[day] = max(level, 2) * self.tick
        return known

    def _log_level(self, day: int) -> float:
        low = day // _SPAN * _SPAN
        high = low + _SPAN
        # far nodes stay within about four weeks' movement of the base, so that prices never run away
        width = self.sigma * 5.0
        a, b = self._unit(b"n", low) * width, self._unit(b"n", high) * width
        while low < day:
            middle = (low + high) // 2
            # sqrt(3): a uniform of unit variance; a bridge's middle deviates by half the root of its length
            value = (a + b) / 2 + self._unit(b"m", middle) * self.sigma * sqrt((high - low) * 0.75)
            if day < middle:
                high, b = middle, value
            else:
                low, a = middle, value
        return a

    def open(self, day: int, previous_close: int) -> int:
        """Paise at a session's opening: the last close with a small gap."""
        gap = 1.0 + 0.25 * self.sigma * self._unit(b"o", day)
        return max(round(previous_close * gap / self.tick), 2) * self.tick

    def day(self, day: int, previous: int, minutes: int, settle_minutes: int) -> Day:
        """The minutes of one session.

        Args:
            previous: Day of the session before (its close is the previous close).
            minutes: Length of the longest session on this underlying (its derivatives' may be longer).
            settle_minutes: Minute after which the underlying itself has closed, at the day's close.
        """
        return Day(self, day, self.close(previous), minutes, settle_minutes)


class Day:
    """One session's minutes, as arrays of paise and of cumulated volume weights.

    Attributes:
        closes, highs, lows: Paise per minute; a minute opens where the one before closed.
        weight: Volume weight before each minute; one entry more than minutes.
        turnover: Close times weight, cumulated alike; turnover / weight is the day's average price.
    """

    __slots__ = (
        "closes",
        "day",
        "highs",
        "lows",
        "minutes",
        "open",
        "path",
        "previous_close",
        "settle_minutes",
        "turnover",
        "weight",
    )

    def __init__(self, path: Path, day: int, previous_close: int, minutes: int, settle_minutes: int) -> None:
        self.path = path
        self.day = day
        self.minutes = minutes
        self.settle_minutes = settle_minutes
        self.previous_close = previous_close
        self.open = path.open(day, previous_close)
        raw = array("H", path.bytes_of(b"d", day, minutes * 6))
        closes = self._closes(raw[:minutes])
        self.closes = array("i", closes)
        opens = [self.open, *closes[:-1]]
        tick = path.tick
        # a wick of at most one standard deviation of a minute, up by the low byte and down by the high byte
        wick = max(int(previous_close * path.sigma / sqrt(settle_minutes) / tick), 2)
        wicks = raw[minutes : 2 * minutes]
        self.highs = array(
            "i",
            [
                (o if o > c else c) + ((w & 255) * wick >> 8) * tick
                for o, c, w in zip(opens, closes, wicks, strict=True)
            ],
        )
        self.lows = array(
            "i",
            [
                max((o if o < c else c) - ((w >> 8) * wick >> 8) * tick, tick)
                for o, c, w in zip(opens, closes, wicks, strict=True)
            ],
        )
        weights = [w + 4096 for w in raw[2 * minutes :]]
        self.weight = array("q", accumulate(weights, initial=0))
        self.turnover = array(
            "q", accumulate([c * w for c, w in zip(closes, weights, strict=True)], initial=0)
        )

    def _closes(self, increments: Sequence[int]) -> list[int]:
        tick, settle = self.path.tick, self.settle_minutes
        close = self.path.close(self.day)
        walk = list(accumulate(increments))
        # 18918: standard deviation of a uniform 16-bit number
        scale = self.previous_close * self.path.sigma / sqrt(settle) / 18918.0
        slope = (close - self.open - scale * walk[settle - 1]) / settle
        start = self.open
        values = [
            int((start + slope * m + scale * a) / tick) * tick for m, a in enumerate(walk[:settle], start=1)
        ]
        values[-1] = close
        # after the underlying's close its derivatives walk on, without a pin (mean of a uniform: 32767.5)
        offset = walk[settle - 1]
        values += [
            int((close + scale * (a - offset - 32767.5 * m)) / tick) * tick
            for m, a in enumerate(walk[settle:], start=1)
        ]
        low, high = int(self.previous_close * (1 - BAND)), int(self.previous_close * (1 + BAND))
        if min(values) < low or max(values) > high:
            low, high = -(-low // tick) * tick, high // tick * tick
            values = [min(max(v, low), high) for v in values]
        return [max(v, tick) for v in values] if values and min(values) < tick else values

    def open_of(self, minute: int) -> int:
        return self.closes[minute - 1] if minute else self.open


class Minute:
    """The steps of one minute, walked forward on demand.

    Going back starts the walk anew, so the answer for a step never depends on what was asked before.

    Attributes after ``advance``: ``price``, ``high``, ``low`` in paise, ``weight`` (volume weight within the
    minute), ``step_weight`` (of the last traded step), ``traded`` (last step that traded).
    """

    __slots__ = (
        "_at",
        "_day",
        "_highest",
        "_lowest",
        "_noise",
        "_pins",
        "_share",
        "_total",
        "_weights",
        "high",
        "index",
        "low",
        "price",
        "step_weight",
        "traded",
        "weight",
    )

    def __init__(self, day: Day, minute: int) -> None:
        self._day = day
        self.index = minute
        raw = day.path.bytes_of(b"s%d/" % minute, day.day, 4 + 2 * STEPS)
        up = 1 + int.from_bytes(raw[:2], "big") % (STEPS - 2)
        down = 1 + int.from_bytes(raw[2:4], "big") % (STEPS - 2)
        if up == down:
            down = up + 1 if up < STEPS - 2 else up - 1
        self._highest, self._lowest = day.highs[minute], day.lows[minute]
        pins = {0: day.open_of(minute), up: self._highest, down: self._lowest, STEPS - 1: day.closes[minute]}
        self._pins = sorted(pins.items())
        self._noise = raw[4 : 4 + STEPS]
        weights = bytearray(raw[4 + STEPS :])
        for step in pins:
            weights[step] |= 128  # a pin always trades
        self._weights = bytes(w if w >= _QUIET else 0 for w in weights)
        self._total = sum(self._weights)
        self._share = day.weight[minute + 1] - day.weight[minute]
        self._at = -1
        self._restart()

    def _restart(self) -> None:
        self._at = -1
        self.price = self.high = self.low = self._pins[0][1]
        self.weight = self.step_weight = self.traded = 0

    def advance(self, step: int) -> Minute:
        """Stand at ``step`` (0…239)."""
        if step < self._at:
            self._restart()
        raw_weight = self.weight
        for k in range(self._at + 1, step + 1):
            weight = self._weights[k]
            if not weight:
                continue
            self.traded = k
            self.step_weight = weight
            raw_weight += weight
            price = self.price = self._price(k)
            if price > self.high:
                self.high = price
            elif price < self.low:
                self.low = price
        self.weight = raw_weight
        self._at = step
        return self

    def _price(self, step: int) -> int:
        pins = self._pins
        for (k0, p0), (k1, p1) in pairwise(pins):
            if step == k0:
                return p0
            if step == k1:
                return p1
            if k0 < step < k1:
                width = self._highest - self._lowest
                value = p0 + (p1 - p0) * (step - k0) // (k1 - k0) + (self._noise[step] - 128) * width // 512
                tick = self._day.path.tick
                value = value // tick * tick
                return min(max(value, self._lowest), self._highest)
        raise ValueError(f"step {step} is outside the minute")

    def share(self, weight: int) -> int:
        """A weight within the minute as a part of the day's volume weight."""
        return self._share * weight // self._total
