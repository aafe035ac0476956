"""``algo history catalog | coverage | import | export | delete | actions | pack | sql``."""

from __future__ import annotations

import csv
import importlib
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from brokers.clock import IST
from brokers.errors import InvalidRequest
from historify import lease
from historify.contract import BarStore
from historify.errors import PullerBusy, StoreError
from historify.jobs.plan import trading_date
from historify.model import INTERVALS, STORED, BarRequest, Series
from historify.portable import exporting, importing, plain
from historify.portable.exporting import Format
from historify.portable.importing import ImportOptions
from historify.portable.tasks import Task, TaskState, perform
from historify.reader import actions as splits
from historify.store import SegmentStore, open_store
from supervisor.client import CommandFailed
from supervisor.operations.histories import Place, json_option, keys_of, place, shown, sim_option

DAY = click.DateTime(["%Y-%m-%d"])
LOOK_S = 0.2
EXCHANGE = click.option("--exchange", default="NSE", show_default=True, help="Of symbols that name none.")


@click.command()
@click.option("--exchange", help="Of this one alone.")
@click.option("--symbol", help="Of this one alone.")
@sim_option
@json_option
@click.pass_obj
def catalog(home: Path, exchange: str | None, symbol: str | None, sim: bool, as_json: bool) -> None:
    """What is stored.

    \b
    Examples:
      algo history catalog
      algo history catalog --exchange NSE --json
    """
    with place(home, sim=sim) as one:
        rows = one.store.catalog(exchange.upper() if exchange else None, symbol)
    if as_json:
        shown([plain.catalog(row) for row in rows])
        return
    table = Table(box=None, pad_edge=False)
    for name in ("exchange", "symbol", "interval", "first", "last"):
        table.add_column(name, no_wrap=True)
    table.add_column("rows", justify="right")
    table.add_column("source")
    for row in rows:
        kept = row.series
        first, last = (str(trading_date(ts, kept.interval)) for ts in (row.first_ts, row.last_ts))
        table.add_row(kept.exchange, kept.symbol, kept.interval, first, last, f"{row.rows:,}", row.source)
    Console().print(table if rows else "the store is empty; fill it with: algo history pull --symbols SBIN")


@click.command()
@click.argument("symbol")
@EXCHANGE
@click.option("--interval", type=click.Choice(STORED), default="1m", show_default=True, help="A stored one.")
@click.option("--from", "start", type=DAY, required=True, help="First day.")
@click.option("--to", "end", type=DAY, help="Last day (default: today).")
@sim_option
@json_option
@click.pass_obj
def coverage(
    home: Path,
    symbol: str,
    exchange: str,
    interval: str,
    start: datetime,
    end: datetime | None,
    sim: bool,
    as_json: bool,
) -> None:
    """Trading days that were asked for, and those that were not.

    \b
    Examples:
      algo history coverage SBIN --from 2025-01-01
    """
    with place(home, sim=sim) as one:
        last = end.date() if end else one.clock.now().astimezone(IST).date()
        _ordered(start, end)
        series = Series(exchange.upper(), symbol, interval)
        known = one.store.coverage(series, start.date(), last)
        found = plain.coverage(series, start.date(), last, known, one.calendar, one.clock.now())
    if as_json:
        shown(found)
        return
    click.echo(", ".join(f"{count} days {state}" for state, count in found["days"].items()))
    for gap in found["gaps"]:
        click.echo(f"  never asked for: {gap['start_date']} to {gap['end_date']}")


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--exchange", default="", help="Of every row; else a column says it.")
@click.option("--symbol", default="", help="Of every row; else a column says it.")
@click.option("--interval", default="", help="1m or D, of every row; else a column says it.")
@click.option("--zone", default="Asia/Kolkata", show_default=True, help="Of times without an offset.")
@click.option("--skip-bad", is_flag=True, help="Import the good rows of a file with bad ones.")
@click.option("--dry-run", is_flag=True, help="Only look: rows, series, what is wrong.")
@sim_option
@json_option
@click.pass_obj
def take(
    home: Path,
    file: Path,
    exchange: str,
    symbol: str,
    interval: str,
    zone: str,
    skip_bad: bool,
    dry_run: bool,
    sim: bool,
    as_json: bool,
) -> None:
    """Import CSV or Parquet.

    Columns in any case and order: timestamp (epoch s or ms), or date and time, or datetime; open, high, low,
    close; volume and oi if there are any. Every row is looked at before the first is written.

    \b
    Examples:
      algo history import sbin.csv --exchange NSE --symbol SBIN --interval 1m --dry-run
      algo history import bars.parquet
    """
    options = ImportOptions(exchange, symbol, interval, zone, skip_bad)
    with place(home, sim=sim) as one:
        now_s = int(one.clock.now().timestamp())
        if dry_run:
            _report(importing.check(file, options, now_s=now_s).plain(), as_json)
            return
        store = one.store  # a store that cannot be opened is no reason to leave a task behind
        made = one.tasks.add_import(file, options, requested_by="cli")
        done = carried_out(one, store, made)
    if done.report is not None:
        _report(done.report, as_json)
    must_be_done(done)


