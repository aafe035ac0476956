"""``algo history``: the market-data store all instances share."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from brokers.clock import IST
from brokers.errors import SettingsError
from gateway import settings as gateway_settings
from historify.jobs.model import ItemState, Job, JobRequest, JobState, Key, Mode
from historify.portable import plain
from supervisor.client import CommandFailed, ask_running, load_running
from supervisor.commands import history_choose, history_data, history_lists, history_verify
from supervisor.operations.histories import Place, json_option, keys_in, keys_of, place, shown, sim_option
from supervisor.render import duration

LOOK_S = 0.3
INTERVALS_HELP = "1m, D or both; all other intervals are computed from these."
DAY = click.DateTime(["%Y-%m-%d"])


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
@click.option("--symbols", default="", help="A,B or NFO:NIFTY26DECFUT,… separated by commas.")
@click.option("--exchange", default="NSE", show_default=True, help="Of symbols that name none.")
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
        last = end.date() if end else one.clock.now().astimezone(IST).date()
        first = start.date() if start else last - timedelta(days=30)
        if watchlist:
            keys = one.watchlists.keys(watchlist)
        elif option_chain:
            keys = history_choose.option_chain(one, *option_chain, exchange)
        elif underlying:
            keys = history_choose.futures(one, underlying, exchange)
        else:
            keys = keys_in(file, exchange) if file is not None else keys_of(symbols, exchange)
            _check(one, keys)
        mode = Mode.ALL if again else Mode.MISSING
        wanted = tuple(each.strip() for each in intervals.split(",") if each.strip())
        job, new = one.queue.enqueue(JobRequest(tuple(keys), wanted, first, last, mode, "cli"))
        if not as_json:
            said = "" if new else " (an equal one is open already)"
            click.echo(f"job {job.id}: {job.items} series, {first} to {last}{said}")
        if plain.puller(one.rules.port) is None:
            _unpulled(job, as_json)
            return
        if not detach:
            job = follow(one, job, quiet=as_json)
        _ended(one, job, as_json)


def _unpulled(job: Job, as_json: bool) -> None:
    if as_json:
        shown(plain.job(job))
    click.echo("no puller runs: the job waits for one; start it with: algo up", err=True)


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
        said = plain.puller(one.rules.port) or {}
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


@history.group(invoke_without_command=True)
@sim_option
@json_option
@click.pass_context
def jobs(ctx: click.Context, sim: bool, as_json: bool) -> None:
    """Downloads: list, show, pause, resume, cancel, retry.

    \b
    Examples:
      algo history jobs
      algo history jobs show 12
      algo history jobs retry 12
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_jobs, sim=sim, as_json=as_json)


@jobs.command(name="list")
@click.option("--limit", default=20, show_default=True, help="Newest first.")
@sim_option
@json_option
@click.pass_obj
def list_jobs(home: Path, limit: int = 20, sim: bool = False, as_json: bool = False) -> None:
    """Downloads and imports, newest first."""
    with place(home, sim=sim) as one:
        found, tasks = one.queue.listing(limit=limit), one.tasks.listing(limit)
    if as_json:
        shown({"jobs": [plain.job(each) for each in found], "tasks": [plain.task(each) for each in tasks]})
        return
    table = Table(box=None, pad_edge=False)
    for name in ("job", "state", "what", "days", "done", "rows", "source", "error"):
        table.add_column(name)
    for job in found:
        what = ", ".join(symbol for _, symbol in job.first_keys[:3]) + ("…" if job.symbols > 3 else "")
        state = f"{job.state} (partial)" if job.partial else str(job.state)
        days = f"{job.start}..{job.end}"
        rows = f"{job.rows:,}"
        table.add_row(str(job.id), state, what, days, f"{job.progress:.0%}", rows, job.source, job.error)
    for task in tasks:
        what, rows = str(task.params.get("name", "")), f"{task.rows_done:,}"
        table.add_row(f"{task.kind} {task.id}", str(task.state), what, "", "", rows, "", task.error)
    Console().print(table if found or tasks else "no jobs; the first: algo history pull --symbols SBIN")


@jobs.command(name="show")
@click.argument("job_id", type=int)
@sim_option
@json_option
@click.pass_obj
def show_job(home: Path, job_id: int, sim: bool, as_json: bool) -> None:
    """One download with its series; what failed says why."""
    with place(home, sim=sim) as one:
        job, items = one.queue.show(job_id), one.queue.items(job_id)
    if as_json:
        shown({**plain.job(job), "items": [plain.item(each) for each in items]})
        return
    click.echo(f"job {job.id} is {job.state}, {job.progress:.0%}, {job.rows:,} rows, by {job.requested_by}")
    if job.error:
        click.echo(job.error)
    for each in items:
        click.echo(f"  {each.series}: {each.state}, {each.rows:,} rows {each.error}")


def _mover(name: str, text: str) -> Any:
    @jobs.command(name=name, help=text)
    @click.argument("job_id", type=int)
    @sim_option
    @json_option
    @click.pass_obj
    def move(home: Path, job_id: int, sim: bool, as_json: bool) -> None:
        with place(home, sim=sim) as one:
            job = getattr(one.queue, MOVES[name][0])(job_id)
        if as_json:
            shown(plain.job(job))
        else:
            click.echo(f"job {job.id} is {job.state}")

    return move


MOVES = {
    "pause": ("pause", "Stop a download after its present call."),
    "resume": ("resume", "Go on with a paused download."),
    "cancel": ("cancel", "End a download; what it brought stays."),
    "retry": ("retry_failed", "Ask again for the series that failed."),
}
for _name, (_, _text) in MOVES.items():
    _mover(_name, _text)


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


for _command in (*history_data.COMMANDS, *history_lists.COMMANDS, *history_verify.COMMANDS):
    history.add_command(_command)
