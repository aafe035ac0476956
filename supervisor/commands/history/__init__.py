"""``algo history``: the market-data store all instances share."""

from __future__ import annotations

from pathlib import Path

import click

from historify.portable import plain
from supervisor.commands.history import jobs, lists, pull, puller, reading, verify, writing
from supervisor.commands.history.place import place, sim_option
from supervisor.commands.printing import json_option, shown


@click.group()
def history() -> None:
    """Candles: pull, keep, read, import, export. Every instance reads the same store.

    \b
    Examples:
      algo history pull --symbols SBIN,INFY --exchange NSE --from 2025-01-01
      algo history catalog
      algo history export sbin.csv --symbols SBIN --interval 15m --from 2025-01-01
      algo history sql "SELECT symbol, count(*) FROM market_data GROUP BY symbol"
      algo history pack bars.duckdb
    """


@history.command()
@sim_option
@json_option
@click.pass_obj
def status(home: Path, sim: bool, as_json: bool) -> None:
    """How much is stored, and who fills the store."""
    with place(home, sim=sim) as one:
        counts = one.queue.counts()
        rows = one.store.catalog()
        found = plain.status(rows, one.control, one.clock, jobs=counts, port=one.rules.port)
    if as_json:
        shown(found)
        return
    held, puller, lease = found["store"], found["puller"], found["lease"]
    click.echo(f"{held['symbols']} symbols, {held['series']} series, {held['rows']:,} bars, "
               f"{held['bytes'] / 1e6:,.1f} MB")  # fmt: skip
    said = (
        f"puller: {puller['state']}" if puller["running"] else "puller: does not run (start it with: algo up)"
    )
    click.echo(said + (f", through {lease['instance']}, epoch {lease['epoch']}" if lease else ""))
    if lease and lease["stalled"]:
        click.echo(f"puller stalled, pid {lease['pid']}: its lease ran out while it lives")
    click.echo("jobs: " + (", ".join(f"{count} {state}" for state, count in counts.items()) or "none"))


for _command in (
    *pull.COMMANDS,
    *puller.COMMANDS,
    *jobs.COMMANDS,
    *reading.COMMANDS,
    *writing.COMMANDS,
    *lists.COMMANDS,
    *verify.COMMANDS,
):
    history.add_command(_command)
