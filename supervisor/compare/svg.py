"""The report's drawings, as SVG text: no script, no outside font; ``comparison.css`` colours them by class.

Every chart has its own axis with units, names its rows in words beside the colour, and says its n.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

from gateway.pagekit.hues import hues_of
from supervisor.compare.stats import Floats, ecdf

WIDTH, HEIGHT = 420, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 26, 40
MOST_BINS = 40
CLOCK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400)
POINTS = 240


class Frame:
    """Axes of one chart. ``x`` and ``y`` map values to pixels."""

    def __init__(self, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
        self.low, self.high = x_range
        self.bottom, self.top = y_range
        self.height = HEIGHT

    def x(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.low) / span

    def y(self, value: float) -> float:
        span = (self.top - self.bottom) or 1.0
        return self.height - BOTTOM - (self.height - TOP - BOTTOM) * (value - self.bottom) / span

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{self.x(a):.1f} {self.y(b):.1f}" for a, b in points)

    def draw(
        self,
        label: str,
        unit: str,
        inside: Sequence[str],
        y_labels: Sequence[tuple[float, str]],
        x_labels: Sequence[tuple[float, str]] | None = None,
    ) -> str:
        parts = [
            f'<svg class="chart" viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'aria-label="{escape(label)}"><title>{escape(label)}</title>',
        ]
        floor = self.height - BOTTOM
        for value, text in x_labels or [(v, number(v)) for v in ticks(self.low, self.high)]:
            at = self.x(value)
            parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{floor}"/>')
            anchor = "end" if at > WIDTH - RIGHT - 24 else "middle"  # a long label would leave the drawing
            parts.append(f'<text x="{at:.1f}" y="{floor + 16}" text-anchor="{anchor}">{text}</text>')
        for value, text in y_labels:
            at = self.y(value)
            parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{escape(text)}</text>')
        parts += inside
        parts.append(f'<path class="axis" d="M{LEFT} {floor}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text x="{WIDTH - RIGHT}" y="{self.height - 6}" text-anchor="end">{escape(unit)}</text></svg>'
        )
        return "".join(parts)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values across a range."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    rough = span / wanted
    base = 10.0 ** math.floor(math.log10(rough))
    step = next(base * m for m in (1, 2, 5, 10) if base * m >= rough)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    return f"{value:,.10g}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"


def _ms(rows: Mapping[str, Floats]) -> dict[str, Floats]:
    return {name: values * 1e3 for name, values in rows.items() if len(values)}


def _upper(rows: Mapping[str, Floats]) -> float:
    """The tail is in the table; a chart that shows a few answers of a second shows nothing else."""
    return max(_most_shown(values) for values in rows.values()) * 1.08


def _most_shown(values: Floats) -> float:
    p90, p99 = np.percentile(values, [90, 99])
    return float(min(p99, 2 * p90) if p90 > 0 else p99)


def distribution(label: str, rows: Mapping[str, tuple[Floats, int]], order: Sequence[str]) -> str:
    """ECDF as lines and histogram as areas of every instance over one axis, up to p99 or twice p90.

    Args:
        rows: Answered seconds, and how many requests got no answer: a line ends that much below 100 %.
    """
    found = _ms({name: values for name, (values, _) in rows.items()})
    if not found:
        return nothing(label)
    low, high = _range(found, _upper(found))
    frame = Frame((low, high), (0.0, 1.0))
    edges = np.linspace(low, high, bins(min(len(values) for values in found.values())) + 1)
    shares = {name: np.histogram(values, edges)[0] / len(values) for name, values in found.items()}
    tallest = max(float(share.max()) for share in shares.values()) or 1.0
    inside = []
    for name, share in shares.items():
        # scaled to half the height: its shape beside the curve, not its own axis
        outline = [(low, 0.0)]
        for at, value in enumerate(share):
            level = 0.5 * float(value) / tallest
            outline += [(float(edges[at]), level), (float(edges[at + 1]), level)]
        outline.append((high, 0.0))
        inside.append(f'<path class="band f{colour(name, order)}" d="{frame.path(outline)}Z"/>')
    for name, values in found.items():
        points = [(low, 0.0)]
        everything = np.concatenate((values, np.full(rows[name][1], np.inf)))
        for value, share_below in ecdf(everything, POINTS):
            if value > high:
                break
            points += [(max(low, value), points[-1][1]), (max(low, value), share_below)]
        inside.append(f'<path class="step s{colour(name, order)}" d="{frame.path(points)}"/>')
    inside += legend(found, order)
    return frame.draw(label, "milliseconds", inside, [(q, f"{q:.0%}") for q in (0, 0.25, 0.5, 0.75, 1.0)])


def differences(label: str, seconds: Floats, low_high: tuple[float, float] | None) -> str:
    """Histogram of the single differences, a line at zero and a band for the interval of their median.

    Args:
        seconds: Ascending.
    """
    n = len(seconds)
    if n == 0:
        return nothing(label)
    low, high = (float(seconds[round(q * (n - 1))]) * 1e3 for q in (0.01, 0.99))
    room = max(high - low, 1e-6) * 0.08
    low, high = min(low - room, 0.0 - room), max(high + room, room)
    edges = np.linspace(low, high, bins(n) + 1)
    # it is sorted: millions of ticks are counted by looking up the edges
    counts = np.diff(np.searchsorted(seconds, edges / 1e3))
    frame = Frame((low, high), (0.0, float(counts.max()) * 1.08 or 1.0))
    inside = []
    for at, count in enumerate(counts):
        if count:
            x, y = frame.x(float(edges[at])), frame.y(float(count))
            width = frame.x(float(edges[at + 1])) - x
            inside.append(
                f'<rect class="pairs" x="{x:.1f}" y="{y:.1f}" width="{max(width - 0.5, 0.5):.1f}" '
                f'height="{frame.y(0) - y:.1f}"/>'
            )
    inside.append(f'<path class="zero" d="M{frame.x(0):.1f} {TOP}V{frame.y(0):.1f}"/>')
    if low_high is not None:
        a, b = (frame.x(bound * 1e3) for bound in low_high)
        inside.append(
            f'<rect class="sure" x="{a:.1f}" y="{TOP}" width="{max(b - a, 1.5):.1f}" '
            f'height="{frame.y(0) - TOP:.1f}"/>'
        )
    top = int(counts.max())
    return frame.draw(label, "milliseconds", inside, [(0, "0"), (top, f"{top:,}")])


def day_line(label: str, rows: Mapping[str, tuple[Floats, Floats]], order: Sequence[str], zone_s: int) -> str:
    """Each request over the clock, and medians as a line. ``rows``: wall seconds and durations."""
    found = {name: (at, values * 1e3) for name, (at, values) in rows.items() if len(values)}
    if not found:
        return nothing(label)
    begin = min(float(at.min()) for at, _ in found.values())
    end = max(float(at.max()) for at, _ in found.values())
    high = max(_most_shown(values) for _, values in found.values()) * 1.1
    frame = Frame((begin, max(end, begin + 1)), (0.0, high))
    inside = []
    for name, (at, values) in found.items():
        # enough to see its shape, not so many that the page is heavy
        shown = np.linspace(0, len(values) - 1, min(len(values), 300)).astype(np.int64)
        dots = "".join(
            f"M{frame.x(float(at[k])):.1f} {frame.y(float(values[k])):.1f}h2v2h-2z"
            for k in shown
            if values[k] <= high
        )
        inside.append(f'<path class="dot f{colour(name, order)}" d="{dots}"/>')
        line = [(when, min(value, high)) for when, value in _medians(at, values, begin, end)]
        inside.append(f'<path class="step s{colour(name, order)}" d="{frame.path(line)}"/>')
    y_labels = [(value, number(value)) for value in ticks(0.0, high)]
    inside += legend(found, order)
    clock = _clock_labels(frame, zone_s)
    return frame.draw(label, "time of day; upwards: milliseconds", inside, y_labels, clock)


def _clock_labels(frame: Frame, zone_s: int) -> list[tuple[float, str]]:
    """Round times of day: whole minutes of a morning, whole seconds of a short run."""
    span = frame.high - frame.low
    step = next((s for s in CLOCK_STEPS if span / s <= 5), CLOCK_STEPS[-1])
    found = []
    for at in range(math.ceil((frame.low + zone_s) / step) * step, int(frame.high + zone_s) + 1, step):
        hours, minutes, seconds = at % 86_400 // 3600, at // 60 % 60, at % 60
        text = f"{hours:02d}:{minutes:02d}" + (f":{seconds:02d}" if step < 60 else "")
        found.append((float(at - zone_s), text))
    return found


def legend(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """The instances in words beside their colours, in a line above the plot."""
    parts, x = [], float(LEFT)
    for name in names:
        parts.append(
            f'<rect class="f{colour(name, order)}" x="{x:.0f}" y="6" width="10" height="10" rx="2"/>'
        )
        parts.append(f'<text x="{x + 15:.0f}" y="15">{escape(name)}</text>')
        x += 32 + 7.2 * len(name)
    return parts


def bins(n: int) -> int:
    """Bars of a histogram: few where there is little to show."""
    return max(8, min(MOST_BINS, round(2 * math.sqrt(n))))


def _medians(
    at: Floats, values: Floats, begin: float, end: float, slices: int = 40
) -> list[tuple[float, float]]:
    edges = np.linspace(begin, end, slices + 1)
    where = np.clip(np.searchsorted(edges, at, "right") - 1, 0, slices - 1)
    return [
        (float((edges[k] + edges[k + 1]) / 2), float(np.median(values[where == k])))
        for k in range(slices)
        if (where == k).any()
    ]


def _range(found: Mapping[str, Floats], high: float) -> tuple[float, float]:
    low = min(float(values.min()) for values in found.values())
    return (0.0 if 0 <= low < high / 2 else low - 0.04 * (high - low)), high


def colour(name: str, order: Iterable[str]) -> int:
    """Number of an instance's colour: that of its own pages."""
    return hues_of(order)[name]


def nothing(label: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} 60" role="img" aria-label="{escape(label)}">'
        f'<text x="{WIDTH / 2:.0f}" y="34" text-anchor="middle">no samples</text></svg>'
    )