def carried_out(one: Place, store: BarStore, made: Task) -> Task:
    """By this process under the puller's lock; where a puller runs, by that one."""
    try:
        with lease.writing(one.control, one.paths.lock, "cli", one.clock) as fence:
            while (task := one.tasks.claim(fence.epoch)) is not None:
                perform(
                    task,
                    one.tasks,
                    store,
                    fence=fence,
                    calendar=one.calendar,
                    clock=one.clock,
                    beat=fence.renew,
                )
            show_face(one, store)
    except PullerBusy:
        click.echo(f"the running puller does it ({made.kind} {made.id})", err=True)
    try:
        while (found := one.tasks.show(made.id)).state in (TaskState.QUEUED, TaskState.RUNNING):
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        click.echo(f"\n{made.kind} {made.id} goes on; see: algo history jobs", err=True)
        return one.tasks.show(made.id)
    return found


def show_face(one: Place, store: BarStore) -> None:
    """Make the file people open anew, as a puller would; some homes have none. The caller holds its lock."""
    if not isinstance(store, SegmentStore):
        return
    try:
        shown_now = history_module("historify.face.publish").Face(one.paths, one.control, one.clock).publish()
    except StoreError as exc:
        click.echo(f"note: {exc}", err=True)
    else:
        if shown_now.detail:
            click.echo(f"note: {shown_now.detail}", err=True)


def must_be_done(task: Task) -> None:
    if task.state is TaskState.FAILED:
        raise CommandFailed(f"{task.kind} {task.id} failed ({task.code}): {task.error}")
    if task.state is TaskState.CANCELLED:
        raise CommandFailed(f"{task.kind} {task.id} was cancelled; what it wrote stays")


