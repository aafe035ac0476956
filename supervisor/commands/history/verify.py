"""``algo history verify``: what is missing or implausible in the store, and the pulls that mend it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from historify.model import Series
from historify.quality.findings import Finding, Report, damaged, repairs
from historify.quality.verify import only, verify
from supervisor.client import CommandFailed
from supervisor.commands.history.place import DAY, Place, keys_of, place, sim_option
from supervisor.commands.history.writing import carried_out, must_be_done
from supervisor.commands.printing import json_option, shown

MOST_SHOWN = 200
_COLOURS = {"error": "red", "warning": "yellow", "info": "dim"}


@click.command(name="verify")
@click.option("--symbols", default="", help="A,B or NFO:NIFTY26DECFUT,… separated by commas (default: all).")
@click.option("--exchange", default="", help="Only this one; with --symbols, of symbols that name none.")
@click.option("--from", "start", type=DAY, help="First day (default: of each series).")
@click.option("--to", "end", type=DAY, help="Last day (default: of each series).")
@click.option("--repair", is_flag=True, help="Queue the pulls that mend what pulling can mend.")
@sim_option
@json_option
@click.pass_obj
def verify_command(
    home: Path,
    symbols: str,
    exchange: str,
    start: datetime | None,
    end: datetime | None,
    repair: bool,
    sim: bool,
    as_json: bool,
) -> None:
    """Look for gaps, spikes, splits, contradictions and damage; exit 1 when there is more than remarks.

    \b
    Examples:
      algo history verify
      algo history verify --exchange NSE --symbols SBIN,INFY --from 2025-01-01
      algo history verify --repair
    """
    keys = frozenset(keys_of(symbols, exchange or "NSE"))
    by_exchange = only(exchange.upper() or None, None)

    def wanted(series: Series) -> bool:
        return (series.exchange, series.symbol) in keys if keys else by_exchange(series)

    with place(home, sim=sim) as one:
        report = _looked(one, wanted, start, end, quiet=as_json)
        jobs = _mended(one, report) if repair else []
    if as_json:
        shown({**report.as_json(), "jobs": jobs})
    else:
        _tell(report, jobs, repair=repair)
    if not report.sound and not repair:
        raise CommandFailed(f"{len(report.findings)} findings; --repair queues the pulls that mend them")


def _looked(
    one: Place, wanted: Callable[[Series], bool], start: datetime | None, end: datetime | None, *, quiet: bool
) -> Report:
    console = Console(stderr=True, quiet=quiet or not Console(stderr=True).is_terminal)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=None)
        return verify(
            one.store,
            one.calendar,
            wanted=wanted,
            start=start.date() if start else None,
            end=end.date() if end else None,
            on_series=lambda series, number, count: progress.update(
                bar, description=str(series), completed=number, total=count
            ),
        )


def _mended(one: Place, report: Report) -> list[int]:
    """Take out what is damaged and queue the pulls; ids of the jobs."""
    jobs = [one.queue.enqueue(job)[0].id for job in repairs(report.findings, requested_by="cli verify")]
    broken = damaged(report.findings)
    if broken:
        made = one.tasks.add_mend(broken, requested_by="cli verify")
        done = carried_out(one, one.store, made)
        must_be_done(done)
        jobs += (done.report or {}).get("jobs", [])
    return jobs


def _tell(report: Report, jobs: list[int], *, repair: bool) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False)
    for name in ("series", "days", "what", "details", "to do"):
        table.add_column(name, overflow="fold")
    for found in report.findings[:MOST_SHOWN]:
        colour = _COLOURS[str(found.severity)]
        table.add_row(str(found.series), _days(found), f"[{colour}]{found.kind}[/]", found.told, found.advice)
    if report.findings:
        console.print(table)
    if len(report.findings) > MOST_SHOWN:
        click.echo(f"… and {len(report.findings) - MOST_SHOWN} more; all of them: --json")
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(report.counts().items()))
    click.echo(f"{report.series} series, {report.bars:,} bars: {counts or 'nothing found'}")
    if repair:
        numbers = ", ".join(map(str, jobs[:10])) + ("…" if len(jobs) > 10 else "")
        click.echo(f"jobs {numbers} queued; see: algo history jobs" if jobs else "nothing that a pull mends")


def _days(found: Finding) -> str:
    return str(found.first) if found.first == found.last else f"{found.first}..{found.last}"


COMMANDS = (verify_command,)
