"""``algo history import | delete | actions | migrate``, by this process or by the running puller."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from brokers.errors import InvalidRequest
from historify import lease
from historify.contract import BarStore
from historify.days import trading_date
from historify.errors import PullerBusy, StoreError
from historify.model import STORED
from historify.portable import importing, plain
from historify.portable.importing import ImportOptions
from historify.portable.tasks import Task, TaskState, perform
from historify.reader import actions as splits
from historify.store import SegmentStore, open_store
from supervisor.client import CommandFailed
from supervisor.commands.history.place import (
    DAY,
    EXCHANGE,
    Place,
    history_module,
    keys_of,
    ordered,
    place,
    sim_option,
)
from supervisor.commands.printing import json_option, shown

LOOK_S = 0.2


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
    ordered(start, end)
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


COMMANDS = (migrate, take, delete, actions)