def _report(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        shown(report)
        return
    click.echo(
        f"{report['file']}: {report['rows']:,} rows ({report['style']}, {report['zone']}), "
        f"{report['bad']} bad"
    )
    for error in report["errors"]:
        click.echo(f"  line {error['line']}, {error['column']}: {error['why']}")
    if report["bad"] > len(report["errors"]):
        click.echo("  …")
    for each in report["series"]:
        told = (
            f"{each['added']:,} added, {each['changed']:,} changed" if report["imported"] else "not imported"
        )
        name = f"{each['exchange']}:{each['symbol']} {each['interval']}"
        first, last = (trading_date(each[n], each["interval"]) for n in ("first_ts", "last_ts"))
        click.echo(f"  {name}: {each['rows']:,} rows, {first} to {last}, {told}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--symbols", default="", help="A,B separated by commas (default: all of --exchange).")
@EXCHANGE
@click.option(
    "--interval", type=click.Choice(INTERVALS), default="1m", show_default=True, help="Any there is."
)
@click.option("--from", "start", type=DAY, help="First day (default: all).")
@click.option("--to", "end", type=DAY, help="Last day (default: all).")
@click.option("--format", "form", type=click.Choice([str(f) for f in Format]), help="Default: by the suffix.")
@click.option("--adjusted", is_flag=True, help="For imported splits and bonuses.")
@sim_option
@json_option
@click.pass_obj
def export(
    home: Path,
    file: Path,
    symbols: str,
    exchange: str,
    interval: str,
    start: datetime | None,
    end: datetime | None,
    form: str | None,
    adjusted: bool,
    sim: bool,
    as_json: bool,
) -> None:
    """Write bars into a .csv, .txt, .parquet or .zip file (of many CSV); works while nothing runs.

    \b
    Examples:
      algo history export sbin.csv --symbols SBIN --interval 15m --from 2025-01-01
      algo history export nse.zip --exchange NSE --interval D
      algo history export nse.zip --format zip-txt --symbols SBIN,INFY
    """
    chosen = Format(form) if form else exporting.format_of(file)
    _ordered(start, end)
    with place(home, sim=sim) as one:
        base = "1m" if interval in ("1m", "3m", "5m", "10m", "15m", "30m", "1h", "2h", "4h") else "D"
        rows = [row for row in one.store.catalog() if row.series.interval == base]
        there = {(row.series.exchange, row.series.symbol): row for row in rows}
        keys = keys_of(symbols, exchange) or [key for key in there if key[0] == exchange.upper()]
        if missing := [f"{e}:{s}" for e, s in keys if (e, s) not in there]:
            raise InvalidRequest(
                f"not stored at {base}: {', '.join(missing[:20])}; see: algo history catalog"
            )
        if not keys:
            raise InvalidRequest(f"nothing of {exchange} is stored at {base}; see: algo history catalog")
        requests = []
        for key in keys:
            first, last = (trading_date(ts, base) for ts in (there[key].first_ts, there[key].last_ts))
            begin, until = start.date() if start else first, end.date() if end else last
            requests.append(BarRequest(*key, interval, begin, max(begin, until), adjusted))
        count = exporting.write(one.store, requests, file, chosen)
    if as_json:
        shown({"file": str(file), "rows": count, "instruments": len(keys), "format": str(chosen)})
    else:
        click.echo(f"{file}: {count:,} rows of {len(keys)} instruments")


def _ordered(start: datetime | None, end: datetime | None) -> None:
    if start and end and start > end:
        raise click.UsageError(f"--from {start:%Y-%m-%d} is after --to {end:%Y-%m-%d}")


@click.command()
@click.option("--symbols", required=True, help="A,B separated by commas.")
@EXCHANGE
@click.option("--interval", type=click.Choice(STORED), help="Of this one alone (default: both).")
@click.option("--from", "start", type=DAY, help="Only days from here on.")
@click.option("--to", "end", type=DAY, help="Only days up to here.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@sim_option
@json_option
@click.pass_obj
def delete(
    home: Path,
    symbols: str,
    exchange: str,
    interval: str | None,
    start: datetime | None,
    end: datetime | None,
    yes: bool,
    sim: bool,
    as_json: bool,
) -> None:
    """Remove stored bars.

    \b
    Examples:
      algo history delete --symbols SBIN --from 2025-03-01 --to 2025-03-31
    """
    _ordered(start, end)
    with place(home, sim=sim) as one:
        wanted = set(keys_of(symbols, exchange))
        found = [
            row.series for row in one.store.catalog() if (row.series.exchange, row.series.symbol) in wanted
        ]
        found = [each for each in found if interval in (None, each.interval)]
        if not found:
            raise InvalidRequest("none of these is stored; see: algo history catalog")
        if not yes:
            click.confirm(f"remove bars of {', '.join(map(str, found))}?", abort=True)
        first, last = start.date() if start else None, end.date() if end else None
        made = one.tasks.add_delete(found, start=first, end=last, requested_by="cli")
        done = carried_out(one, one.store, made)
    must_be_done(done)
    if as_json:
        shown(plain.task(done))
    else:
        click.echo(f"{done.rows_done:,} bars removed")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@sim_option
@json_option
@click.pass_obj
def actions(home: Path, file: Path, sim: bool, as_json: bool) -> None:
    """Import splits and bonuses: CSV with exchange, symbol, ex_date, kind (split, bonus), ratio.

    \b
    Examples:
      algo history actions bonus.csv
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            found, errors = splits.parse(lines)
    except (OSError, UnicodeError) as exc:
        raise InvalidRequest(f"{file} cannot be read as text: {exc}") from exc
    if errors:
        for error in errors[:100]:
            click.echo(f"  {error}", err=True)
        raise CommandFailed(f"{file}: {len(errors)} bad lines; nothing was imported")
    with place(home, sim=sim) as one, one.control.transaction() as tx:
        count = splits.save(tx, found, int(one.clock.now().timestamp()))
    if as_json:
        shown({"actions": count})
    else:
        click.echo(f"{count} splits and bonuses; adjusted views have them now")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@sim_option
@json_option
@click.pass_obj
def pack(home: Path, file: Path, sim: bool, as_json: bool) -> None:
    """Write the whole store into one DuckDB file that needs nothing beside it.

    \b
    Examples:
      algo history pack bars.duckdb
    """
    packer = history_module("historify.face.pack")
    with place(home, sim=sim) as one:
        made = packer.pack(one.control, one.paths, file)
    if as_json:
        shown({"file": str(file), "rows": made.rows, "series": made.series, "bytes": made.bytes})
    else:
        click.echo(f"{file}: {made.rows:,} rows, {made.bytes / 1e6:,.1f} MB")


@click.command()
@click.argument("text", metavar="SQL")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV.")
@click.option("--limit", default=1000, show_default=True, help="Most rows.")
@sim_option
@json_option
@click.pass_obj
def sql(home: Path, text: str, as_csv: bool, limit: int, sim: bool, as_json: bool) -> None:
    """Ask the store: one SELECT over market_data, bars_1m, bars_d, data_catalog.

    \b
    Examples:
      algo history sql "SELECT symbol, max(high) FROM bars_d GROUP BY symbol"
      algo history sql --csv "SELECT * FROM market_data WHERE symbol = 'M&M'"
    """
    asker = history_module("historify.face.sql")
    with place(home, sim=sim) as one:
        found = asker.ask(one.control, one.paths, text, max_rows=limit)
    if as_json:
        rows = [dict(zip(found.columns, map(_plain, row), strict=True)) for row in found.rows]
        shown({"columns": list(found.columns), "rows": rows, "more": found.more})
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(found.columns)
        writer.writerows(found.rows)
    else:
        table = Table(box=None, pad_edge=False)
        for name in found.columns:
            table.add_column(name)
        for row in found.rows:
            table.add_row(*("" if value is None else str(value) for value in row))
        Console().print(table)
    if found.more and not as_json:
        click.echo(f"… more than {limit} rows; --limit takes more", err=True)


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool | None) else str(value)


def history_module(name: str) -> Any:
    """DuckDB costs a tenth of a second; a command that needs none does not pay it."""
    return importlib.import_module(name)


@click.command()
@sim_option
@json_option
@click.pass_obj
def migrate(home: Path, sim: bool, as_json: bool) -> None:
    """Take over the OpenAlgo file at the store's path; it is kept beside it.

    \b
    Examples:
      algo history migrate
    """
    with place(home, sim=sim) as one:
        # not one.store: that refuses to open beside a file that is not ours yet
        store = open_store(one.rules.url, calendar=one.calendar, home=home, clock=one.clock)
        try:
            if not isinstance(store, SegmentStore):
                raise InvalidRequest("bars on a server: import the old file with algo history import instead")
            with lease.writing(one.control, one.paths.lock, "cli", one.clock) as fence:
                made = store.migrate(fence, lambda done, total, name: fence.renew())  # noqa: ARG005
                show_face(one, store)
        finally:
            store.close()
    if made is None:
        shown(None) if as_json else click.echo("nothing to take over")
    elif as_json:
        shown({"kept": str(made.kept), "series": made.series, "rows": made.rows, "refused": made.refused})
    else:
        click.echo(f"{made.rows:,} bars of {made.series} series taken over; the old file is {made.kept}")


COMMANDS = (migrate, catalog, coverage, take, export, delete, actions, pack, sql)
