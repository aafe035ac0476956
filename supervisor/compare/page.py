"""The report as HTML: a fragment for pages that have their own frame, and one self-contained file."""

from __future__ import annotations

from html import escape
from pathlib import Path

import gateway
from supervisor.compare import svg
from supervisor.compare.figures import Measure, Pair, Report
from supervisor.compare.race import Race
from supervisor.compare.stats import Estimate, Floats, Rate, Summary

FRAME = """
:root { color-scheme: light dark; --ground: light-dark(#fff, #14171b); --ink: light-dark(#16191d, #e8ebef); }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 24px 20px 48px; }
"""
"""Of the file that stands alone; a page with a frame of its own needs only ``STYLE``."""

STYLE = Path(next(iter(gateway.__path__))) / "web" / "static" / "comparison.css"
"""The one the pages load too."""

ZONE_S = 19_800
"""Times of day are Indian, as everywhere in the product."""


def document(report: Report) -> str:
    """One file without a script, an outside font or image; light or dark as the reader's system."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{FRAME}{STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><main>{fragment(report)}</main></body></html>\n"
    )


def fragment(report: Report) -> str:
    """The same without a frame, for a page that has ``STYLE``."""
    venue = " · simulated brokers" if report.venue == "sim" else ""
    parts = [
        f'<div class="comparison"><h1>{escape(report.title)}</h1>',
        f'<p class="quiet">{escape(report.made_at)}{venue}</p>',
        f'<p class="quiet">{escape("; ".join(report.source))}</p>',
    ]
    if found := report.verdicts():
        parts.append(f'<ul class="verdicts">{"".join(f"<li>{escape(line)}</li>" for line in found)}</ul>')
    for measure in report.measures:
        parts.append(_measure(measure, report))
    if report.shares:
        parts.append(_shares(report))
    if report.counts:
        parts.append(_counts(report))
    if report.race:
        parts.append(_race(report.race, report))
    if report.notes:
        parts.append("<h2>How to read this</h2>")
        parts += [f'<p class="quiet">{escape(note)}</p>' for note in report.notes]
    return "".join(parts) + "</div>"


def _measure(measure: Measure, report: Report) -> str:
    order = report.instances
    head = "".join(f"<th>{h}</th>" for h in ("broker", "n", "no answer", "p50", "p90", "p99", "longest"))
    rows = "".join(_row(row.instance, row.summary, report) for row in measure.rows)
    charts = [
        _figure(
            f"{measure.name}: share answered within (line) and histogram (area); n = "
            + ", ".join(f"{len(row.answered):,} {row.instance}" for row in measure.rows),
            svg.distribution(measure.name, _answers(measure), order),
        )
    ]
    for pair in measure.pairs:
        if len(pair.seconds):
            charts.append(
                _figure(_pair_caption(pair), svg.differences(pair.verdict, pair.seconds, _bounds(pair)))
            )
    lines = {row.instance: (row.at_s, row.by_time) for row in measure.rows if len(row.at_s)}
    if lines:
        drawn = svg.day_line(f"{measure.name} over the day", lines, order, ZONE_S)
        charts.append(_figure(f"{measure.name} over the day (IST): each request, medians", drawn))
    return (
        f"<h2>{escape(measure.name.capitalize())}</h2><p class='quiet'>{escape(measure.meaning)}; "
        f"milliseconds, 95 % interval below</p>{_table(head, rows)}{_grid(charts)}"
    )


def _answers(measure: Measure) -> dict[str, tuple[Floats, int]]:
    return {r.instance: (r.answered, r.summary.unanswered if r.summary else 0) for r in measure.rows}


def _grid(figures: list[str]) -> str:
    return f"<div class='charts'>{''.join(figures)}</div>"


def _table(head: str, rows: str) -> str:
    # it scrolls sideways on a small screen: reachable by keyboard
    opening = "<div class='wide' tabindex='0' role='group' aria-label='figures'>"
    return f"{opening}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _pair_caption(pair: Pair) -> str:
    return f"{pair.b} − {pair.a}, same round (n = {len(pair.seconds):,}); band: 95 % interval of the median"


def _bounds(pair: Pair) -> tuple[float, float] | None:
    found = pair.difference
    if found is None or found.median.low is None or found.median.high is None:
        return None
    return found.median.low, found.median.high


def _figure(caption: str, drawn: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{drawn}</figure>"


def _name(instance: str, report: Report) -> str:
    broker = report.brokers.get(instance, "")
    more = f"<small>{escape(broker)}</small>" if broker and broker != instance else ""
    key = f'<span class="key k{svg.colour(instance, report.instances)}"></span>'
    return f"<td>{key}{escape(instance)}{more}</td>"


def _row(instance: str, summary: Summary | None, report: Report) -> str:
    if summary is None:
        return f"<tr>{_name(instance, report)}<td>0</td>{'<td>–</td>' * 5}</tr>"
    cells = [f"<td>{summary.n:,}</td><td>{summary.unanswered:,}</td>"]
    cells += [_estimate(one) for one in (summary.p50, summary.p90, summary.p99)]
    return f"<tr>{_name(instance, report)}{''.join(cells)}<td>{ms(summary.longest)}</td></tr>"


def ms(seconds: float | None) -> str:
    """Milliseconds as shown everywhere, to four digits; ``∞`` was never answered."""
    if seconds is None:
        return "?"
    if seconds == float("inf"):
        return "∞"
    decimals = 2 if abs(seconds) < 0.1 else 1 if abs(seconds) < 1 else 0
    return f"{seconds * 1e3:,.{decimals}f}"


def interval(low: float | None, high: float | None) -> str:
    return f"{ms(low)} – {ms(high)}"


def _estimate(one: Estimate) -> str:
    return f"<td>{ms(one.value)}<small>{interval(one.low, one.high)}</small></td>"


def percent(found: Rate | None) -> str:
    return "–" if found is None else f"{found.share.value:.1%}"


def _rate(found: Rate | None) -> str:
    if found is None:
        return "<td>–</td>"
    low, high = found.share.low or 0.0, found.share.high or 0.0
    return f"<td>{percent(found)}<small>{low:.1%} – {high:.1%}, {found.count:,} of {found.n:,}</small></td>"


def _shares(report: Report) -> str:
    head = "".join(f"<th>{escape(share.name)}</th>" for share in report.shares)
    rows = []
    for at, instance in enumerate(report.instances):
        cells = "".join(_rate(share.rows[at][1]) for share in report.shares)
        rows.append(f"<tr>{_name(instance, report)}{cells}</tr>")
    return f"<h2>What went wrong</h2>{_table(f'<th>broker</th>{head}', ''.join(rows))}"


def _counts(report: Report) -> str:
    names = list(dict.fromkeys(name for row in report.counts.values() for name in row))
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = [
        f"<tr>{_name(instance, report)}"
        + "".join(f"<td>{escape(report.counts.get(instance, {}).get(name, '–'))}</td>" for name in names)
        + "</tr>"
        for instance in report.instances
    ]
    return f"<h2>The day</h2>{_table(f'<th>broker</th>{head}', ''.join(rows))}"


def _race(race: Race, report: Report) -> str:
    head = "".join(
        f"<th>{h}</th>"
        for h in ("broker", "ticks", "moments", "first", "coverage", "missed", "repeats", "longest gap")
    )
    rows = []
    for lane in race.lanes:
        missed = lane.coverage.n - lane.coverage.count if lane.coverage else 0
        rows.append(
            f"<tr>{_name(lane.instance, report)}<td>{lane.ticks:,}</td><td>{lane.moments:,}</td>"
            f"{_rate(lane.first)}{_rate(lane.coverage)}<td>{missed:,}</td><td>{lane.duplicates:,}</td>"
            f"<td>{lane.longest_gap_s:.2f} s</td></tr>"
        )
    charts = []
    for lead in race.leads:
        found = lead.difference
        bounds = None
        if found and found.median.low is not None and found.median.high is not None:
            bounds = found.median.low, found.median.high
        caption = f"{lead.behind} − {lead.ahead}: who saw the same moment later (n = {lead.matched:,})"
        charts.append(_figure(caption, svg.differences(caption, lead.seconds, bounds)))
    return (
        f"<h2>Tick race</h2><p class='quiet'>{race.contracts:,} contracts; a moment is one pair of day "
        f"volume and last price</p>{_table(head, ''.join(rows))}{_grid(charts)}"
    )
