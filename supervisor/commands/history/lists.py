"""``algo history watchlist | schedule``."""

from __future__ import annotations

from pathlib import Path

import click

from historify.jobs.model import Schedule
from historify.portable import plain
from supervisor.commands.history import choose
from supervisor.commands.history.place import EXCHANGE, Place, keys_in, keys_of, place, sim_option
from supervisor.commands.printing import json_option, shown

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@click.group()
def watchlist() -> None:
    """Named lists of instruments, for pulls and schedules."""


@watchlist.command(name="list")
@click.argument("name", default="")
@sim_option
@json_option
@click.pass_obj
def list_watchlists(home: Path, name: str, sim: bool, as_json: bool) -> None:
    """All lists, or the instruments of one.

    \b
    Examples:
      algo history watchlist list
      algo history watchlist list bank
    """
    with place(home, sim=sim) as one:
        if name:
            keys = one.watchlists.keys(name)
            if as_json:
                shown({"name": name, "keys": [{"exchange": e, "symbol": s} for e, s in keys]})
            else:
                click.echo("\n".join(f"{exchange}:{symbol}" for exchange, symbol in keys))
            return
        lists = one.watchlists.listing()
    if as_json:
        shown([plain.watchlist(each) for each in lists])
        return
    for each in lists:
        click.echo(f"{each.name}: {each.symbols} symbols {each.note}")
    if not lists:
        click.echo("no watchlists; the first: algo history watchlist add bank HDFCBANK,ICICIBANK")


@watchlist.command()
@click.argument("name")
@click.argument("symbols")
@EXCHANGE
@sim_option
@json_option
@click.pass_obj
def add(home: Path, name: str, symbols: str, exchange: str, sim: bool, as_json: bool) -> None:
    """Put instruments on a list; it is made if need be.

    \b
    Examples:
      algo history watchlist add bank HDFCBANK,ICICIBANK,NSE_INDEX:BANKNIFTY
    """
    with place(home, sim=sim) as one:
        _added(one, name, one.watchlists.add(name, keys_of(symbols, exchange)), as_json)


@watchlist.command(name="import")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@EXCHANGE
@sim_option
@json_option
@click.pass_obj
def take(home: Path, name: str, file: Path, exchange: str, sim: bool, as_json: bool) -> None:
    """Put the symbols of a file on a list: one a line, or CSV with a column symbol (index members, …).

    \b
    Examples:
      algo history watchlist import nifty50 ind_nifty50list.csv
    """
    with place(home, sim=sim) as one:
        _added(one, name, one.watchlists.add(name, keys_in(file, exchange)), as_json)


@watchlist.command()
@click.argument("name")
@click.argument("underlying")
@click.argument("expiry", default="")
@click.option("--exchange", default="NFO", show_default=True, help="Of the contracts, or of the underlying.")
@sim_option
@json_option
@click.pass_obj
def chain(
    home: Path, name: str, underlying: str, expiry: str, exchange: str, sim: bool, as_json: bool
) -> None:
    """Put the options of an expiry on a list; without one, all futures of the underlying.

    Contracts come from the instrument table of a running instance and stay on the list when they expire.

    \b
    Examples:
      algo history watchlist chain nov NIFTY 2026-11-26
      algo history watchlist chain nov BANKNIFTY
    """
    with place(home, sim=sim) as one:
        if expiry:
            keys = choose.option_chain(one, underlying, expiry, exchange)
        else:
            keys = choose.futures(one, underlying, exchange)
        _added(one, name, one.watchlists.add(name, keys), as_json)


def _added(one: Place, name: str, count: int, as_json: bool) -> None:
    found = one.watchlists.show(name.strip())
    if as_json:
        shown({**plain.watchlist(found), "added": count})
    else:
        click.echo(f"{found.name}: {count} added, {found.symbols} symbols")


@watchlist.command()
@click.argument("name")
@click.argument("symbols", default="")
@EXCHANGE
@sim_option
@json_option
@click.pass_obj
def remove(home: Path, name: str, symbols: str, exchange: str, sim: bool, as_json: bool) -> None:
    """Take instruments off a list; without symbols, drop the list. Bars stay.

    \b
    Examples:
      algo history watchlist remove bank HDFCBANK
      algo history watchlist remove bank
    """
    with place(home, sim=sim) as one:
        if symbols:
            count = one.watchlists.remove(name, keys_of(symbols, exchange))
        else:
            count = one.watchlists.show(name).symbols
            one.watchlists.delete(name)
    if as_json:
        shown({"name": name, "removed": count})
    else:
        click.echo(f"{name}: {count} removed")


@click.group()
def schedule() -> None:
    """Downloads that repeat, once for the whole home."""


