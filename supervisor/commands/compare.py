"""``algo compare``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from gateway import comparisonfile
from gateway import settings as gateway_settings
from gateway.settings import Settings
from supervisor.client import CommandFailed
from supervisor.compare import orders, page, passing, report, routes, ticks
from supervisor.compare.figures import Report
from supervisor.running import current_folder


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the report goes."""

    as_json: bool
    csv: Path | None
    out: Path | None
    console: Console
    run_dir: Path


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--orders", "send_orders", is_flag=True, help="Send order probes far from the market.")
@click.option("--ticks", "race_ticks", is_flag=True, help="Race the ticks of the same contracts.")
@click.option(
    "--route", "show_route", is_flag=True, help="Say which instance `best` would pick now, and why."
)
@click.option("--symbol", default="SBIN", show_default=True, help="Contract of the probes.")
@click.option("--exchange", default="NSE", show_default=True, help="Its exchange.")
@click.option("--side", type=click.Choice(["BUY", "SELL"]), default="BUY", show_default=True)
@click.option("--count", type=click.IntRange(1, 20_000), default=50, show_default=True, help="Rounds.")
@click.option("--seed", type=int, help="Of the random interleaving (default: a new one, printed).")
@click.option(
    "--period",
    type=click.FloatRange(0.5, 600),
    help="Seconds from round to round (default: 1, longer where a broker's limits ask for it).",
)
@click.option(
    "--consent", multiple=True, metavar="NAME", help="Live instance that may be sent to, this session."
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent, send nothing.")
@click.option("--symbols", default="", help="With --ticks: SBIN,NFO:…; default: SBIN, RELIANCE, INFY, TCS.")
@click.option(
    "--seconds", type=click.FloatRange(1, 86_400), default=60.0, show_default=True, help="Of --ticks."
)
@click.option("--day", default="", metavar="YYYY-MM-DD", help="Another day's figures and ticks.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), help="One line a measure."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A self-contained HTML report.")
@click.pass_obj
def compare(
    home: Path,
    names: tuple[str, ...],
    *,
    send_orders: bool,
    race_ticks: bool,
    show_route: bool,
    symbol: str,
    exchange: str,
    side: str,
    count: int,
    seed: int | None,
    period: float | None,
    consent: tuple[str, ...],
    dry_run: bool,
    symbols: str,
    seconds: float,
    day: str,
    as_json: bool,
    csv_file: Path | None,
    out: Path | None,
) -> None:
    """Which broker is better: figures of normal traffic, order probes, tick race.

    Without an option: what today's own orders tell, of running and of stopped instances; nothing is sent.
    With --orders: limit orders far from the market, placed, modified and cancelled at every instance in
    random turns, always one side, one lot. At live brokers it sends only with your consent; without, it shows
    what it would send. Everything sent is cancelled, also after Ctrl-C.

    \b
    Examples:
      algo compare --out report.html
      algo compare --orders --symbol SBIN --count 100
      algo compare --orders --consent dhan --consent kotak
      algo compare --ticks --symbols SBIN,RELIANCE --seconds 300
    """
    if send_orders + race_ticks + show_route > 1:
        raise click.UsageError("--orders, --ticks and --route are three questions: ask one at a time")
    fleet = _fleet(home, names)
    console = Console(stderr=as_json)
    target = Outputs(as_json, csv_file, out, console, fleet[0].run_dir)
    if show_route:
        routes.tell(home, fleet, exchange, symbol, as_json=as_json)
        return
    if race_ticks:
        _deliver("ticks", ticks.race_now(home, fleet, symbols, seconds, console, day), target)
        return
    if not send_orders:
        _deliver("day", passing.of_day(fleet, day), target)
        return
    asked = orders.Asked(exchange, symbol.upper(), side, count, seed, period, consent, dry_run)
    found, left = orders.probe_all(home, fleet, asked, console)
    if found is not None:
        _deliver("orders", found, target)
    if left:
        raise CommandFailed("; ".join(left))


def _fleet(home: Path, names: tuple[str, ...]) -> list[Settings]:
    venue = current_folder(home).venue
    chosen = list(dict.fromkeys(names)) or gateway_settings.instance_names(home)
    if not chosen:
        raise click.UsageError("no instance in instances/; try: algo up kotak dhan --sim")
    return [gateway_settings.load(home, name, venue) for name in chosen]


def _deliver(kind: str, found: Report, target: Outputs) -> None:
    """Show it, write the files asked for, and keep it for the pages of the instances."""
    console = target.console
    if target.as_json:
        click.echo(json.dumps(report.to_json(found), indent=1))
    else:
        report.show(found, console)
    try:
        if target.csv:
            target.csv.write_text(report.to_csv(found))
        if target.out:
            target.out.write_text(page.document(found))
            console.print(f"report: {target.out}", highlight=False)
        comparisonfile.write(comparisonfile.folder_of(target.run_dir), kind, page.fragment(found))
    except OSError as exc:
        raise CommandFailed(f"{exc.filename} could not be written: {exc.strerror or exc}") from exc
