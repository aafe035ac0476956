"""``algo history pull``: queue a download and follow it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from brokers.clock import IST
from brokers.errors import SettingsError
from gateway import settings as gateway_settings
from historify.jobs.model import ItemState, Job, JobRequest, JobState, Key, Mode
from historify.portable import plain
from supervisor.client import CommandFailed, ask_running, load_running
from supervisor.commands.history import choose
from supervisor.commands.history.place import DAY, EXCHANGE, Place, keys_in, keys_of, place, sim_option
from supervisor.commands.printing import json_option, shown
from supervisor.render import duration

LOOK_S = 0.3
INTERVALS_HELP = "1m, D or both; all other intervals are computed from these."


@click.command()
@click.option("--symbols", default="", help="A,B or NFO:NIFTY26DECFUT,… separated by commas.")
@EXCHANGE
@click.option("--interval", "intervals", default="1m,D", show_default=True, help=INTERVALS_HELP)
@click.option("--from", "start", type=DAY, help="First day (default: 30 days before --to).")
@click.option("--to", "end", type=DAY, help="Last day (default: today).")
@click.option("--watchlist", default="", help="Instruments of a list, instead of --symbols.")
@click.option("--csv", "file", type=click.Path(path_type=Path), help="Symbols of a file.")
@click.option(
    "--option-chain", nargs=2, metavar="UNDERLYING EXPIRY", help="NIFTY 2026-11-26: all its options."
)
@click.option("--futures", "underlying", default="", help="NIFTY: all its futures that have not expired.")
@click.option("--again", is_flag=True, help="Also the days that are stored.")
@click.option("-d", "--detach", is_flag=True, help="Queue it and return.")
@sim_option
@json_option
@click.pass_obj
def pull(
    home: Path,
    symbols: str,
    exchange: str,
    intervals: str,
    start: datetime | None,
    end: datetime | None,
    watchlist: str,
    file: Path | None,
    option_chain: tuple[str, str] | None,
    underlying: str,
    again: bool,
    detach: bool,
    sim: bool,
    as_json: bool,
) -> None:
    """Download candles; what is stored is not asked for again.

    Ctrl-C leaves the job running: `algo history jobs` shows it.

    \b
    Examples:
      algo history pull --symbols SBIN,INFY --exchange NSE --interval 1m,D --from 2025-01-01
      algo history pull --watchlist bank --from 2024-01-01 --to 2024-12-31
      algo history pull --option-chain NIFTY 2026-11-26 --interval 1m
      algo history pull --futures BANKNIFTY
    """
    ways = [bool(symbols), bool(watchlist), file is not None, bool(option_chain), bool(underlying)]
    if sum(ways) != 1:
        raise click.UsageError(
            "one of --symbols, --watchlist, --csv, --option-chain and --futures says what to pull"
        )
    with place(home, sim=sim) as one:
        if watchlist:
            keys = one.watchlists.keys(watchlist)
        elif option_chain:
            keys = choose.option_chain(one, *option_chain, exchange)
        elif underlying:
            keys = choose.futures(one, underlying, exchange)
        else:
            keys = keys_in(file, exchange) if file is not None else keys_of(symbols, exchange)
            _check(one, keys)
        last = end.date() if end else one.clock.now().astimezone(IST).date()
        first = start.date() if start else last - timedelta(days=30)
        wanted = tuple(each.strip() for each in intervals.split(",") if each.strip())
        mode = Mode.ALL if again else Mode.MISSING
        _queued(one, JobRequest(tuple(keys), wanted, first, last, mode, "cli"), detach, as_json)


def _queued(one: Place, asked: JobRequest, detach: bool, as_json: bool) -> None:
    """Put it into the queue, and stay with it until it ends unless ``detach``."""
    job, new = one.queue.enqueue(asked)
    if not as_json:
        said = "" if new else " (an equal one is open already)"
        click.echo(f"job {job.id}: {job.items} series, {asked.start} to {asked.end}{said}")
    if plain.puller(one.rules.port, one.control) is None:
        if as_json:
            shown(plain.job(job))
        click.echo("no puller runs: the job waits for one; start it with: algo up", err=True)
        return
    _ended(one, job if detach else follow(one, job, quiet=as_json), as_json)


def follow(one: Place, job: Job, *, quiet: bool = False) -> Job:
    """Show a job until it ends, or until Ctrl-C."""
    console = Console(stderr=True, quiet=quiet or not Console(stderr=True).is_terminal)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("", total=1.0, told="")
            while (job := one.queue.show(job.id)).state.is_open:
                progress.update(bar, completed=job.progress, description=str(job.state), told=_told(one, job))
                if job.state is JobState.PAUSED:
                    break
                time.sleep(LOOK_S)
    except KeyboardInterrupt:
        click.echo(f"\njob {job.id} goes on; see: algo history jobs show {job.id}; "
                   f"end it: algo history jobs cancel {job.id}", err=True)  # fmt: skip
    return job


def _told(one: Place, job: Job) -> str:
    if job.state is JobState.QUEUED:
        said = plain.puller(one.rules.port, one.control) or {}
        return str(said.get("state", "no puller runs"))
    eta = "" if job.eta_s is None else f", {duration(job.eta_s)} left"
    failed = f", {job.failed} failed" if job.failed else ""
    return f"{job.chunks_done}/{job.chunks} calls, {job.rows:,} rows ({job.rows_per_s:,.0f}/s){failed}{eta}"


def _ended(one: Place, job: Job, as_json: bool) -> None:
    """Say how it went; raises ``CommandFailed`` when something did not come."""
    failed = one.queue.items(job.id, ItemState.FAILED) if job.failed else []
    if as_json:
        shown({**plain.job(job), "items": [plain.item(each) for each in failed]})
    else:
        click.echo(f"job {job.id} is {job.state}: {job.rows:,} rows of {job.done} series")
        for each in failed:
            click.echo(f"  {each.series}: {each.error}")
    if job.state in (JobState.FAILED, JobState.CANCELLED, JobState.PAUSED) or failed:
        why = (
            job.error or f"{job.failed} of {job.items} series failed; again: algo history jobs retry {job.id}"
        )
        raise CommandFailed(f"job {job.id} is {job.state}: {why}")


def _check(one: Place, keys: list[Key]) -> None:
    """Names a running instance does not know are told before anything is queued."""
    for name in gateway_settings.instance_names(one.home):
        body = {"keys": [{"exchange": e, "symbol": s} for e, s in keys]}
        try:
            status, answer = ask_running(load_running(one.home, name), "POST", "/internal/choose", body)
        except (CommandFailed, SettingsError):
            continue  # the puller will tell
        if status == 200:
            if answer["unknown"]:
                raise CommandFailed(f"unknown to {name}: {'; '.join(answer['unknown'][:20])}")
            return


COMMANDS = (pull,)
