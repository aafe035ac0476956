"""``algo history catalog | coverage | export | pack | sql``: nothing of the store is changed."""

from __future__ import annotations

import csv
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from brokers.clock import IST
from brokers.errors import InvalidRequest
from historify.days import trading_date
from historify.model import INTERVALS, STORED, BarRequest, Series
from historify.portable import exporting, plain
from historify.portable.exporting import Format
from supervisor.commands.history.place import (
    DAY,
    EXCHANGE,
    history_module,
    keys_of,
    ordered,
    place,
    sim_option,
)
from supervisor.commands.printing import json_option, shown

LOOK_S = 0.2

UNCUT = 10_000


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
    named = keys_of(symbol, exchange)
    if len(named) != 1:
        raise click.UsageError(f"one symbol, please: {symbol}")
    with place(home, sim=sim) as one:
        last = end.date() if end else one.clock.now().astimezone(IST).date()
        ordered(start, end)
        series = Series(*named[0], interval)
        known = one.store.coverage(series, start.date(), last)
        found = plain.coverage(series, start.date(), last, known, one.calendar, one.clock.now())
    if as_json:
        shown(found)
        return
    click.echo(", ".join(f"{count} days {state}" for state, count in found["days"].items()))
    for gap in found["gaps"]:
        click.echo(f"  never asked for: {gap['start_date']} to {gap['end_date']}")


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
    ordered(start, end)
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
        # as wide as its values: a narrow terminal breaks the line, no figure is cut off
        Console(width=max(Console().width, UNCUT)).print(table)
    if found.more and not as_json:
        click.echo(f"… more than {limit} rows; --limit takes more", err=True)


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool | None) else str(value)


COMMANDS = (catalog, coverage, export, pack, sql)
