"""The report in a terminal, as JSON and as CSV; ``page`` makes the HTML."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from rich.console import Console
from rich.table import Table

from supervisor.compare.figures import Measure, Pair, Report
from supervisor.compare.page import interval, ms, percent
from supervisor.compare.race import Race
from supervisor.compare.stats import Estimate, Rate, Summary


def show(report: Report, console: Console) -> None:
    console.print(f"[bold]{report.title}[/bold]  {report.made_at}", highlight=False)
    for line in report.source:
        console.print(line, style="dim", highlight=False)
    for measure in report.measures:
        console.print(_measure_table(measure))
    if report.shares:
        console.print(
            _rows_table(report, {s.name: {n: _rate_text(r) for n, r in s.rows} for s in report.shares})
        )
    if report.counts:
        console.print(_counts_table(report))
    if report.race:
        console.print(_race_table(report.race))
    for line in report.verdicts():
        console.print(line, highlight=False)
    for note in report.notes:
        console.print(note, style="dim", highlight=False)


def _measure_table(measure: Measure) -> Table:
    table = Table(title=f"{measure.name} (ms, 95 % interval)", title_justify="left", pad_edge=False)
    table.add_column("broker", style="bold")
    for name in ("n", "no answer", "p50", "p90", "p99", "longest"):
        table.add_column(name, justify="right")
    for row in measure.rows:
        found = row.summary
        if found is None:
            table.add_row(row.instance, "0", *["–"] * 5)
            continue
        quantiles = [f"{ms(q.value)}\n{interval(q.low, q.high)}" for q in (found.p50, found.p90, found.p99)]
        table.add_row(row.instance, f"{found.n:,}", f"{found.unanswered:,}", *quantiles, ms(found.longest))
    return table


def _rows_table(report: Report, columns: dict[str, dict[str, str]]) -> Table:
    table = Table(pad_edge=False)
    table.add_column("broker", style="bold")
    for name in columns:
        table.add_column(name, justify="right")
    for instance in report.instances:
        table.add_row(instance, *(column.get(instance, "–") for column in columns.values()))
    return table


def _counts_table(report: Report) -> Table:
    """A column for each broker: their figures are words, and too many for a narrow terminal."""
    table = Table(pad_edge=False)
    table.add_column("", style="bold")
    for instance in report.instances:
        table.add_column(instance, justify="right", overflow="fold")
    for name in dict.fromkeys(name for row in report.counts.values() for name in row):
        table.add_row(name, *(report.counts.get(one, {}).get(name, "–") for one in report.instances))
    return table


def _race_table(race: Race) -> Table:
    table = Table(title="tick race", title_justify="left", pad_edge=False)
    table.add_column("broker", style="bold")
    for name in ("ticks", "moments", "first", "coverage", "repeats", "longest gap"):
        table.add_column(name, justify="right")
    for lane in race.lanes:
        table.add_row(
            lane.instance,
            f"{lane.ticks:,}",
            f"{lane.moments:,}",
            _rate_text(lane.first),
            _rate_text(lane.coverage),
            f"{lane.duplicates:,}",
            f"{lane.longest_gap_s:.2f} s",
        )
    return table


def _rate_text(found: Rate | None) -> str:
    return "–" if found is None else f"{percent(found)}\n{found.count:,} of {found.n:,}"


def to_json(report: Report) -> dict[str, Any]:
    """Figures, not samples; seconds. What JSON has no number for (never answered) is null."""
    return {
        "title": report.title,
        "made_at": report.made_at,
        "venue": report.venue,
        "instances": [{"name": n, "broker": report.brokers.get(n, "")} for n in report.instances],
        "source": list(report.source),
        "measures": [
            {
                "name": measure.name,
                "meaning": measure.meaning,
                "rows": [{"instance": r.instance, **_summary(r.summary)} for r in measure.rows],
                "pairs": [_pair(pair) for pair in measure.pairs],
            }
            for measure in report.measures
        ],
        "shares": [
            {"name": s.name, "rows": [{"instance": n, **_rate(r)} for n, r in s.rows]} for s in report.shares
        ],
        "counts": {name: dict(row) for name, row in report.counts.items()},
        "race": _race(report.race) if report.race else None,
        "verdicts": report.verdicts(),
        "notes": list(report.notes),
    }


def to_csv(report: Report) -> str:
    """One line for each instance and measure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    quantiles = [f"{q}_ms{end}" for q in ("p50", "p90", "p99") for end in ("", "_low", "_high")]
    writer.writerow(["measure", "instance", "broker", "n", "unanswered", *quantiles, "longest_ms"])
    for measure in report.measures:
        for row in measure.rows:
            broker = report.brokers.get(row.instance, "")
            if row.summary is None:
                writer.writerow([measure.name, row.instance, broker, 0, 0, *[""] * 10])
                continue
            values: list[float | None] = []
            for one in (row.summary.p50, row.summary.p90, row.summary.p99):
                values += [one.value, one.low, one.high]
            values.append(row.summary.longest)
            cells = ["" if (v := _plain(value)) is None else f"{v * 1e3:.3f}" for value in values]
            writer.writerow(
                [measure.name, row.instance, broker, row.summary.n, row.summary.unanswered, *cells]
            )
    return out.getvalue()


def _plain(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _estimate(one: Estimate) -> dict[str, Any]:
    return {"value": _plain(one.value), "low": _plain(one.low), "high": _plain(one.high)}


def _summary(found: Summary | None) -> dict[str, Any]:
    if found is None:
        return {"n": 0, "unanswered": 0}
    quantiles = {name: _estimate(getattr(found, name)) for name in ("p50", "p90", "p99")}
    return {"n": found.n, "unanswered": found.unanswered, **quantiles, "longest": _plain(found.longest)}


def _rate(found: Rate | None) -> dict[str, Any]:
    if found is None:
        return {"n": 0, "count": 0}
    return {"n": found.n, "count": found.count, **_estimate(found.share)}


def _pair(pair: Pair) -> dict[str, Any]:
    found = pair.difference
    plain: dict[str, Any] = {"a": pair.a, "b": pair.b, "verdict": pair.verdict}
    if found is None:
        return {**plain, "n": 0, "significant": None}
    return {
        **plain,
        "n": found.n,
        "paired": found.paired,
        "significant": found.significant,
        **_estimate(found.median),
    }


def _race(race: Race) -> dict[str, Any]:
    return {
        "contracts": race.contracts,
        "lanes": [
            {
                "instance": lane.instance,
                "ticks": lane.ticks,
                "moments": lane.moments,
                "duplicates": lane.duplicates,
                "first": _rate(lane.first),
                "coverage": _rate(lane.coverage),
                "longest_gap_s": lane.longest_gap_s,
            }
            for lane in race.lanes
        ],
        "leads": [
            {
                "ahead": lead.ahead,
                "behind": lead.behind,
                "matched": lead.matched,
                "p50": _estimate(lead.p50),
                "p90": _estimate(lead.p90),
                "p99": _estimate(lead.p99),
                **({} if lead.difference is None else {"significant": lead.difference.significant}),
            }
            for lead in race.leads
        ],
    }