@schedule.command(name="list")
@sim_option
@json_option
@click.pass_obj
def list_schedules(home: Path, sim: bool, as_json: bool) -> None:
    """All schedules with their last and next run."""
    with place(home, sim=sim) as one:
        rows = [(row, one.schedules.upcoming(row)) for row in one.schedules.listing()]
    if as_json:
        shown([plain.schedule(row, upcoming) for row, upcoming in rows])
        return
    for row, upcoming in rows:
        spec = row.schedule
        what = spec.watchlist or ", ".join(symbol for _, symbol in spec.keys[:5])
        when = f"at {spec.at}" if spec.at else f"every {spec.every_s // 60} min"
        state = f"next {upcoming:%Y-%m-%d %H:%M %Z}" if upcoming else "off"
        click.echo(f"{spec.name}: {what} {'/'.join(spec.intervals)} {when}, {state} {row.last_error}")
    if not rows:
        click.echo("no schedules; the first: algo history schedule add nightly --watchlist bank --at 18:30")


@schedule.command(name="add")
@click.argument("name")
@click.option("--watchlist", "source", default="", help="What it pulls: a list, or --symbols.")
@click.option("--symbols", default="", help="A,B separated by commas.")
@click.option("--exchange", default="NSE", show_default=True, help="Of symbols that name none; whose market.")
@click.option("--interval", "intervals", default="1m,D", show_default=True, help="1m, D or both.")
@click.option("--at", default="", help="HH:MM IST, once a day.")
@click.option("--every", type=click.IntRange(1, 1440), help="Minutes; instead of --at.")
@click.option("--days", default="mon,tue,wed,thu,fri", show_default=True, help="On which it runs.")
@click.option("--window", default="", metavar="HH:MM-HH:MM", help="Only between these two.")
@click.option("--market", is_flag=True, help="Only while the market of --exchange is open.")
@click.option("--lookback", default=5, show_default=True, help="Days it looks back for what is missing.")
@sim_option
@json_option
@click.pass_obj
def add_schedule(
    home: Path,
    name: str,
    source: str,
    symbols: str,
    exchange: str,
    intervals: str,
    at: str,
    every: int | None,
    days: str,
    window: str,
    market: bool,
    lookback: int,
    sim: bool,
    as_json: bool,
) -> None:
    """Make a download repeat.

    \b
    Examples:
      algo history schedule add nightly --watchlist bank --at 18:30
      algo history schedule add live --symbols SBIN --every 5 --market --interval 1m
    """
    unknown = [each for each in days.split(",") if each.strip().lower() not in DAYS]
    if unknown:
        raise click.UsageError(f"--days names {', '.join(unknown)}; expected some of {', '.join(DAYS)}")
    first, dash, last = window.partition("-")
    if window and not dash:
        raise click.UsageError(f"--window is '{window}', expected HH:MM-HH:MM")
    spec = Schedule(
        name=name,
        watchlist=source,
        keys=tuple(keys_of(symbols, exchange)),
        intervals=tuple(each.strip() for each in intervals.split(",") if each.strip()),
        lookback_days=lookback,
        every_s=(every or 0) * 60,
        at=at,
        days=tuple(DAYS.index(each.strip().lower()) for each in days.split(",")),
        window=(first.strip(), last.strip()) if window else None,
        market=market,
        exchange=exchange.upper(),
    )
    with place(home, sim=sim) as one:
        row = one.schedules.add(spec)
        upcoming = one.schedules.upcoming(row)
    if as_json:
        shown(plain.schedule(row, upcoming))
    else:
        click.echo(f"{name}: next {upcoming:%Y-%m-%d %H:%M %Z}" if upcoming else f"{name}: never due")


@schedule.command()
@click.argument("name")
@sim_option
@json_option
@click.pass_obj
def run(home: Path, name: str, sim: bool, as_json: bool) -> None:
    """Queue a schedule's download now.

    \b
    Examples:
      algo history schedule run nightly
    """
    with place(home, sim=sim) as one:
        job = one.schedules.run_now(name, requested_by="cli")
    if as_json:
        shown({"job": job})
    else:
        click.echo(f"job {job}; see: algo history jobs show {job}")


@schedule.command(name="remove")
@click.argument("name")
@sim_option
@json_option
@click.pass_obj
def remove_schedule(home: Path, name: str, sim: bool, as_json: bool) -> None:
    """Drop a schedule; its downloads stay.

    \b
    Examples:
      algo history schedule remove nightly
    """
    with place(home, sim=sim) as one:
        one.schedules.delete(name)
    if as_json:
        shown({"name": name, "removed": True})
    else:
        click.echo(f"{name} is removed")


COMMANDS = (watchlist, schedule)
