"""HDR histograms of durations: three significant digits from a microsecond to a day, about a hundred bytes.

They can be added up: stages over days, and days over instances. Wire format: HdrHistogram V2, base64.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from hdrh.codec import HdrCookieException, HdrHistogramSettingsException, HdrLengthException
from hdrh.histogram import HdrHistogram

from gateway.latency.model import LONGEST_NS

DIGITS = 3
LONGEST_US = LONGEST_NS // 1000
NOT_OURS = (
    *(ValueError, TypeError, IndexError, OverflowError, RuntimeError, MemoryError, zlib.error),
    *(HdrCookieException, HdrLengthException, HdrHistogramSettingsException),
)
"""What base64, zlib, ctypes and the library's own codec raise over bytes that are no histogram of ours."""
QUANTILES = (50.0, 90.0, 99.0)


@dataclass(frozen=True, slots=True)
class Bar:
    """``count`` durations from above ``low_ms`` up to ``high_ms``."""

    low_ms: float
    high_ms: float
    count: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A histogram in numbers, milliseconds."""

    n: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class Histogram:
    """One distribution. Not thread-safe."""

    __slots__ = ("_hdr",)

    def __init__(self) -> None:
        # 32-bit counts: 100 kB while it is filled
        self._hdr = HdrHistogram(1, LONGEST_US, DIGITS, word_size=4)

    @classmethod
    def decode(cls, data: bytes) -> Histogram:
        """Raises ``ValueError`` for bytes that are none of ours."""
        made = cls()
        made.add(data)
        return made

    def record_ns(self, duration_ns: int, count: int = 1) -> None:
        """What is shorter than a microsecond counts as one, what is longer than a day as a day."""
        self._hdr.record_value(min(max(duration_ns // 1000, 1), LONGEST_US), count)

    def add(self, data: bytes) -> None:
        """Take in an encoded one. Raises ``ValueError`` for bytes that are none."""
        try:
            self._hdr.add(HdrHistogram.decode(data))
        except NOT_OURS as exc:
            raise ValueError(f"not an HDR histogram of this project: {exc}") from exc

    def encode(self) -> bytes:
        return bytes(self._hdr.encode())

    @property
    def n(self) -> int:
        return int(self._hdr.get_total_count())

    def figures(self) -> Figures | None:
        """None when it is empty."""
        if not self.n:
            return None
        at = self._hdr.get_percentile_to_value_dict(QUANTILES)
        p50, p90, p99 = (at[q] / 1000 for q in QUANTILES)
        return Figures(self.n, p50, p90, p99, self._hdr.get_max_value() / 1000)

    def bars(self, per_decade: int = 10) -> list[Bar]:
        """For a plot: edges grow by equal ratios, from the first bar that holds something to the last."""
        counts: dict[int, int] = {}
        edges = _edges(per_decade)
        at = 0
        for found in self._hdr.get_recorded_iterator():
            value = found.value_iterated_to
            while edges[at] < value:
                at += 1
            counts[at] = counts.get(at, 0) + found.count_added_in_this_iter_step
        if not counts:
            return []
        return [
            Bar(edges[i - 1] / 1000 if i else 0.0, edges[i] / 1000, counts.get(i, 0))
            for i in range(min(counts), max(counts) + 1)
        ]


def _edges(per_decade: int) -> list[float]:
    edges = [1.0]
    # the highest value of the last bucket lies a little above what can be recorded
    while edges[-1] < LONGEST_US * 1.01:
        edges.append(10 ** (len(edges) / per_decade))
    return edges


def merged(parts: Iterable[bytes]) -> Histogram:
    """The sum of encoded histograms. Raises ``ValueError`` as ``Histogram.add``."""
    whole = Histogram()
    for part in parts:
        whole.add(part)
    return whole
